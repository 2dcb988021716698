"""Random sets of heads beside a ranked one, and the tests against them (protocol §11, §15)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from groundbench.measures.ablation.control_heads import (
    different_draws,
    draw_control,
    draw_for_cells,
    set_beyond_draws_p,
    set_rank_p,
)

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def layer_matched_draws(lists: Sequence[Bools], layer: Ints, draws: int, seed: int) -> tuple[list[list[Bools]], int]:
    """Draw up to `draws` different layer-matched sets for each cell's set; also returns how many were borrowed.

    Cells with one set share their draw.
    """
    none = np.zeros(len(layer))

    def draw(n: int) -> tuple[list[Bools], int]:
        def of_cell(cell: int, before: int) -> tuple[Bools, int]:
            return draw_control("layer", lists[cell], layer, none, np.random.default_rng([seed, n, before]))

        return draw_for_cells(lists, of_cell)

    found = different_draws(draw, draws)
    return [sets for sets, _ in found], sum(borrowed for _, borrowed in found)


def against_draws(
    value: float | None, draws: Sequence[float], lists: Sequence[Bools], layer: Ints
) -> tuple[float | None, float | None]:
    """Compute p_draws (two-sided, against the draws' spread) and p_rank (as large or larger) of a share recovered."""
    if value is None:
        return None, None
    return set_beyond_draws_p(value, draws, "layer", lists, layer), set_rank_p(value, draws, "layer", lists, layer)
