"""`groundbench tasks import`: from source files to a corpus on disk."""
