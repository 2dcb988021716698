"""The command line: one small module per command, imported when the command is called."""

from groundbench.cli.app import main

__all__ = ["main"]
