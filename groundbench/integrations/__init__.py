"""groundbench inside other evaluation harnesses, one folder for each."""
