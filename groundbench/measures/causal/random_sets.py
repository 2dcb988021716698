"""Random sets of heads beside a ranked one, and the tests against them (protocol §11, §15)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from groundbench.measures.ablation.control_heads import draw_control, set_variance
from groundbench.stats.significance import beyond_draws_p, rank_p

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
PATIENCE = 1_000
"""After so many draws in a row that came before, there are no others."""


def layer_matched_draws(lists: Sequence[Bools], layer: Ints, draws: int, seed: int) -> tuple[list[list[Bools]], int]:
    """Draw up to `draws` different layer-matched sets for each cell's set; also returns how many were borrowed.

    Cells with one set share their draw.
    """
    found: dict[bytes, list[Bools]] = {}
    borrowed = repeats = n = 0
    none = np.zeros(len(layer))
    while len(found) < draws and repeats < PATIENCE:
        made: dict[bytes, tuple[Bools, int]] = {}
        for chosen in lists:
            if chosen.tobytes() not in made:
                rng = np.random.default_rng([seed, n, len(made)])
                made[chosen.tobytes()] = draw_control("layer", chosen, layer, none, rng)
        sets = [made[m.tobytes()][0] for m in lists]
        key = b"".join(s.tobytes() for s in sets)
        repeats = repeats + 1 if key in found else 0
        borrowed += 0 if key in found else sum(b for _, b in made.values())
        found.setdefault(key, sets)
        n += 1
    return list(found.values()), borrowed


def against_draws(
    value: float | None, draws: Sequence[float], lists: Sequence[Bools], layer: Ints
) -> tuple[float | None, float | None]:
    """Compute p_draws (two-sided, against the draws' spread) and p_rank (as large or larger) of a share recovered."""
    if value is None:
        return None, None
    different = list({chosen.tobytes(): chosen for chosen in lists}.values())
    ratio, df = set_variance("layer", different, layer)
    beyond = beyond_draws_p(value, draws, ratio=ratio, df=df) if np.isfinite(ratio) else None
    return beyond, rank_p(value, list(draws))
