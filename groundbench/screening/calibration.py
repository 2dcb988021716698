"""From a signal to a probability of error: fitted on one split, tested on another.

Logistic: Platt (1999), with his smoothed labels, so that a split without errors has a risk near 0 and none of exactly
0. Isotonic: the least-squares rising function of the signal, linear between its knots, constant beyond them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from groundbench.results.risk_card import IsotonicFit, LogisticFit, ReliabilityBin
from groundbench.stats.grouped import resample
from groundbench.stats.significance import percentile_interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
BINS = 10


def fit_logistic(risk: Floats, error: Bools) -> LogisticFit:
    """Fit risk -> P(error) = 1 / (1 + exp(-(intercept + slope * risk)))."""
    wrong, right = int(error.sum()), int((~error).sum())
    label = np.where(error, (wrong + 1) / (wrong + 2), 1 / (right + 2))
    middle, scale = float(risk.mean()), float(risk.std())
    x = (risk - middle) / scale if scale > 0 else np.zeros_like(risk)

    def loss(beta: Floats) -> tuple[float, Floats]:
        z = beta[0] + beta[1] * x
        off = special.expit(z) - label
        return float(np.mean(np.logaddexp(0, z) - label * z)), np.array([off.mean(), (off * x).mean()])

    start = np.array([special.logit(label.mean()), 0.0])
    beta = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9}).x
    slope = float(beta[1] / scale) if scale > 0 else 0.0
    return LogisticFit(intercept=float(beta[0]) - slope * middle, slope=slope)


def fit_isotonic(risk: Floats, error: Bools) -> IsotonicFit:
    """Return the rising step function, kept at the ends of its steps only."""
    knots, inverse, counts = np.unique(risk, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, error) / counts
    fitted = optimize.isotonic_regression(mean, weights=counts).x
    inner = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
    kept = np.concatenate([[True], ~inner, [True]])[: len(knots)]
    return IsotonicFit(risk=tuple(map(float, knots[kept])), error=tuple(map(float, fitted[kept])))


def predict(fit: LogisticFit | IsotonicFit, risk: Floats) -> Floats:
    """Return [answers] the calibrated probability of error."""
    if isinstance(fit, LogisticFit):
        z: Floats = special.expit(fit.intercept + fit.slope * risk)
        return z
    return np.interp(risk, fit.risk, fit.error)


@dataclass(frozen=True)
class Calibration:
    """The fit of predicted risks on a test split: expected calibration error, Brier score, and the bins."""

    ece: float
    ece_raw: float
    brier: float
    bins: tuple[ReliabilityBin, ...]


def calibration(predicted: Floats, error: Bools, bins: int = BINS) -> Calibration:
    """Compute the expected calibration error in bins of equal mass: the mean gap of prediction and outcome.

    A mean of absolute gaps is above 0 by chance alone: of a perfectly calibrated risk it is 0.09 in ten bins of ten
    answers. `ece` is the true gap, the same in all bins, whose mean absolute gap with chance is the one found; 0 where
    chance alone gives as much. `ece_raw` is the plain mean. Equal predictions that fall into two bins bring their mean
    error to both, so the order of answers changes nothing.
    """
    order = np.argsort(predicted, kind="stable")
    p, e = predicted[order], error[order].astype(np.float64)
    _, block = np.unique(p, return_inverse=True)
    smooth = (np.bincount(block, e) / np.bincount(block))[block]
    parts = [part for part in np.array_split(np.arange(len(p)), bins) if len(part)]
    found = tuple(
        ReliabilityBin(n=len(part), predicted=float(p[part].mean()), observed=float(smooth[part].mean()))
        for part in parts
    )
    raw = sum(b.n * abs(b.predicted - b.observed) for b in found) / len(p)
    return Calibration(true_gap(raw, p, bins), raw, float(((predicted - error) ** 2).mean()), found)


def true_gap(raw: float, predicted: Floats, bins: int = BINS) -> float:
    """Return the gap g for which bins of these risks, each off by g, have the mean absolute gap `raw`.

    A bin of n independent answers with risks p has a gap that is about normal around g with standard deviation
    s = sqrt(sum p (1 - p)) / n, whose mean absolute value is s sqrt(2 / pi) exp(-g^2 / 2 s^2) + g (1 - 2 Phi(-g / s)).
    Answers of one group may be alike; then chance gives more, and the gap errs upwards.
    """
    parts = [x for x in np.array_split(np.sort(predicted), bins) if len(x)]
    weight = np.array([len(x) for x in parts]) / len(predicted)
    spread = np.maximum([float((x * (1 - x)).sum()) ** 0.5 / len(x) for x in parts], 1e-12)

    def expected_gap(g: float) -> float:
        z = g / spread
        each = spread * (2 / np.pi) ** 0.5 * np.exp(-(z**2) / 2) + g * (1 - 2 * special.ndtr(-z))
        return float(weight @ each)

    if raw <= expected_gap(0.0):
        return 0.0
    if expected_gap(raw) <= raw:  # equal but for rounding, where chance adds nothing
        return raw
    return float(optimize.brentq(lambda g: expected_gap(g) - raw, 0.0, raw))


def ece_high(predicted: Floats, error: Bools, group: Ints, seed: int = 0, bins: int = BINS) -> float | None:
    """Estimate the upper end of the calibration error's 95 % interval: a bootstrap over groups of answers.

    The fitted risk and the bins stay as they are. Only the upper end is given: resampling adds to a mean of absolute
    gaps, so the lower end of such an interval tells nothing, and the upper one errs on the side of caution. None with
    one group.
    """
    if len(np.unique(group)) < 2:
        return None
    risks, block, size = np.unique(predicted, return_inverse=True, return_counts=True)
    order = np.argsort(block, kind="stable")
    start = np.cumsum(size) - size
    part = np.zeros((len(risks), bins))  # how much of each predicted risk's answers falls into each bin
    for k, at in enumerate(np.array_split(block[order], bins)):
        part[:, k] = np.bincount(at, minlength=len(risks)) / size
    gap = (predicted - error)[order]

    def ece(weights: Floats) -> Floats:
        sums: Floats = np.add.reduceat(weights[:, order] * gap, start, axis=1) @ part
        found: Floats = np.abs(sums).sum(1) / weights.sum(1)
        return found

    return percentile_interval(resample(ece, group, seed))[1]
