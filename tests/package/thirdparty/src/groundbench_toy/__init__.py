"""A toy model and a toy testbed for groundbench."""
