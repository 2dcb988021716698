"""Two-way clustered test of a mean over nouns x frames (protocol §5): the one source of `p_cluster`.

Why: a table of gains D[v, n] (noun v, frame n) is not V*N independent numbers. One noun's items share that noun's
gain; one frame's items share what the frame does to every noun. An item-level t-test takes them for independent
and rejects a true null in 13-50 % of tables, so this package has none.

Estimate. The mean over nouns of each noun's mean over its frames: with n_v valid items of noun v and V nouns that
have any, theta = sum_i w_i D_i, w_i = 1 / (V n_v). In a complete table that is the plain mean. Failed items (NaN)
have no weight; they are counted by the caller, never taken as 0.

Variance. With scores e_i = w_i (D_i - theta), Cameron, Gelbach and Miller ("Robust inference with multiway
clustering", JBES 29(2), 2011, 238-249), for the regression on a constant:

    Var = c_V sum_v (sum_n e_vn)^2  +  c_N sum_n (sum_v e_vn)^2  -  c_I sum_vn e_vn^2,      c_G = G / (G - 1),

each of the three one-way terms with its own finite-sample factor: G counts nouns, frames, or items (the further
factor (n-1)/(n-k) is 1 for one coefficient). R's fixest calls this the "conventional" cluster.df; sandwich::vcovCL
does the same under `cadjust`.

Test. theta / sqrt(Var) against Student's t with min(V, N) - 1 degrees of freedom, two-sided (Cameron and Miller
2015, J. Human Resources 50(2), 317-372, on multi-way clustering). With one noun or one frame there is none: the
p-value is None.

A variance that is not positive. The third term may exceed the other two (at 100 x 10 in 0.1 % of tables of pure
noise, at 20 x 6 in 3 %, at 12 x 4 in 7 %). Then the larger of the two one-way variances is used, the safe choice of
MacKinnon, Nielsen and Webb (arXiv 2406.08880); `fallback` says so. Using that maximum always would be conservative
(rejection 1.7 % at a nominal 5 % on pure noise at 100 x 10, against 5.4 %).

No variation at all. If every item is the same number up to rounding, nothing can be estimated: p is 1 if that
number is exactly 0 (a model blind to the ENV slot), else None.

Per-noun frames. Each frame belongs to one noun, so frames nest in nouns and every frame holds one item: the second
and third terms cancel and the formula IS one-way clustering by noun, with V - 1 degrees of freedom (`nested=True`).

Paired differences (two models, ablated against control) are the same test on the difference of the item tables.

What it does not cover: the choice of heads. Between two head sets the test asks whether THESE sets differ, over
nouns and frames. Where heads differ in what they carry, two sets drawn at random do differ, and it says so (40 % of
placebo pairs in a simulation); whether a set stands out among random ones is the question of `stats.rank_p`.

What it measures out to, rejection of a true null at 5 % (6,000 simulated tables each; tests/stats holds it to 2-7 %
at 100 x 10 and 20 x 6): noise only 5.4 and 5.8; noun variance 3.5 and 2.9; frame variance 5.6 and 5.4; both 3.5 and
2.8; noun x frame products 4.6 and 3.9; both, skewed 5.5 and 4.7. With 4 frames (3 degrees of freedom) it is
conservative, 0.7-5 %; with 10 x 10 it reaches 7.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from groundbench.stats.bootstrap import LEVEL, Estimate

Floats = npt.NDArray[np.float64]

ALPHA = 0.05
POWER = 0.80
_ROUNDING = 1e-12  # a spread below this share of the largest item is rounding, not variation


@dataclass(frozen=True)
class ClusteredMoments:
    """Estimate, variance and degrees of freedom of many tables at once; each array has the shape of the batch.

    `fallback` marks tables whose two-way variance was not positive. `df` below 1 means that there is no test.
    """

    mean: Floats
    variance: Floats
    df: npt.NDArray[np.int64]
    fallback: npt.NDArray[np.bool_]

    @property
    def p(self) -> Floats:
        """Two-sided p-values; NaN where there is no test."""
        testable = (self.df >= 1) & (self.variance > 0)
        t = np.abs(self.mean) / np.sqrt(np.where(testable, self.variance, 1.0))
        p = 2.0 * special.stdtr(np.maximum(self.df, 1), -t)
        blind = (self.df >= 1) & (self.variance == 0) & (self.mean == 0)
        return np.where(testable, p, np.where(blind, 1.0, np.nan))


@dataclass(frozen=True)
class ClusteredMean:
    """A mean with its clustered standard error and test; None where the design or the data allow none.

    Attributes:
        mean, se: in the unit of the items (nats).
        p: two-sided, `df` degrees of freedom.
        detectable: the smallest true mean found at 5 % with 80 % power, had it this standard error.
        fallback: the two-way variance was not positive; the larger one-way variance stands in.
    """

    mean: float | None
    se: float | None
    df: int
    p: float | None
    detectable: float | None
    n_items: int
    fallback: bool = False


def clustered_test(items: Floats, *, nested: bool = False) -> ClusteredMean:
    """Test that the mean of a table of items is 0, clustered by noun and frame (protocol §5).

    Args:
        items: [V, N], one row for each noun, one column for each frame; NaN where an item failed or is absent.
        nested: the columns are each noun's own frames (per-noun frames): cluster by noun alone.
    """
    moments = clustered_moments(items, nested=nested)
    n_items = int((~np.isnan(items)).sum())
    df, variance = int(moments.df), float(moments.variance)
    if n_items == 0:
        return ClusteredMean(None, None, df, None, None, 0)
    mean, p = float(moments.mean), float(moments.p)
    if df < 1:
        return ClusteredMean(mean, None, df, None, None, n_items)
    se = variance**0.5
    return ClusteredMean(
        mean=mean,
        se=se,
        df=df,
        p=None if np.isnan(p) else p,
        detectable=detectable_effect(se, df) if se > 0 else None,
        n_items=n_items,
        fallback=bool(moments.fallback),
    )


def items_table(values: Floats, nouns: Sequence[str], frames: Sequence[str]) -> Floats:
    """Arrange one value for each item as a table [V, N] by noun and frame, the mean where several share a cell.

    A frame that one noun alone has makes a column with one entry, for which the two-way formula is clustering by noun.
    """
    noun_names, noun = np.unique(np.array(nouns), return_inverse=True)
    frame_names, frame = np.unique(np.array(frames), return_inverse=True)
    shape = (len(noun_names), len(frame_names))
    cell = np.ravel_multi_index((noun, frame), shape)
    there = ~np.isnan(values)
    count = np.bincount(cell[there], minlength=shape[0] * shape[1])
    total = np.bincount(cell[there], values[there], minlength=count.size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)


def clustered_interval(items: Floats, *, nested: bool = False) -> Estimate:
    """Estimate the mean over nouns of a table with its 95 % two-way clustered t-interval (protocol §15).

    The interval is that of the test: it leaves out 0 exactly where `clustered_test` has p < 0.05.

    Args:
        items: [V, N], see `clustered_test`; the estimate has the unit of the items.
        nested: the columns are each noun's own frames: cluster by noun alone.

    Returns:
        `n` counts nouns with an item. No interval with one noun or one (shared) frame; both ends are the mean where
        nothing varies.
    """
    test = clustered_test(items, nested=nested)
    n = int((~np.isnan(items)).any(-1).sum())
    if test.mean is None or test.se is None:
        return Estimate(test.mean, None, None, n)
    half = float(special.stdtrit(test.df, (1 + LEVEL) / 2)) * test.se
    return Estimate(test.mean, test.mean - half, test.mean + half, n)


MIN_STANDARD_ERRORS = 5.0
"""A ratio is reported where its denominator is at least so many clustered standard errors from 0."""


def clustered_ratio(numerator: Floats, denominator: Floats, *, nested: bool = False) -> Estimate:
    """Estimate a ratio of two means over nouns with its 95 % two-way clustered interval (protocol §13).

    The variance is that of the linearised ratio (delta method): each item's score in the numerator's mean, less the
    ratio times its score in the denominator's, over the denominator's mean, clustered as in `clustered_moments`.

    Args:
        numerator, denominator: [V, N] items of the same nouns. Column n is the same frame in both; a frame that one
            of them lacks is NaN there. Only nouns with items in both count.
        nested: the columns are each noun's own frames.

    Returns:
        Null value and interval where the denominator is less than `MIN_STANDARD_ERRORS` of its own clustered standard
        errors from 0. A rule that asks for significance alone would report a ratio mostly where chance made its
        denominator large: of a denominator of 0.3 with standard error 0.22, a quarter of the runs, each with a ratio
        far too small.
    """
    both = (~np.isnan(numerator)).any(-1) & (~np.isnan(denominator)).any(-1)
    above, below = numerator[both], denominator[both]
    n = int(both.sum())
    test = clustered_test(below, nested=nested)
    if not test.mean or test.se is None or abs(test.mean) < MIN_STANDARD_ERRORS * test.se:
        return Estimate(None, None, None, n)
    mean_above, score_above = _scores(above)
    mean_below, score_below = _scores(below)
    ratio = float(mean_above / mean_below)
    score = (score_above - ratio * score_below) / mean_below
    variance, df, _ = _two_way(score, ~np.isnan(above) | ~np.isnan(below), nested=nested)
    half = float(special.stdtrit(int(df), (1 + LEVEL) / 2)) * float(variance) ** 0.5
    return Estimate(ratio, ratio - half, ratio + half, n)


def clustered_moments(items: Floats, *, nested: bool = False) -> ClusteredMoments:
    """Compute mean, clustered variance and degrees of freedom of tables [..., V, N], over the leading axes."""
    valid = ~np.isnan(items)
    mean, score = _scores(items)
    variance, df, fallback = _two_way(score, valid, nested=nested)
    scale = np.abs(np.where(valid, items, 0.0)).max((-2, -1), initial=0.0)
    variance = np.where(variance <= (_ROUNDING * scale) ** 2, 0.0, variance)
    return ClusteredMoments(mean, variance, df, fallback)


def _scores(items: Floats) -> tuple[Floats, Floats]:
    """Return the mean over nouns [...] of tables [..., V, N], and each item's weighted deviation from it."""
    valid = ~np.isnan(items)
    x = np.where(valid, items, 0.0)
    per_noun = valid.sum(-1)
    n_nouns = (per_noun > 0).sum(-1)
    mean = (x.sum(-1) / np.maximum(per_noun, 1)).sum(-1) / np.maximum(n_nouns, 1)
    weight = valid / np.maximum(per_noun * n_nouns[..., None], 1)[..., None]
    return mean, weight * (x - mean[..., None, None])


