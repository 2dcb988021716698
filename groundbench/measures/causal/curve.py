"""Faithfulness curves and their areas (protocol §15), from surprisals of pairs; no model here.

f(C) = (m(C) - m(none)) / (m(all) - m(none)) with m = -s(v): a ratio of means over nouns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from groundbench.results.causal import CurvePoint, CurveRecord, Interval, Ranking
from groundbench.stats.bootstrap import N_RESAMPLES, bootstrap_counts, bootstrap_ratio, percentile_interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
HALF = 0.5


def by_noun(noun: Ints, values: Floats) -> Floats:
    """Return [nouns, ...] each noun's mean over its pairs; values [pairs, ...]. Pairs without a value are left out."""
    rows = []
    for n in np.unique(noun):
        own = values[noun == n]
        known = ~np.isnan(own)
        total = np.where(known, own, 0.0).sum(0)
        rows.append(np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan))
    return np.array(rows)


def ratio(noun: Ints, above: Floats, below: Floats, seed: int) -> Interval:
    """Return a ratio of means over nouns of two values of each pair, with its paired bootstrap."""
    found = bootstrap_ratio(by_noun(noun, above), by_noun(noun, below), seed=seed)
    return Interval(value=found.value, ci_low=found.ci_low, ci_high=found.ci_high)


def areas(share: Floats, f: Floats, *, log: bool = False) -> tuple[float, float]:
    """Compute CPR and CMD: areas under f and of |1 - f| over the share of heads (or its logarithm), by trapezoids."""
    x = np.log(share) if log else share
    return float(np.trapezoid(f, x)), float(np.trapezoid(np.abs(1 - f), x))


def heads_for_half(sizes: Ints, f: Floats) -> float:
    """Return the least number of heads with f >= 0.5, linear between the measured sizes; NaN if f stays below it."""
    reached = np.flatnonzero(f >= HALF)
    if reached.size == 0:
        return float("nan")
    i = int(reached[0])
    if i == 0:
        return float(sizes[0])
    return float(sizes[i - 1] + (HALF - f[i - 1]) / (f[i] - f[i - 1]) * (sizes[i] - sizes[i - 1]))


def curve_record(
    ranking: Ranking,
    noun: Ints,
    sizes: Ints,
    surprisal: Floats,
    clean: Floats,
    none: Floats,
    corrupt: Floats,
    n_heads: int,
    *,
    crossfit: bool,
    seed: int,
    n_resamples: int = N_RESAMPLES,
) -> CurveRecord:
    """Return a curve with intervals over nouns.

    Args:
        noun: [pairs] each pair's noun.
        surprisal: [pairs, sizes] of the noun with the first heads clean and all others corrupt.
        clean, none: [pairs] with all heads clean, and with all heads corrupt.
        corrupt: [pairs] in the corrupt prompt itself.
    """
    above = by_noun(noun, none[:, None] - surprisal)
    below = by_noun(noun, none - clean)
    empty = ratio(noun, corrupt - none, corrupt - clean, seed).value
    whole = bootstrap_ratio(below, below, n_resamples=n_resamples, seed=seed)
    if whole.value is None:  # there is no gain to be faithful to
        return CurveRecord(ranking=ranking, crossfit=crossfit, points=tuple(CurvePoint(k=int(k)) for k in sizes))
    order = np.lexsort(np.column_stack([below, above]).T[::-1])
    counts = bootstrap_counts(len(below), n_resamples, seed)
    draws = (counts @ above[order]) / (counts @ below[order])[:, None]
    f = above.mean(0) / below.mean()
    points = []
    for j, k in enumerate(sizes.tolist()):
        low, high = percentile_interval(draws[:, j])
        points.append(CurvePoint(k=k, f=float(f[j]), ci_low=low, ci_high=high))
    share = sizes / n_heads
    linear, logarithmic = (areas(share, f, log=log) if len(sizes) > 1 else (None, None) for log in (False, True))
    half = heads_for_half(sizes, f)
    low, high = percentile_interval(np.array([heads_for_half(sizes, d) for d in draws]))
    return CurveRecord(
        ranking=ranking,
        crossfit=crossfit,
        points=tuple(points),
        cpr=linear[0],
        cmd=linear[1],
        cpr_log=logarithmic[0],
        cmd_log=logarithmic[1],
        heads_for_half=Interval() if np.isnan(half) else Interval(value=half, ci_low=low, ci_high=high),
        empty=empty,
    )


def random_band(curves: list[CurveRecord]) -> CurveRecord:
    """Return the mean of curves of random orders; the interval of a point is their range."""
    points = []
    for row in zip(*(c.points for c in curves), strict=True):
        known = [p.f for p in row if p.f is not None]
        if known:
            points.append(CurvePoint(k=row[0].k, f=float(np.mean(known)), ci_low=min(known), ci_high=max(known)))
        else:
            points.append(CurvePoint(k=row[0].k))

    def mean(name: str) -> float | None:
        known = [v for c in curves if (v := getattr(c, name)) is not None]
        return float(np.mean(known)) if known else None

    halves = [c.heads_for_half.value for c in curves if c.heads_for_half.value is not None]
    half = Interval(value=float(np.mean(halves)), ci_low=min(halves), ci_high=max(halves)) if halves else Interval()
    return CurveRecord(
        ranking="random",
        points=tuple(points),
        cpr=mean("cpr"),
        cmd=mean("cmd"),
        cpr_log=mean("cpr_log"),
        cmd_log=mean("cmd_log"),
        heads_for_half=half,
        empty=mean("empty"),
        n_orders=len(curves),
    )
