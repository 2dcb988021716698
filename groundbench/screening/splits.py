"""Three disjoint splits of the questions, by group: heads are detected in one, risks fitted in another, tested in the
third."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
DETECT, FIT = 0.2, 0.4
"""Parts of the groups; the rest, as many as `fit`, are tested."""


class Grouped(Protocol):
    """Whatever is asked: a question, or a record of a user's own."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def group(self) -> str: ...  # noqa: D102


T = TypeVar("T", bound=Grouped)


@dataclass(frozen=True)
class Splits:
    """Questions (their numbers) of each split."""

    detect: Ints
    fit: Ints
    test: Ints

    @property
    def scored(self) -> Ints:
        """The questions that no head was detected in."""
        return np.sort(np.concatenate([self.fit, self.test]))


def split(questions: Sequence[Grouped], seed: int) -> Splits:
    """Split by seed; a group (a scene, an image) is never parted. The order of the questions changes nothing."""
    order = _shuffle_groups(questions, seed)
    cuts = round(DETECT * len(order)), round((DETECT + FIT) * len(order))
    place = {name: int(i >= cuts[0]) + int(i >= cuts[1]) for i, name in enumerate(order)}
    where = np.array([place[q.group] for q in questions])
    return Splits(*(np.flatnonzero(where == k) for k in range(3)))


def sample(questions: Sequence[T], limit: int | None, seed: int) -> tuple[T, ...]:
    """Sample at most `limit` questions: whole groups in a seeded order, and of the last one as many as fit."""
    if limit is None:
        return tuple(questions)
    rank = {name: i for i, name in enumerate(_shuffle_groups(questions, seed))}
    chosen = sorted(range(len(questions)), key=lambda i: (rank[questions[i].group], questions[i].id))[:limit]
    return tuple(questions[i] for i in chosen)


def _shuffle_groups(questions: Sequence[Grouped], seed: int) -> list[str]:
    names = sorted({q.group for q in questions})
    return [names[i] for i in np.random.default_rng([seed, 8]).permutation(len(names))]
