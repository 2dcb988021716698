"""Control sets of heads: as many as were detected, drawn among the others (protocol §11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from groundbench.results.run import Control
from groundbench.stats.significance import beyond_draws_p, rank_p

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
LEVEL, FEW, FAR = 0.05, 20, 1e-3
"""The verdict's level; the fewest control draws it rests on (protocol §11); the p_draws at which it is settled sooner
than all draws are made. A bound so far below the level leaves the level as it is (Haybittle 1971, Peto et al. 1976)."""
PATIENCE = 1_000
"""After so many draws in a row that came before, a control has no others."""


def draw_control(
    kind: Control, chosen: Bools, layer: Ints, saliency: Floats, rng: np.random.Generator
) -> tuple[Bools, int]:
    """Return one control set of the size of `chosen`, and how many of it were borrowed from another layer.

    Args:
        kind: `layer`: as many in each layer; where a layer has too few others, the nearest layers lend theirs.
            `uniform`: among all others. `saliency`: the others with the largest saliency (no randomness).
        chosen: [heads] the detected heads.
        layer: [heads] each head's layer.
        saliency: [heads] each head's mean total saliency.
    """
    free = ~chosen
    size = min(int(chosen.sum()), int(free.sum()))
    picked = np.zeros_like(chosen)
    if kind == "uniform":
        picked[rng.choice(np.flatnonzero(free), size, replace=False)] = True
        return picked, 0
    if kind == "saliency":
        others = np.flatnonzero(free)
        picked[others[np.argsort(-saliency[others], kind="stable")[:size]]] = True
        return picked, 0
    return _layer_matched(chosen, layer, rng)


def draw_for_cells(lists: Sequence[Bools], draw: Callable[[int, int], tuple[Bools, int]]) -> tuple[list[Bools], int]:
    """Draw a control set for each cell's list [heads]; cells with the same heads share it. Also returns heads borrowed.

    Args:
        draw: a control set (see `draw_control`) of a cell, given the cell's number and how many were drawn before.
    """
    made: dict[bytes, tuple[Bools, int]] = {}
    for cell, chosen in enumerate(lists):
        if chosen.tobytes() not in made:
            made[chosen.tobytes()] = draw(cell, len(made))
    return [made[m.tobytes()][0] for m in lists], sum(b for _, b in made.values())


def different_draws(draw: Callable[[int], tuple[list[Bools], int]], draws: int) -> list[tuple[list[Bools], int]]:
    """Draw up to `draws` different control sets, each with how many of its heads were borrowed.

    A draw that came before is drawn again: where there are fewer different ones than asked for (one head of a layer of
    four has three), each comes once, so that a rank among them is not made small by counting the same set often.

    Args:
        draw: the sets of all cells and the heads borrowed (see `draw_for_cells`), given the number of the attempt.
    """
    found: dict[bytes, tuple[list[Bools], int]] = {}
    repeats = n = 0
    while len(found) < draws and repeats < PATIENCE:
        sets, lent = draw(n)
        key = b"".join(chosen.tobytes() for chosen in sets)
        repeats = repeats + 1 if key in found else 0
        found.setdefault(key, (sets, lent))
        n += 1
    return list(found.values())


def set_beyond_draws_p(
    value: float, draws: Sequence[float], kind: Control, lists: Sequence[Bools], layer: Ints
) -> float | None:
    """Compute the p of a value under the detected sets against the spread of random sets; None without."""
    ratio, df = set_variance(kind, _distinct_sets(lists), layer)
    return beyond_draws_p(value, draws, ratio=ratio, df=df) if np.isfinite(ratio) else None


def set_rank_p(
    harm: float, draws: Sequence[float] | Floats, kind: Control, lists: Sequence[Bools], layer: Ints
) -> float | None:
    """Compute the rank p of the harm of the detected sets among that of random sets, which overlap each other.

    None without draws, and where the heads leave a draw no choice: nothing is told by a rank among equal sets.
    """
    return rank_p(harm, draws, ratio=set_variance(kind, _distinct_sets(lists), layer)[0])


def draws_suffice(
    harm: float, draws: Sequence[float], most: int, kind: Control, lists: Sequence[Bools], layer: Ints
) -> bool:
    """Return True when the control draws made so far, at least 20, settle what all `most` of them would say.

    Either so many draws are as harmful as the detected set that its rank cannot come below 5 % any more, however
    harmless the rest are, or none is and the set stands beyond their spread with p < 0.001. Ranks and p of the draws
    made hold their level: `tests/measures/ablation/test_sequential_draws.py`.

    Args:
        harm: of the detected set, the larger the more harmful; `draws`: of the control draws so far.
    """
    if not FEW <= len(draws) < most:
        return False
    rank = set_rank_p(harm, draws, kind, lists, layer)
    if rank is None:
        return False
    as_harmful = round(rank * (1 + len(draws))) - 1
    if (1 + as_harmful) / (1 + most) > LEVEL:
        return True
    beyond = set_beyond_draws_p(harm, draws, kind, lists, layer)
    return as_harmful == 0 and beyond is not None and beyond < FAR


def _distinct_sets(lists: Sequence[Bools]) -> list[Bools]:
    return list({chosen.tobytes(): chosen for chosen in lists if chosen.any()}.values())


def set_variance(kind: Control, lists: Sequence[Bools], layer: Ints) -> tuple[float, int]:
    """Return how much more a random set's effect varies than that of control draws, which overlap each other.

    Control draws overlap each other, and none overlaps the detected set, so draws vary less around their mean than a
    random set varies around it: with k heads of a layer detected and m others, by (1 - k/m) to (1 + k/m).

    Args:
        lists: the different sets of detected heads, each [heads].

    Returns:
        The ratio of the variances (at least 1; infinite where a draw has no choice at all) and the degrees of freedom
        that the choice of heads leaves.
    """
    of_set = of_draw = 0.0
    df = 0
    for chosen in lists:
        strata = [np.ones_like(chosen)] if kind == "uniform" else [layer == k for k in np.unique(layer[chosen])]
        for stratum in strata:
            k, m = int((chosen & stratum).sum()), int((~chosen & stratum).sum())
            of_set += k * (1 + k / m) if m else k
            of_draw += k * (1 - k / m) if m > k else 0.0
            df += max(0, m - 1)
    return (of_set / of_draw if of_draw else np.inf), df


def _layer_matched(chosen: Bools, layer: Ints, rng: np.random.Generator) -> tuple[Bools, int]:
    picked = np.zeros_like(chosen)
    borrowed = 0
    wanted = {int(k): int((chosen & (layer == k)).sum()) for k in np.unique(layer)}
    for k, n in wanted.items():
        own = np.flatnonzero(~chosen & (layer == k))
        picked[rng.choice(own, min(n, len(own)), replace=False)] = True
        wanted[k] = n - min(n, len(own))
    for k, missing in wanted.items():
        for _ in range(missing):
            others = np.flatnonzero(~chosen & ~picked)
            if len(others) == 0:
                break
            distance = np.abs(layer[others] - k)
            picked[rng.choice(others[distance == distance.min()])] = True
            borrowed += 1
    return picked, borrowed
