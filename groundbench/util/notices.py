"""Remarks on stderr that a user should see once, however often their reason recurs."""

from __future__ import annotations

import os
import sys

_told: set[str] = set()


def tell_once(text: str) -> None:
    """Write a line on stderr, unless this process has written it before; of several processes the first one does."""
    if text not in _told and os.environ.get("RANK", "0") == "0":
        _told.add(text)
        print(f"groundbench: {text}", file=sys.stderr, flush=True)
