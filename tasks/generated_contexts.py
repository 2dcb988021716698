"""Contexts put together of an inventory's nouns and a file of beginnings and ends, in agreement with each noun.

Every sentence is there once: two contexts never share both their beginning and their end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from groundbench.api.testbed import Noun
from groundbench.tasks.written_contexts import SLOT, Context, Layout
from groundbench.tasks.written_contexts_check import PER_NOUN
from groundbench.util.yaml_files import Marked, read_marked

_CHOICE = re.compile(r"\{([^{}/]*)/([^{}/]*)\}")
SECOND = frozenset(("una", "la", "uma", "une", "eine"))
"""Articles that take the second of two agreeing words."""


def generated_contexts(path: Path, nouns: Sequence[Noun], layout: Layout) -> list[Context]:
    """Ten contexts for each noun; the layout's speakers alternate.

    Args:
        path: `shown` and `said`, each with `starts` and `ends`; `{el/la}` in them agrees with the noun's article.

    Raises:
        BadInputError: naming file and line; too few beginnings and ends for so many nouns.
    """
    file = read_marked(path)
    fields = file.fields(("shown", "said"), ())
    parts = {name: _parts(fields[name], len(nouns)) for name in ("shown", "said")}
    tags = list(layout.roles)
    found: list[Context] = []
    for i, noun in enumerate(nouns):
        for k in range(PER_NOUN):
            start, end = _pair(*parts["shown"], i * PER_NOUN + k)
            opening, cut = _pair(*parts["said"], i * PER_NOUN + k)
            shown = _agreeing(f"{start} {SLOT} {end}", noun)
            said = _agreeing(f"{opening}, {cut}", noun)
            found.append(Context(noun.word, k + 1, shown, ((tags[k % len(tags)], said),)))
    return found


def _parts(node: Marked, nouns: int) -> tuple[list[str], list[str]]:
    fields = node.fields(("starts", "ends"), ())
    starts, ends = ([cell.text() for cell in fields[name].sequence()] for name in ("starts", "ends"))
    if len(starts) < PER_NOUN or len(starts) * len(ends) < nouns * PER_NOUN:
        raise node.error(
            f"{node.name} has {len(starts)} starts and {len(ends)} ends, expected at least {PER_NOUN} starts and "
            f"{nouns * PER_NOUN} pairs for {nouns} nouns"
        )
    return starts, ends


def _pair(starts: Sequence[str], ends: Sequence[str], number: int) -> tuple[str, str]:
    """The number-th pair: all are different while there are numbers below starts x ends."""
    turn, place = divmod(number, len(starts))
    return starts[place], ends[(turn + place) % len(ends)]


def _agreeing(text: str, noun: Noun) -> str:
    return _CHOICE.sub(lambda m: m[2] if noun.article in SECOND else m[1], text)
