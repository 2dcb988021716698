"""Names with hyphens in the cells of a table: `translation-fr` is one word and keeps to one line."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

LONGEST = 20
"""Characters of a name that a phone's column has room for; a longer one may break at its hyphens."""
NAME = re.compile(r"(?<![\w-])\w+(?:-\w+)+(?![\w-])")
CELL = re.compile(r"(<t([dh])\b[^>]*>)(.*?)(?=</t\2>)", re.DOTALL)
TAG = re.compile(r"(<[^>]*>)")


def unbroken_text(text: str) -> Markup:
    """Return a cell's text, escaped where it is no markup, in which no short name breaks at a hyphen."""
    return Markup("".join(p if i % 2 else NAME.sub(_wrap_name, p) for i, p in enumerate(TAG.split(escape(text)))))


def with_unbroken_cells(html: str) -> str:
    """Return a page in which no short name in a cell of a table breaks at a hyphen."""
    return CELL.sub(lambda found: Markup(found[1]) + unbroken_text(Markup(found[3])), html)


def _wrap_name(found: re.Match[str]) -> str:
    name = found[0]
    return f'<span class="unbroken">{name}</span>' if len(name) <= LONGEST else name
