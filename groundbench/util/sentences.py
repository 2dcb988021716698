"""Sentences of a text: the one rule by which evidence is cut and taken apart."""

from __future__ import annotations

import re
from itertools import pairwise

_END = re.compile(r"""[.!?]+["')\]]*\s+|[。！？]+["')\]」』）”’]*\s*|\n+""")
"""A mark with what closes behind it and a space (Chinese and Japanese write none), or the end of a line."""


def sentences(text: str) -> list[str]:
    """Return a text in sentences, each with the spaces behind it: joined they are the text again."""
    ends = [m.end() for m in _END.finditer(text)]
    return [text[a:b] for a, b in pairwise([0, *ends, len(text)]) if a < b]
