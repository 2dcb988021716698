"""Results in words: how a number is written, and what it means."""
