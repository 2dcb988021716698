"""Ranks of a random set of heads among control sets drawn beside it: what `p_rank` says of heads that are nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groundbench.measures.ablation.control_heads import FEW, draws_suffice, set_beyond_draws_p, set_rank_p

DESIGNS = {
    "4 x 4 heads, one in each of 4 cells": (4, 4, 1, 4, 99),
    "4 x 4 heads, 3 in each of 4 cells": (4, 4, 3, 4, 99),
    "12 x 12 heads, 17 of them": (12, 12, 17, 1, 20),
    "30 x 9 heads, 3 of them": (30, 9, 3, 1, 20),
}
"""Layers, heads in each, heads in a set, cells with sets of their own, draws."""


@dataclass(frozen=True)
class Experiment:
    """The harm of a random set and of the different control sets beside it, in the order in which they are drawn."""

    harm: float
    drawn: np.ndarray
    lists: list[np.ndarray]
    layer: np.ndarray

    def p_values(self, made: int | None = None) -> tuple[float, float]:
        """p_rank and p_draws of the first `made` draws; NaN where none is given."""
        given = self.harm, self.drawn[:made], "layer", self.lists, self.layer
        rank, beyond = set_rank_p(*given), set_beyond_draws_p(*given)
        return (np.nan if rank is None else rank), (np.nan if beyond is None else beyond)

    def made(self) -> int:
        """Count the draws that are made before they settle the verdict."""
        most = len(self.drawn)
        for n in range(FEW, most):
            if draws_suffice(self.harm, self.drawn[:n].tolist(), most, "layer", self.lists, self.layer):
                return n
        return most


def experiments_of(
    design: str, experiments: int, *, heavy_tails: bool, seed: int = 0, planted: float = 0.0
) -> list[Experiment]:
    """Random sets, where each head's effect adds up and `planted` is added to that of the set."""
    layers, heads, size, cells, draws = DESIGNS[design]
    rng = np.random.default_rng([seed, len(design), heavy_tails])
    layer = np.repeat(np.arange(layers), heads)
    found = []
    for _ in range(experiments):
        shape = (layers, heads)
        effect = rng.standard_t(3, size=shape) if heavy_tails else rng.standard_normal(shape)
        lists = [np.isin(np.arange(layers * heads), rng.permutation(layers * heads)[:size]) for _ in range(cells)]
        harm, drawn = planted, np.zeros(draws)
        for chosen in lists:
            harm += float(effect.ravel()[chosen].sum())
            for row, taken in zip(effect, chosen.reshape(shape), strict=True):
                free, k = row[~taken], min(int(taken.sum()), int((~taken).sum()))
                drawn += free[rng.random((draws, len(free))).argsort(axis=1)[:, :k]].sum(axis=1)
        _, first = np.unique(drawn.round(10), return_index=True)  # a control draws no set twice
        found.append(Experiment(harm, drawn[np.sort(first)], lists, layer))
    return found


def rank_p_values(design: str, experiments: int, *, heavy_tails: bool, seed: int = 0) -> np.ndarray:
    """[experiments] p_rank of random sets; NaN where none is given."""
    made = experiments_of(design, experiments, heavy_tails=heavy_tails, seed=seed)
    return np.array([e.p_values()[0] for e in made])
