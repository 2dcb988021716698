"""Estimators on plain arrays, one method a file; no torch, no models."""
