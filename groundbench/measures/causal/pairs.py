"""Pairs of a matched and a mismatched prompt of one length, drawn within cross-fit cells (protocol §15).

Clean: frame n with v shown; corrupt: the same frame with another noun u shown; asked for: v. Equal lengths keep every
position, window and role in place. Heads are ranked on the pairs of the opposite cell: no noun and no frame in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.engine.contexts import FormContexts, matched_prompts
from groundbench.measures.ablation.folds import Cell, make_cells
from groundbench.measures.causal.options import MIN_NOUNS, CausalOptions

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """One matched and one mismatched context (numbers), and the first tokens of both nouns.

    `other_target` is None where the noun shown in the corrupt prompt is not asked for after this frame.
    """

    noun: int
    other: int
    frame: int
    clean: int
    corrupt: int
    target: int
    other_target: int | None


@dataclass(frozen=True)
class PairCell:
    """The pairs of one cross-fit cell; `fit` marks the opposite one's items (`engine.contexts.matched_prompts`)."""

    cell: Cell
    pairs: tuple[Pair, ...]
    same_category: tuple[Pair, ...]
    left_out: int


@dataclass(frozen=True)
class Items:
    """The contexts by noun shown and frame."""

    contexts: FormContexts
    categories: tuple[str, ...]

    @classmethod
    def of(cls, contexts: FormContexts) -> Items:
        """Return the items of one form's contexts."""
        return cls(contexts, tuple(n.category for n in contexts.nouns))

    def first_token(self, context: int, noun: int) -> int | None:
        """Return the first token of a noun that is asked for after a context, else None."""
        targets = self.contexts.targets(context)
        return targets.of_noun(noun)[0] if noun in targets.nouns else None

    def mismatches(self, frame: int, noun: int, among: Sequence[int]) -> list[int]:
        """Return nouns whose prompt in this frame mismatches at equal length, with another first token."""
        keep = self.contexts.keep
        clean = self.contexts.place.get((frame, noun))
        if clean is None:
            return []
        own = self.first_token(clean, noun)
        length = self.contexts.lengths[clean]
        found = []
        for other in among:
            corrupt = self.contexts.place.get((frame, other))
            if corrupt is None or other == noun or (keep is not None and not keep[frame, other, noun]):
                continue
            if self.contexts.lengths[corrupt] == length and self.first_token(corrupt, other) != own:
                found.append(other)
        return found

    def pair(self, frame: int, noun: int, other: int) -> Pair:
        """Return the pair of a noun and one of its mismatches in a frame."""
        clean, corrupt = self.contexts.place[frame, noun], self.contexts.place[frame, other]
        target = self.first_token(clean, noun)
        assert target is not None
        return Pair(noun, other, frame, clean, corrupt, target, self.first_token(clean, other))


def make_pairs(contexts: FormContexts, options: CausalOptions, seed: int = 0) -> tuple[PairCell, ...]:
    """Return one seeded mismatch for every item of every cell; the cell opposite to number i has the number -1 - i.

    Raises:
        BadInputError: fewer than four nouns in a half, or no two nouns with prompts of equal length.
    """
    items = Items.of(contexts)
    index, item_noun = matched_prompts(contexts)
    item_frame = contexts.frame[index]
    cells = make_cells(contexts, item_noun, item_frame, seed, options.most("nouns"))
    _require_nouns(contexts, cells)
    found = tuple(
        _of_cell(items, cell, item_noun, options.most("frames"), [seed, number, 15])
        for number, cell in enumerate(cells)
    )
    if not all(c.pairs for c in found):
        raise BadInputError(_explain_no_pair(contexts, found))
    return found


def _of_cell(items: Items, cell: Cell, item_noun: Ints, most: int | None, seed: list[int]) -> PairCell:
    contexts = items.contexts
    rng = np.random.default_rng(seed)
    shared = bool((contexts.frame_nouns < 0).all())
    half = np.setdiff1d(np.arange(len(contexts.nouns)), np.unique(item_noun[cell.fit])).tolist()
    pairs, alike, left_out = [], [], 0
    frames = cell.frames
    if most is not None and shared:
        frames = np.sort(rng.permutation(frames)[:most])
    for noun in cell.nouns.tolist():
        own = frames if shared else frames[contexts.frame_nouns[frames] == noun]
        if most is not None and not shared:
            own = np.sort(rng.permutation(own)[:most])
        for frame in own.tolist():
            others = items.mismatches(frame, noun, half)
            if not others:
                left_out += (frame, noun) in contexts.place
                continue
            pairs.append(items.pair(frame, noun, int(rng.choice(others))))
            near = [u for u in others if items.categories[u] == items.categories[noun]]
            if near:
                alike.append(items.pair(frame, noun, int(rng.choice(near))))
    return PairCell(cell, tuple(pairs), tuple(alike), left_out)


def _require_nouns(contexts: FormContexts, cells: Sequence[Cell]) -> None:
    fewest = min(len(c.nouns) for c in cells)
    if fewest < MIN_NOUNS:
        raise BadInputError(
            f"form {contexts.form.name!r}: a half of the {len(contexts.nouns)} nouns has {fewest}, but the measure "
            f"causal needs at least {MIN_NOUNS} nouns in each half"
        )


def _explain_no_pair(contexts: FormContexts, cells: Sequence[PairCell]) -> str:
    """Return names the nearest lengths of two nouns' prompts in one frame."""
    empty = next(c for c in cells if not c.pairs)
    nearest: tuple[int, int, str] | None = None
    for frame in empty.cell.frames.tolist():
        chosen = np.flatnonzero(contexts.frame == frame)
        lengths = sorted({*contexts.lengths[chosen].tolist()})
        for a, b in pairwise(lengths):
            if nearest is None or b - a < nearest[1] - nearest[0]:
                nearest = a, b, contexts.frames[frame].id
    told = "all have one length but no mismatch with another first token"
    if nearest is not None:
        told = f"the nearest lengths are {nearest[0]} and {nearest[1]} tokens, in frame {nearest[2]!r}"
    return (
        f"form {contexts.form.name!r}: half of the nouns has no two prompts of equal length in one frame ({told}), "
        "but the measure causal interchanges head outputs between prompts of equal length"
    )
