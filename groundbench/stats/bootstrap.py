"""Resampling over nouns: bootstrap intervals and the sign-flip test (protocol §5).

The unit is the noun, never the item: every function takes one number for each noun. All are seeded and vectorised,
and nouns are put in order of their values first, so that the order in which a testbed lists them changes nothing.
A noun without a value (NaN: all its items failed) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

N_RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number over `n` units (nouns, seeds, groups) with its 95 % interval; None where it cannot be estimated.

    The one shape of an estimated number: statistics return it, and records hold it (`groundbench.results.base`).
    """

    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}


def bootstrap_counts(n: int, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Floats:
    """Return [n_resamples, n]: how often each of `n` nouns is drawn in each resample of n with replacement."""
    draws = np.random.default_rng(seed).integers(0, n, (n_resamples, n))
    flat = (draws + n * np.arange(n_resamples)[:, None]).ravel()
    return np.bincount(flat, minlength=n_resamples * n).reshape(n_resamples, n).astype(np.float64)


def percentile_interval(draws: Floats) -> tuple[float, float] | tuple[None, None]:
    """Return the central 95 % of bootstrap draws without the undefined (NaN); (None, None) if none remain."""
    draws = draws[~np.isnan(draws)]
    if draws.size == 0:
        return None, None
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap_mean(values: Floats, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Estimate:
    """Estimate the mean over nouns [V] with its percentile interval; no interval with fewer than two nouns."""
    x = np.sort(values[~np.isnan(values)])
    if x.size == 0:
        return Estimate(None, None, None, 0)
    if x.size == 1:
        return Estimate(float(x[0]), None, None, 1)
    low, high = percentile_interval(bootstrap_counts(x.size, n_resamples, seed) @ x / x.size)
    return Estimate(float(x.mean()), low, high, x.size)


def bootstrap_ratio(
    numerator: Floats, denominator: Floats, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Estimate:
    """Estimate a ratio of two means over the same nouns [V]; each resample draws nouns for both (protocol §13).

    Nouns that lack either value are left out. The ratio is None where the denominator's own interval touches 0.
    """
    pairs = np.column_stack([denominator, numerator])
    pairs = pairs[~np.isnan(pairs).any(1)]
    n = len(pairs)
    if n < 2:
        return Estimate(None, None, None, n)
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    below, above = (bootstrap_counts(n, n_resamples, seed) @ pairs / n).T
    low, high = percentile_interval(below)
    if low is None or high is None or low <= 0 <= high:
        return Estimate(None, None, None, n)
    usable = below != 0
    ratio_low, ratio_high = percentile_interval(above[usable] / below[usable])
    mean_below, mean_above = pairs.mean(0)
    return Estimate(float(mean_above / mean_below), ratio_low, ratio_high, n)


def signflip_p(values: Floats, *, n_flips: int = N_RESAMPLES, seed: int = 0) -> float | None:
    """Test by sign flips, two-sided, that the nouns' mean is 0, for the frames at hand (protocol §5).

    Each noun's value [V] keeps its size and takes a random sign; p = (1 + flips with a mean at least as far from 0) /
    (1 + flips). None with fewer than two nouns.
    """
    x = np.sort(values[~np.isnan(values)])
    if x.size < 2:
        return None
    signs = 2.0 * np.random.default_rng(seed).integers(0, 2, (n_flips, x.size)) - 1.0
    observed = abs(float(x.sum()))
    tolerance = 1e-12 * float(np.abs(x).sum())  # the flips that restore all signs must count as equal
    as_far = int((np.abs(signs @ x) >= observed - tolerance).sum())
    return (1 + as_far) / (1 + n_flips)
