"""Testbeds: what a model is shown and asked. One folder each; users' own are YAML files (`text.load_yaml`)."""
