"""Ranks of a random set of heads among control sets drawn beside it: what `p_rank` says of heads that are nothing."""

from __future__ import annotations

import numpy as np

from groundbench.measures.ablation.control_heads import set_rank_p

DESIGNS = {
    "4 x 4 heads, one in each of 4 cells": (4, 4, 1, 4, 99),
    "4 x 4 heads, 3 in each of 4 cells": (4, 4, 3, 4, 99),
    "12 x 12 heads, 17 of them": (12, 12, 17, 1, 20),
    "30 x 9 heads, 3 of them": (30, 9, 3, 1, 20),
}
"""Layers, heads in each, heads in a set, cells with sets of their own, draws."""


def rank_p_values(design: str, experiments: int, *, heavy_tails: bool, seed: int = 0) -> np.ndarray:
    """[experiments] p_rank of random sets, where each head's effect adds up; NaN where none is given."""
    layers, heads, size, cells, draws = DESIGNS[design]
    rng = np.random.default_rng([seed, len(design), heavy_tails])
    layer = np.repeat(np.arange(layers), heads)
    found = np.full(experiments, np.nan)
    for run in range(experiments):
        shape = (layers, heads)
        effect = rng.standard_t(3, size=shape) if heavy_tails else rng.standard_normal(shape)
        lists = [np.isin(np.arange(layers * heads), rng.permutation(layers * heads)[:size]) for _ in range(cells)]
        harm, drawn = 0.0, np.zeros(draws)
        for chosen in lists:
            harm += float(effect.ravel()[chosen].sum())
            for row, taken in zip(effect, chosen.reshape(shape), strict=True):
                free, k = row[~taken], min(int(taken.sum()), int((~taken).sum()))
                drawn += free[rng.random((draws, len(free))).argsort(axis=1)[:, :k]].sum(axis=1)
        different = np.unique(drawn.round(10))  # a control draws no set twice
        p = set_rank_p(harm, different, "layer", lists, layer)
        found[run] = np.nan if p is None else p
    return found
