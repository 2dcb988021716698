"""The cache folder, for what can be computed again (converted weights, features of images), and its entries."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ABOUT = "about.json"
"""In every entry: what it was made from."""
KINDS = {"gguf": "GGUF files, converted", "pictures": "features of images"}
"""Folders of the cache by what they hold."""
UNFINISHED = ".unfinished-"


def cache_folder() -> Path:
    """Return the cache: `$GROUNDBENCH_CACHE`, else `groundbench` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    own = os.environ.get("GROUNDBENCH_CACHE")
    if own:
        return Path(own).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".cache") / "groundbench"


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the cache.

    Attributes:
        kind: a key of `KINDS`.
        of: the file or encoder that it was made from; empty where the entry does not say.
        used: seconds since the epoch of the last use.
        whole: False for what a killed process left behind.
    """

    kind: str
    of: str
    folder: Path
    bytes: int
    used: float
    whole: bool


def entries(folder: Path | None = None) -> list[CacheEntry]:
    """Return the entries of the cache, the largest first.

    Args:
        folder: the cache; by default `cache_folder()`.
    """
    return sorted(_entries(folder or cache_folder()), key=lambda e: (-e.bytes, str(e.folder)))


def remove(entry: CacheEntry) -> None:
    """Remove an entry. Raises OSError where it may not be removed."""
    shutil.rmtree(entry.folder)


def _entries(cache: Path) -> Iterator[CacheEntry]:
    for kind in KINDS:
        for folder in sorted((cache / kind).glob("*")) if (cache / kind).is_dir() else ():
            if folder.is_dir():
                files = [p.stat() for p in folder.rglob("*") if p.is_file()]
                whole = (folder / ABOUT).is_file() and not folder.name.startswith(UNFINISHED)
                used = max((s.st_mtime for s in files), default=folder.stat().st_mtime)
                yield CacheEntry(kind, _source_of(folder), folder, sum(s.st_size for s in files), used, whole)


def _source_of(folder: Path) -> str:
    """Return what an entry says it was made from."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return str(about.get("of") or about.get("encoder") or "")
    except (OSError, ValueError, AttributeError):
        return ""
