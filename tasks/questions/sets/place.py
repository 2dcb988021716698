"""Shared parts of the readers of records: a row, the reason against one, and the place of its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class FaultyError(Exception):
    """The reason for which a record cannot be used, in one sentence; the reader of the file adds the place."""


@dataclass(frozen=True)
class Place:
    """A file of records, and the folder of the images that it names (None: beside the file)."""

    path: Path
    images: Path | None = None
