"""Files that are written whole or not at all, under names that stay in their folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np


@contextmanager
def replace_whole(path: Path) -> Iterator[Path]:
    """Give a path whose file takes the place of `path` when the block ends, and vanishes where it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def write_whole(path: Path) -> Iterator[IO[bytes]]:
    """Give an open file that takes the place of `path` when the block ends, and vanishes where it fails.

    Libraries are given the file, never its path: some read a path with a colon as an address, or as UTF-8.
    """
    with replace_whole(path) as temporary, temporary.open("wb") as file:
        yield file


def write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a kill, never sees half of it."""
    with replace_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_npz(path: Path, **arrays: Any) -> None:
    """Write arrays so that neither a kill nor a full disk leaves half a file, or an unfinished one beside it."""
    with write_whole(path) as file:
        np.savez_compressed(file, **arrays)


def file_name(text: str) -> str:
    """Return a text as the name of one file or folder: what could lead elsewhere is written as %XX, the rest kept."""
    kept = "".join(c if c.isalnum() or c in " .,;+=@()[]{}'!~^$&#_-" else quote(c, safe="") for c in text)
    return kept.replace(".", "%2E") if not kept.strip(".") else kept
