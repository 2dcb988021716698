"""Items of photos: one with the object, and for each other noun one without it, as alike as can be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from groundbench.api.testbed import Box
from groundbench.tasks.photos.annotations import Annotated, Thing
from groundbench.tasks.photos.categories import canonical, noun_of, shown_nouns

MIN_AREA = 0.01
"""An object covers at least this share of its image, or it is not asked about."""


@dataclass(frozen=True)
class Shown:
    """A noun's object in an image: the largest one of that noun."""

    picture: int
    box: Box


@dataclass(frozen=True)
class Mismatch:
    """An image of another noun's object, without the one asked for.

    Attributes:
        distance: 1 minus the share of the other objects' categories that the two images have in common (Jaccard;
            0: the same other objects, or none in both).
        displaced: 1 minus intersection over union of the two objects' boxes; decides between equal distances.
    """

    shown: Shown
    distance: float
    displaced: float


class Candidates:
    """All images that may be used, by the noun whose object they show.

    Args:
        pictures: those whose objects are annotated.
        min_area: the least share of the image that an object covers.
    """

    def __init__(self, pictures: Sequence[Annotated], min_area: float = MIN_AREA) -> None:
        self.pictures = sorted(pictures, key=lambda p: p.id)
        self.by_noun: dict[str, list[Shown]] = {}
        self._row = {p.id: i for i, p in enumerate(self.pictures)}
        for picture in self.pictures:
            for word, thing in _largest_objects(picture).items():
                if thing.area >= min_area:
                    self.by_noun.setdefault(word, []).append(Shown(picture.id, thing.box))

    def images_of(self, word: str) -> list[Shown]:
        """Return the noun's images, in an order that tells nothing about them but is always the same."""
        return sorted(self.by_noun.get(word, ()), key=lambda s: _lot_of(word, s.picture))

    def mismatches(self, item: Shown, word: str, others: Iterable[str]) -> dict[str, Mismatch]:
        """Return a mismatched photo for each other noun that has one, a different one where there is one.

        Who has the fewest images to choose from chooses first.
        """
        without = {u: [s for s in self.by_noun.get(u, ()) if self._lacks(s.picture, word)] for u in others if u != word}
        taken: set[int] = set()
        chosen: dict[str, Mismatch] = {}
        for other in sorted(without, key=lambda u: (len(without[u]), u)):
            found = [s for s in without[other] if s.picture not in taken] or without[other]
            if found:
                chosen[other] = self._nearest(item, word, other, found)
                taken.add(chosen[other].shown.picture)
        return dict(sorted(chosen.items()))

    def _nearest(self, item: Shown, word: str, other: str, found: Sequence[Shown]) -> Mismatch:
        """Return the photo most like the item in the other objects, without `word` and `other`."""
        rows = np.array([self._row[s.picture] for s in found])
        mine = self._has[self._row[item.picture]] & (self._nouns != word)
        theirs = self._has[rows] & (self._nouns != other)
        union = (mine | theirs).sum(axis=1)
        distance = np.where(union > 0, 1 - (mine & theirs).sum(axis=1) / np.maximum(union, 1), 0.0)
        nearest = np.flatnonzero(distance <= distance.min() + 1e-12)
        displaced = [1 - overlap(item.box, found[k].box) for k in nearest.tolist()]
        best = int(nearest[int(np.argmin(displaced))])  # the first of equals: the smallest number
        return Mismatch(found[best], float(distance[best]), float(min(displaced)))

    def _lacks(self, picture: int, word: str) -> bool:
        return word not in self._shown[self._row[picture]]

    @cached_property
    def _shown(self) -> list[frozenset[str]]:
        return [shown_nouns(p) for p in self.pictures]

    @cached_property
    def _categories(self) -> list[str]:
        return sorted({t.category for p in self.pictures for t in p.things})

    @cached_property
    def _nouns(self) -> npt.NDArray[np.str_]:
        """[C] the noun of each category; the category's own name where it has none."""
        return np.array([noun_of().get(canonical(c), f"<{c}>") for c in self._categories])

    @cached_property
    def _has(self) -> npt.NDArray[np.bool_]:
        """[P, C] which categories each image has."""
        number = {c: i for i, c in enumerate(self._categories)}
        table = np.zeros((len(self.pictures), len(number)), dtype=bool)
        for row, picture in zip(table, self.pictures, strict=True):
            row[[number[t.category] for t in picture.things]] = True
        return table


def overlap(a: Box, b: Box) -> float:
    """Compute intersection over union of two boxes."""
    across, down = (max(0.0, min(a[2 + k], b[2 + k]) - max(a[k], b[k])) for k in (0, 1))
    both = across * down
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return both / (sum(areas) - both)


def _largest_objects(picture: Annotated) -> Mapping[str, Thing]:
    """Return the noun's largest object in an image, for every noun that has one."""
    found: dict[str, Thing] = {}
    for thing in picture.things:
        word = noun_of().get(canonical(thing.category))
        if word is not None and not thing.crowd and (word not in found or thing.area > found[word].area):
            found[word] = thing
    return found


def _lot_of(word: str, number: int) -> bytes:
    return hashlib.sha256(f"{word} {number}".encode()).digest()
