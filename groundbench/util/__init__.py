"""Small helpers that know nothing of grounding."""
