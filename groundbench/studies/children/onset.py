"""The step at which each noun grounds, and its rank correlation with children's ages and with frequency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from groundbench.api.errors import BadInputError
from groundbench.stats.bootstrap import N_RESAMPLES, Estimate, percentile_interval

Floats = npt.NDArray[np.float64]
LEAST = 5
"""Nouns with an onset below which no correlation is given."""


def onsets(steps: Sequence[int], gains: Floats) -> Floats:
    """Return the step at which each noun's gain first passes half of its last one, interpolated between checkpoints.

    Args:
        steps: [C] rising.
        gains: [C, V] nats.

    Returns:
        [V]; NaN for a noun whose last gain is not above 0, which never grounds.

    Raises:
        BadInputError: fewer than two checkpoints, steps that do not rise, or arrays that do not fit.
    """
    at = np.asarray(steps, dtype=np.float64)
    values = np.asarray(gains, dtype=np.float64)
    if len(at) < 2 or (np.diff(at) <= 0).any():
        raise BadInputError(f"steps: expected at least two checkpoints in rising order, found {list(steps)}")
    if values.ndim != 2 or len(values) != len(at):
        raise BadInputError(f"gains: expected an array [{len(at)}, nouns], found {list(values.shape)}")
    half = values[-1] / 2
    passed = values >= half
    first = passed.argmax(axis=0)
    column = np.arange(values.shape[1])
    before = np.maximum(first - 1, 0)
    low, high = values[before, column], values[first, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(first > 0, (half - low) / (high - low), 0.0)
    found = at[before] + share * (at[first] - at[before])
    return np.where(values[-1] > 0, found, np.nan)


@dataclass(frozen=True)
class Order:
    """Steps of grounding and their rank correlations over nouns; value None: not measurable.

    Attributes:
        nouns: how many nouns have an onset and an age.
        steps: [V] the step at which each noun grounds; NaN: it does not.
        steps_low, steps_high: [V] its 95 % interval, bootstrapped over the noun's frames; inf: in some resamples it
            does not ground; NaN: of a noun that does not, or has one frame only.
        age: of the step of grounding with the age at which half of the children say the noun.
        frequency: of the step with log frequency.
        partial: of the step with the age, log frequency held constant.
    """

    nouns: int
    steps: Floats
    steps_low: Floats
    steps_high: Floats
    age: Estimate
    frequency: Estimate
    partial: Estimate


def order_beside_children(
    steps: Sequence[int],
    items: Floats,
    ages: Floats,
    frequency: Floats,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Order:
    """Relate the order of grounding to that of children.

    Each resample draws nouns, and for each noun frames of its own: intervals of the correlations are over both.

    Args:
        steps: [C] checkpoints.
        items: [C, F, V] gain of each frame of each noun, nats; NaN where it was not measured.
        ages: [V] months.
        frequency: [V] how often the noun is said in the training corpus.

    Raises:
        BadInputError: arrays that do not fit.
    """
    values = np.asarray(items, dtype=np.float64)
    if values.ndim != 3 or values.shape[2] != len(ages) or len(ages) != len(frequency):
        raise BadInputError(
            f"items: expected [checkpoints, frames, {len(ages)} nouns] and as many frequencies, found "
            f"{list(values.shape)} and {len(frequency)}"
        )
    logs = np.log1p(np.asarray(frequency, dtype=np.float64))
    months = np.asarray(ages, dtype=np.float64)
    draw = np.random.default_rng(seed)
    frames, nouns = values.shape[1:]

    def statistics(gains: Floats, chosen: npt.NDArray[np.intp]) -> list[float]:
        found = onsets(steps, gains)
        rows = chosen[~np.isnan(found[chosen])]
        if len(np.unique(rows)) < LEAST:
            return [np.nan] * 3
        step, age, log = found[rows], months[rows], logs[rows]
        return [spearman(step, age), spearman(step, log), partial_spearman(step, age, log)]

    observed = statistics(_over_frames(values), np.arange(nouns))
    first = onsets(steps, _over_frames(values))
    grounded = int((~np.isnan(first)).sum())
    draws = np.empty((n_resamples, 3))
    drawn = np.empty((n_resamples, nouns))
    for i in range(n_resamples):
        picked = draw.integers(frames, size=(frames, nouns))
        means = _over_frames(np.take_along_axis(values, picked[None], axis=1))
        draws[i] = statistics(means, draw.integers(nouns, size=(nouns,)))
        drawn[i] = onsets(steps, means)

    def estimate(k: int) -> Estimate:
        if np.isnan(observed[k]):
            return Estimate(None, None, None, grounded)
        low, high = percentile_interval(draws[~np.isnan(draws[:, k]), k])
        return Estimate(float(observed[k]), low, high, grounded)

    low, high = _step_intervals(drawn, frames, first)
    return Order(grounded, first, low, high, estimate(0), estimate(1), estimate(2))


def _over_frames(items: Floats) -> Floats:
    """Return [C, V] from [C, F, V]: each noun's mean over the frames that were measured, NaN if none was."""
    there = ~np.isnan(items)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(there, items, 0.0).sum(axis=1) / there.sum(axis=1)
    return mean


def _step_intervals(drawn: Floats, frames: int, first: Floats) -> tuple[Floats, Floats]:
    """Return the 2.5th and 97.5th percentiles [V] of resampled steps [N, V]; a resample that never grounds is last."""
    if frames < 2 or not len(drawn):
        return np.full_like(first, np.nan), np.full_like(first, np.nan)
    ordered = np.where(np.isnan(drawn), np.inf, drawn)
    low, high = np.percentile(ordered, [2.5, 97.5], axis=0, method="nearest")
    return np.where(np.isnan(first), np.nan, low), np.where(np.isnan(first), np.nan, high)


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation with ties at their mean rank; NaN where one of them does not vary."""
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / scale) if scale > 0 else float("nan")


def partial_spearman(a: Floats, b: Floats, held: Floats) -> float:
    """Rank correlation of a and b with the ranks of `held` regressed out; NaN where nothing of one is left."""
    ab, ah, bh = spearman(a, b), spearman(a, held), spearman(b, held)
    rest = (1 - ah * ah) * (1 - bh * bh)
    return (ab - ah * bh) / float(np.sqrt(rest)) if rest > 1e-12 else float("nan")
