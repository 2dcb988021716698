"""Contexts put together of an inventory's nouns and a file of beginnings and ends, in agreement with each noun.

Every sentence is there once: two contexts never share both their beginning and their end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from groundbench.api.testbed import Noun
from groundbench.tasks.written_contexts import SLOT, Context, Layout
from groundbench.tasks.written_contexts_check import PER_NOUN
from groundbench.util.yaml_files import Marked, read_marked

_CHOICE = re.compile(r"\{([^{}/]*)/([^{}/]*)\}")
SECOND = frozenset(("una", "la", "uma", "une", "eine"))
"""Articles that take the second of two agreeing words."""


def generated_contexts(
    path: Path, nouns: Sequence[Noun], layout: Layout, numbers: Mapping[str, Sequence[int]] | None = None
) -> list[Context]:
    """Contexts for each noun; the layout's speakers alternate.

    Args:
        path: `shown` and `said`, each with `starts` and `ends`; `{el/la}` in them agrees with the noun's article.
        numbers: which of a noun's ten contexts to make; None: all ten of each.

    Raises:
        BadInputError: naming file and line; too few beginnings and ends for so many nouns.
    """
    wanted = [(n, k) for n in nouns for k in (range(1, PER_NOUN + 1) if numbers is None else numbers.get(n.word, ()))]
    file = read_marked(path)
    fields = file.fields(("shown", "said"), ())
    parts = {name: _parts(fields[name], len(wanted)) for name in ("shown", "said")}
    tags = list(layout.roles)
    found: list[Context] = []
    for place, (noun, number) in enumerate(wanted):
        start, end = _pair(*parts["shown"], place)
        opening, cut = _pair(*parts["said"], place)
        shown = _agree(f"{start} {SLOT} {end}", noun)
        said = _agree(f"{opening}, {cut}", noun)
        found.append(Context(noun.word, number, shown, ((tags[place % len(tags)], said),)))
    return found


def _parts(node: Marked, contexts: int) -> tuple[list[str], list[str]]:
    fields = node.fields(("starts", "ends"), ())
    starts, ends = ([cell.text() for cell in fields[name].sequence()] for name in ("starts", "ends"))
    if min(len(starts), len(ends)) < PER_NOUN or len(starts) * len(ends) < contexts:
        raise node.error(
            f"{node.name} has {len(starts)} starts and {len(ends)} ends, expected at least {PER_NOUN} of each and "
            f"{contexts} pairs, one for each context"
        )
    return starts, ends


def _pair(starts: Sequence[str], ends: Sequence[str], number: int) -> tuple[str, str]:
    """Return the number-th pair: all are different while there are numbers below starts x ends."""
    turn, place = divmod(number, len(starts))
    return starts[place], ends[(turn + place) % len(ends)]


def _agree(text: str, noun: Noun) -> str:
    return _CHOICE.sub(lambda m: m[2] if noun.article in SECOND else m[1], text)
