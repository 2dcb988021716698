"""The statistics every measurement shares (protocol §5, §11); this module is the one to import them from.

`clustered_test` tests a mean over nouns x frames (its variance estimator and sources: `groundbench.stats.clustered`);
`bootstrap_mean`, `bootstrap_ratio` and `signflip_p` resample nouns (`groundbench.stats.bootstrap`); here stand the
corrections and intervals over other units: checkpoints (Holm), control draws (rank, spread), seeds (t).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from groundbench.stats.bootstrap import (
    LEVEL,
    N_RESAMPLES,
    Estimate,
    bootstrap_counts,
    bootstrap_mean,
    bootstrap_ratio,
    percentile_interval,
    signflip_p,
)
from groundbench.stats.clustered import (
    ClusteredMean,
    ClusteredMoments,
    clustered_interval,
    clustered_moments,
    clustered_ratio,
    clustered_test,
    detectable_effect,
    items_table,
)

__all__ = [
    "LEVEL",
    "N_RESAMPLES",
    "ClusteredMean",
    "ClusteredMoments",
    "Estimate",
    "beyond_draws_p",
    "bootstrap_counts",
    "bootstrap_mean",
    "bootstrap_ratio",
    "clustered_interval",
    "clustered_moments",
    "clustered_ratio",
    "clustered_test",
    "detectable_effect",
    "holm",
    "holm_array",
    "items_table",
    "percentile_interval",
    "rank_p",
    "signflip_p",
    "t_interval",
]

Floats = npt.NDArray[np.float64]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values by Holm's step-down (1979) in the order given; None (not tested) stays None, uncounted."""
    tested = np.array([p for p in p_values if p is not None], dtype=np.float64)
    corrected = iter(holm_array(tested).tolist())
    return [None if p is None else next(corrected) for p in p_values]


def holm_array(p_values: Floats) -> Floats:
    """Correct an array of p-values by Holm's step-down, in the order given: `holm` where there may be millions."""
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def rank_p(observed: float, draws: Sequence[float] | Floats, *, ratio: float = 1.0) -> float | None:
    """Compute the rank p among control draws: (1 + draws at least as harmful) / (1 + draws) (protocol §11).

    A rank has its level only among values that vary alike. Where the observed one would vary more, were it random too,
    its distance from the draws' mean is first brought to the scale of a draw's.

    Args:
        observed: the harm of the edit that is tested; larger is more harmful (gain lost, surprisal added).
        draws: the harm of each control draw; failed draws (NaN) are left out. None if there are none.
        ratio: the variance of the observed value, as one more random set, over that of a draw
            (`control_heads.set_variance`); None is returned where it is infinite.
    """
    harm = np.asarray(draws, dtype=np.float64)
    harm = harm[~np.isnan(harm)]
    if harm.size == 0 or np.isnan(observed) or not np.isfinite(ratio):
        return None
    if ratio != 1:
        middle = float(harm.mean())
        observed = middle + (observed - middle) / ratio**0.5
    return (1 + int((harm >= observed).sum())) / (1 + harm.size)


def beyond_draws_p(
    observed: float, draws: Sequence[float] | Floats, *, ratio: float = 1.0, df: int | None = None
) -> float | None:
    """Test a value against the spread of control draws: two-sided t-test.

    Args:
        ratio: the variance of the value, as one more random set, over that of a draw (`controls.set_variance`).
        df: degrees of freedom of the draws' variance where draws overlap; at most, and by default, their number - 1.

    Returns:
        None with fewer than two draws or no degree of freedom. Where all draws are equal, 0 for any other value and 1
        for the same one.
    """
    x = np.asarray(draws, dtype=np.float64)
    x = x[~np.isnan(x)]
    df = x.size - 1 if df is None else min(df, x.size - 1)
    if df < 1 or np.isnan(observed):
        return None
    off = abs(observed - float(x.mean()))
    spread = float(x.std(ddof=1)) * (ratio + 1 / x.size) ** 0.5
    if spread == 0:
        return float(off == 0)
    return float(2 * special.stdtr(df, -off / spread))


def t_interval(values: Sequence[float] | Floats) -> Estimate:
    """Estimate the mean over seeds with its 95 % t-interval (n - 1 degrees of freedom); none with one seed."""
    x = np.asarray(values, dtype=np.float64)
    x = x[~np.isnan(x)]
    if x.size == 0:
        return Estimate(None, None, None, 0)
    mean = float(x.mean())
    if x.size == 1:
        return Estimate(mean, None, None, 1)
    half = float(special.stdtrit(x.size - 1, (1 + LEVEL) / 2) * x.std(ddof=1) / x.size**0.5)
    return Estimate(mean, mean - half, mean + half, x.size)
