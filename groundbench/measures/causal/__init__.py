"""Cause on real models: head outputs exchanged between a matched and a mismatched prompt (protocol §15)."""
