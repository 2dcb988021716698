"""Statistics of questions that come in groups: questions on one scene are not independent, scenes are.

Rates have Wilson intervals at the effective number of questions (Korn & Graubard 1998: the number divided by the
design effect of the groups); means and everything ranked have percentile intervals of a bootstrap over groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from groundbench.stats.significance import LEVEL, Estimate, bootstrap_counts, percentile_interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

RESAMPLES = 2_000
CHUNK = 1 << 21
"""Numbers in one block of resampled weights."""


def group_numbers(names: Sequence[str]) -> Ints:
    """[questions] each one's group as a number, in the order of the names: the order of questions changes nothing."""
    place = {name: i for i, name in enumerate(sorted(set(names)))}
    return np.array([place[n] for n in names], dtype=np.int64)


def rate(events: Bools, group: Ints) -> Estimate:
    """Estimate how often something happens, with its interval; `n` counts questions. No interval with one group.

    The variance is estimated from the groups, so Korn and Graubard's factor (t of n - 1 over t of G - 1 degrees of
    freedom, squared) reduces the effective number; G counts groups as (sum m)^2 / sum m^2 of their sizes m, since few
    large groups tell less of their variance than many equal ones. A rate of 0 or 1 has no variance to tell the design
    effect from: there the groups alone are counted.
    """
    n = len(events)
    if n == 0:
        return Estimate(None, None, None, 0)
    p = float(events.mean())
    own = np.unique(group, return_inverse=True)[1]
    groups = int(own.max()) + 1
    if groups < 2:
        return Estimate(p, None, None, n)
    sizes = np.bincount(own).astype(np.float64)
    equal = float(sizes.sum() ** 2 / (sizes**2).sum())
    size = float(groups)
    if 0 < p < 1:
        sums = np.bincount(own, events - p)
        variance = groups / (groups - 1) * float(sums @ sums) / n**2
        size = min(n, p * (1 - p) / variance) if variance > 0 else n
        if equal < n:  # each question a group of its own: nothing is lost
            size *= (_t(n - 1) / _t(max(equal - 1, 1.0))) ** 2
    low, high = wilson(p, size)
    return Estimate(p, low, high, n)


def _t(df: float) -> float:
    """Return the two-sided 95 % point of Student's t."""
    return float(special.stdtrit(df, (1 + LEVEL) / 2))


def wilson(p: float, n: float) -> tuple[float, float]:
    """Compute the 95 % Wilson interval of a rate among `n` independent trials; `n` may be fractional."""
    z = float(special.ndtri((1 + LEVEL) / 2))
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return 0.0 if p == 0 else max(0.0, middle - half), 1.0 if p == 1 else min(1.0, middle + half)


def grouped_mean(values: Floats, group: Ints, seed: int = 0) -> Estimate:
    """Estimate the mean over questions with its interval; NaN is left out, `n` counts what was measured."""
    known = ~np.isnan(values)
    if not known.any():
        return Estimate(None, None, None, 0)
    x, own = values[known], np.unique(group[known], return_inverse=True)[1]
    mean, n = float(x.mean()), len(x)
    groups = int(own.max()) + 1
    if groups < 2:
        return Estimate(mean, None, None, n)
    counts = _counts(groups, RESAMPLES, seed)
    low, high = percentile_interval(counts @ np.bincount(own, x) / (counts @ np.bincount(own)))
    return Estimate(mean, low, high, n)


def resample(statistic: Callable[[Floats], Floats], group: Ints, seed: int = 0) -> Floats:
    """Compute [resamples, ...], a statistic of weighted questions under resamples of groups.

    Args:
        statistic: takes weights [b, questions], how often each question stands in each resample.
    """
    own = np.unique(group, return_inverse=True)[1]
    counts = _counts(int(own.max()) + 1, RESAMPLES, seed)
    return np.concatenate([statistic(part[:, own]) for part in _blocks(counts, len(own))])


def _counts(groups: int, resamples: int, seed: int) -> Floats:
    """Draw resamples of groups; few are kept, since every signal of a card is judged on the same ones."""
    return (
        _kept_counts(groups, resamples, seed)
        if groups * resamples <= CHUNK
        else bootstrap_counts(groups, resamples, seed)
    )


@lru_cache(maxsize=4)
def _kept_counts(groups: int, resamples: int, seed: int) -> Floats:
    counts = bootstrap_counts(groups, resamples, seed)
    counts.setflags(write=False)
    return counts


def _blocks(counts: Floats, width: int) -> Iterator[Floats]:
    step = max(1, CHUNK // width)
    for start in range(0, len(counts), step):
        yield counts[start : start + step]
