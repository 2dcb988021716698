"""Files that a command writes for a person to change: never over one that is there."""

from __future__ import annotations

from pathlib import Path

from groundbench.api.errors import BadInputError


def write_new(path: Path, text: str, suffix: str) -> None:
    """Write a file of that suffix. Raises BadInputError where one is there, or the name has another suffix."""
    if path.suffix != suffix:
        raise BadInputError(f"{path}: expected a file name that ends with {suffix}")
    if path.exists():
        raise BadInputError(f"{path}: is there already; expected the name of a new file")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
