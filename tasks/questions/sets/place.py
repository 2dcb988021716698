"""What readers of records share: a row, why one cannot be used, and where its file lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class FaultyError(Exception):
    """Why a record cannot be used, in one sentence; where it stands is added by whoever reads the file."""


@dataclass(frozen=True)
class Place:
    """A file of records, and the folder of the images that it names (None: beside the file)."""

    path: Path
    images: Path | None = None
