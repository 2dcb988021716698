"""groundbench."""
