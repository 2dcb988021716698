"""Absent things to ask about, in POPE's manner, from co-occurrence in a collection of images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from random import Random

KINDS = ("random", "popular", "adversarial")
NEAREST = 5
"""A popular or adversarial negative is one of this many that come first in its order."""


class Negatives:
    """Absent things, ordered by how an image would suggest them.

    Args:
        pictures: for each image of the collection everything that it shows.
    """

    def __init__(self, pictures: Iterable[frozenset[str]]) -> None:
        self.seen: Counter[str] = Counter()
        self.together: dict[str, Counter[str]] = defaultdict(Counter)
        for things in pictures:
            self.seen.update(things)
            for thing in things:
                self.together[thing].update(things - {thing})

    def order(self, kind: str, there: frozenset[str], barred: frozenset[str]) -> list[str]:
        """Order everything that is not barred: for `popular` by frequency, for `adversarial` by what was seen most
        often with the things that are there (what never was is left out); ties by name.
        """
        absent = sorted(set(self.seen) - barred)
        if kind == "popular":
            return sorted(absent, key=lambda w: -self.seen[w])
        if kind == "adversarial":
            with_these = {w: sum(self.together[t][w] for t in there) for w in absent}
            return sorted((w for w in absent if with_these[w]), key=lambda w: -with_these[w])
        return absent

    def draw(self, kind: str, there: frozenset[str], barred: frozenset[str], rng: Random) -> str | None:
        """Return one absent thing of that kind; None if there is none.

        Args:
            barred: everything that may be there.
        """
        found = self.order(kind, there, barred | there)
        if kind != "random":
            found = found[:NEAREST]
        return rng.choice(found) if found else None
