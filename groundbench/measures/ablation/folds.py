"""Cross-fitting: heads detected in one half of nouns and frames are cut in the other half (protocol §11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.engine.contexts import FormContexts

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cell:
    """The items of some nouns in some frames, whose heads come from `fit`: items sharing no noun and no frame."""

    nouns: Ints
    frames: Ints
    fit: Bools
    """[items] of the saliency that the heads are detected in."""


def make_cells(
    contexts: FormContexts, item_noun: Ints, item_frame: Ints, seed: int, most: int | None = None
) -> tuple[Cell, ...]:
    """Split items into cells by seeded halves of nouns and of frames.

    Shared frames make four cells (noun half x frame half), each fitted on the opposite one, so that every item is
    tested once on heads found with other nouns in other frames. Per-noun frames nest in nouns: two cells.

    `most`: cells hold a seeded sample of this many nouns, half of it from each half, and each noun is tested in one
    half of the (shared) frames only: two cells, each fitted on the other's whole half.
    """
    rng = np.random.default_rng(seed)
    nouns = _halves(len(contexts.nouns), rng)
    tested = nouns if most is None else _sample(nouns, most, seed)
    if (contexts.frame_nouns >= 0).all():
        frames = [np.flatnonzero(np.isin(contexts.frame_nouns, half)) for half in tested]
        return tuple(Cell(tested[h], frames[h], np.isin(item_noun, nouns[1 - h])) for h in (0, 1))
    frames = _halves(len(contexts.frames), rng)
    return tuple(
        Cell(tested[a], frames[b], np.isin(item_noun, nouns[1 - a]) & np.isin(item_frame, frames[1 - b]))
        for a in (0, 1)
        for b in (0, 1)
        if most is None or a == b
    )


def _sample(halves: list[Ints], most: int, seed: int) -> list[Ints]:
    """Draw of each half a seeded sample, together at most `most`."""
    rng = np.random.default_rng([seed, most])
    sizes = (most // 2, most - most // 2)
    return [np.sort(rng.permutation(half)[:size]) for half, size in zip(halves, sizes, strict=True)]


def _halves(n: int, rng: np.random.Generator) -> list[Ints]:
    order = rng.permutation(n)
    return [np.sort(order[: n // 2]), np.sort(order[n // 2 :])]
