"""Suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NEAR = 0.7
"""Of names that a file may well have chosen itself: German `Frage` is no `image` mistyped (0.6)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'NAME'?` for the known name that is nearest; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def suggest_names(found: Iterable[str], known: Iterable[str]) -> str:
    """Return `; 'tuth' is perhaps 'truth'` for each name found that is near a known one; empty where none is."""
    names = list(known)
    near = ((name, difflib.get_close_matches(name, names, n=1, cutoff=NEAR)) for name in found)
    return "".join(f"; {name!r} is perhaps {match[0]!r}" for name, match in near if match)
