"""Adjusted R² of a regression on one variable, with a bootstrap interval over nouns (protocol §7).

Ordinary least squares with an intercept: R² is the squared correlation, adjusted R² = 1 - (1 - R²)(n - 1)/(n - 2).
A resample of nouns is a vector of weights, so all resamples are a few matrix products.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from groundbench.stats.bootstrap import N_RESAMPLES, Estimate, bootstrap_counts, percentile_interval

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-12  # a standard deviation below this share of the largest value is rounding, not variation


def noun_r2(x: Floats, y: Floats, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Estimate:
    """Estimate adjusted R² of y on x, one point for each noun [V]; nouns without a value (NaN) are left out.

    None with fewer than three nouns or where either does not vary.
    """
    valid = ~np.isnan(x) & ~np.isnan(y)
    order = np.lexsort((y[valid], x[valid]))
    x, y = x[valid][order], y[valid][order]
    if len(x) < 3 or not (_varies(x) and _varies(y)):
        return Estimate(None, None, None, len(x))
    moments = np.stack(_moments(x - x.mean(), y - y.mean()))
    point = _adjusted_r2(moments.sum(-1))
    draws = _adjusted_r2(moments @ bootstrap_counts(len(x), n_resamples, seed).T)
    low, high = percentile_interval(draws)
    return Estimate(float(point), low, high, len(x))


def pair_r2(x: Floats, y: Floats, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Estimate:
    """Estimate adjusted R² of y on x over all pairs of nouns [V, V]; pairs without a value (NaN) are left out.

    The interval resamples nouns, on both sides at once: a pair (u, v) weighs c_u c_v, a pair (v, v) c_v, with c how
    often a noun was drawn (drawn twice, it makes no pair with itself that was never measured).
    """
    valid = ~np.isnan(x) & ~np.isnan(y)
    n = int(valid.sum())
    if n < 3 or not (_varies(x[valid]) and _varies(y[valid])):
        return Estimate(None, None, None, n)
    dx = np.where(valid, x - x[valid].mean(), 0.0)
    dy = np.where(valid, y - y[valid].mean(), 0.0)
    layers = [m * valid for m in _moments(dx, dy)]
    counts = bootstrap_counts(len(x), n_resamples, seed)

    def weigh(layer: Floats) -> Floats:
        own = np.diagonal(layer)
        weighted: Floats = ((counts @ (layer - np.diag(own))) * counts).sum(1) + counts @ own
        return weighted

    point = _adjusted_r2(np.stack([layer.sum() for layer in layers]))
    low, high = percentile_interval(_adjusted_r2(np.stack([weigh(layer) for layer in layers])))
    return Estimate(float(point), low, high, n)


def _varies(values: Floats) -> bool:
    return bool(values.std() > _ROUNDING * np.abs(values).max())


def _moments(x: Floats, y: Floats) -> list[Floats]:
    return [np.ones_like(x), x, y, x * x, y * y, x * y]


def _adjusted_r2(sums: Floats) -> Floats:
    """Compute adjusted R² from summed moments [6, ...]: n, x, y, xx, yy, xy; NaN where a variable does not vary."""
    n, x, y, xx, yy, xy = sums
    safe = np.maximum(n, 3.0)
    var_x, var_y, cov = xx - x * x / safe, yy - y * y / safe, xy - x * y / safe
    varies = (n >= 3) & (var_x > _ROUNDING * np.abs(xx)) & (var_y > _ROUNDING * np.abs(yy))
    r2 = np.where(varies, cov * cov / np.where(varies, var_x * var_y, 1.0), np.nan)
    adjusted: Floats = 1.0 - (1.0 - np.minimum(r2, 1.0)) * (safe - 1) / (safe - 2)
    return adjusted
