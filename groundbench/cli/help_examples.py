"""The examples at the end of a help page: one form to write them in, and to read their commands back."""

from __future__ import annotations


def examples(*pairs: tuple[str, str]) -> str:
    """Return a help epilog of (what it does, command line) pairs, in rich markup."""
    lines = [f"[dim]# {what}[/dim]\n{command}" for what, command in pairs]
    return "\n".join(["[bold]Examples[/bold]", *lines])


def example_commands(epilog: str) -> list[str]:
    """Return the command lines of an epilog that `examples` made."""
    return [line for line in epilog.split("\n") if line.startswith("groundbench ")]