def _two_way(
    score: Floats, valid: npt.NDArray[np.bool_], *, nested: bool
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the variance, the degrees of freedom and the fallback's mark of scores [..., V, N]."""
    n_nouns = valid.any(-1).sum(-1)
    by_noun = _one_way(score.sum(-1), n_nouns)
    if nested:
        return by_noun, n_nouns - 1, np.zeros(by_noun.shape, bool)
    n_frames = valid.any(-2).sum(-1)
    by_frame = _one_way(score.sum(-2), n_frames)
    by_item = _one_way(score.reshape(*score.shape[:-2], -1), valid.sum((-2, -1)))
    two_way = by_noun + by_frame - by_item
    fallback = two_way <= 0
    return np.where(fallback, np.maximum(by_noun, by_frame), two_way), np.minimum(n_nouns, n_frames) - 1, fallback


def _one_way(scores: Floats, n_clusters: npt.NDArray[np.int64]) -> Floats:
    """Compute the one-way cluster variance of summed scores [..., G]; clusters without items have score 0."""
    variance: Floats = (scores**2).sum(-1) * n_clusters / np.maximum(n_clusters - 1, 1)
    return variance


def detectable_effect(se: float, df: int) -> float:
    """Find the smallest true mean that a two-sided t-test at 5 % finds with 80 % power, given its standard error."""
    return se * _noncentrality(df)


@lru_cache(maxsize=1024)
def _noncentrality(df: int) -> float:
    """Find the noncentrality at which |t| passes its critical value with probability `POWER`."""
    critical = float(special.stdtrit(df, 1 - ALPHA / 2))

    def shortfall(nc: float) -> float:
        # the square of a noncentral t is a noncentral F; scipy's noncentral t is NaN in the far tail
        return float(1 - special.ncfdtr(1, df, nc**2, critical**2) - POWER)

    high = critical + 1.0
    while shortfall(high) < 0:
        high *= 2
    return float(optimize.brentq(shortfall, 0.0, high))
