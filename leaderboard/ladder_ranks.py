"""Ranks by ladder score: models are compared on the forms that both were measured on, noun by noun, frame by frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.leaderboard.ranks import ALPHA, Rank, difference_p, each_once
from groundbench.leaderboard.submission.reference import TestbedReference
from groundbench.measures.gain.ladder_score import WORD, FormGains, form_gains
from groundbench.stats.significance import holm_array

Floats32 = npt.NDArray[np.float32]
MOST_SETS = 16
"""Different sets of forms among which models are compared; rarer sets are shown without a rank."""


@dataclass(frozen=True)
class LadderItems:
    """The data that ranks a model: of every form its ratio, and each item's part of it ([nouns, frames])."""

    ratios: Mapping[str, float]
    influence: Mapping[str, Floats32]

    @property
    def forms(self) -> frozenset[str]:
        """The forms that have a ratio."""
        return frozenset(self.ratios)


def ladder_items(
    tables: Mapping[str, SurprisalTable], forms: Sequence[str], bed: TestbedReference
) -> LadderItems | None:
    """Return the ratios and influences of the scored forms, nouns and frames in the testbed's order.

    None without `word`.
    """
    if WORD not in tables or not forms:
        return None
    nouns = {n: i for i, n in enumerate(bed.forms[WORD].nouns)}
    n_frames = len(bed.forms[WORD].frames)
    ratios, influence = {}, {}
    for name in forms:
        if name not in tables:
            return None
        pair = form_gains(tables[name], tables[WORD])
        ratio, parts = _influence(pair)
        full = np.zeros((len(nouns), n_frames), dtype=np.float32)
        full[[nouns[n] for n in pair.nouns]] = _in_frames(parts, pair, n_frames)
        ratios[name], influence[name] = ratio, full
    return LadderItems(ratios, influence)


def _influence(pair: FormGains) -> tuple[float, npt.NDArray[np.float64]]:
    """G(f) / G(word), and what each item adds to its deviation; frames are averaged where forms differ."""
    same = pair.frames == pair.word_frames
    gain, word = np.nan_to_num(pair.gain), np.nan_to_num(pair.word)
    if not same:
        gain, word = gain.mean(1, keepdims=True), word.mean(1, keepdims=True)
    ratio = float(gain.mean() / word.mean())
    return ratio, (gain - ratio * word) / (word.mean() * gain.size)


def _in_frames(parts: npt.NDArray[np.float64], pair: FormGains, n_frames: int) -> npt.NDArray[np.float64]:
    """Return the parts in the word's frames; what belongs to no frame of the word is spread over all of them."""
    return parts if parts.shape[1] == n_frames else np.repeat(parts.sum(1, keepdims=True) / n_frames, n_frames, axis=1)


def rank_ladders(items: Sequence[LadderItems], keys: Sequence[Hashable]) -> list[Rank | None]:
    """Return the ranks of models by their score on shared forms; None for a model whose set of forms is too rare.

    `keys` are equal for entries of one model, which is counted once: see `each_once`.
    """
    return each_once(keys, lambda chosen: _rank([items[i] for i in chosen]))


def _rank(items: Sequence[LadderItems]) -> list[Rank | None]:
    classes: dict[frozenset[str], list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        classes[item.forms].append(i)
    kept = sorted(classes, key=lambda s: (-len(classes[s]), sorted(s)))[:MOST_SETS]
    pairs: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    ahead = []
    for a, one in enumerate(kept):
        for other in kept[: a + 1]:
            shared = sorted(one & other)
            members = classes[one] if one == other else [*classes[one], *classes[other]]
            if not shared or len(members) < 2:
                continue
            value = np.array([np.mean([items[i].ratios[f] for f in shared]) for i in members])
            influence = np.stack([np.mean([items[i].influence[f] for f in shared], axis=0) for i in members])
            p = difference_p(value, influence.astype(np.float64))
            rows, columns = _cross(len(classes[one]), len(members), one == other)
            index = np.array(members)
            keep = ~np.isnan(p[rows, columns])
            rows, columns = rows[keep], columns[keep]
            pairs.append((index[rows], index[columns], p[rows, columns]))
            ahead.append(value[rows] > value[columns])
    better = np.zeros(len(items), dtype=np.int64)
    if pairs:
        p = np.concatenate([x[2] for x in pairs])
        significant = holm_array(p) <= ALPHA
        first = np.concatenate([x[0] for x in pairs])
        second = np.concatenate([x[1] for x in pairs])
        higher = np.concatenate(ahead)
        behind = np.where(higher, second, first)[significant]
        better += np.bincount(behind, minlength=len(items))
    ranked = {i for s in kept for i in classes[s]}
    return [Rank(int(better[i]) + 1, "paired") if i in ranked else None for i in range(len(items))]


def _cross(n_one: int, n: int, same: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the pairs to be tested: all within one set of forms, or those across two."""
    if same:
        return np.triu_indices(n, 1)
    rows, columns = np.meshgrid(np.arange(n_one), np.arange(n_one, n), indexing="ij")
    return rows.ravel(), columns.ravel()
