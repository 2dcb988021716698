"""Cause on real models: head outputs interchanged between a matched and a mismatched prompt (protocol §15)."""
