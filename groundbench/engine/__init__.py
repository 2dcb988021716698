"""Prompts to batches to surprisal, resumable and distributed: the only room that decides how a model is run."""
