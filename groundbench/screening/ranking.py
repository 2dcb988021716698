"""How well a risk ranks errors: AUROC, and the risk that is left when the riskiest answers are withheld.

Ties count half (AUROC), or stand in the order of chance (risk-coverage). Nothing is estimated where all answers are
right or all are wrong: AUROC is then None, never 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from groundbench.screening.grouped import resampled
from groundbench.stats import Estimate, percentile_interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
COVERAGES = tuple(round(0.05 * k, 2) for k in range(1, 21))


@dataclass(frozen=True)
class Ranked:
    """Answers in the order of their risk, least first, with equal risks as one block."""

    error: Floats
    block: Ints
    start: Ints
    order: Ints

    @classmethod
    def of(cls, risk: Floats, error: Bools) -> Ranked:
        """Sort [answers]; risks must be finite."""
        order = np.argsort(risk, kind="stable")
        _, start, block = np.unique(risk[order], return_index=True, return_inverse=True)
        return cls(error[order].astype(np.float64), block, start, order)

    def aurocs(self, weights: Floats) -> Floats:
        """[b] AUROC under each row of weights [b, answers] (in the answers' own order); NaN without both classes."""
        weights = weights[:, self.order]
        wrong = np.add.reduceat(weights * self.error, self.start, axis=1)
        right = np.add.reduceat(weights * (1 - self.error), self.start, axis=1)
        pairs = (wrong * (np.cumsum(right, axis=1) - right / 2)).sum(1)
        below = wrong.sum(1) * right.sum(1)
        return np.divide(pairs, below, out=np.full(len(weights), np.nan), where=below > 0)

    def kept(self) -> tuple[Floats, Floats]:
        """[answers] the number and the expected errors among each answer and all of less risk."""
        share = np.bincount(self.block, self.error) / np.bincount(self.block)
        return np.arange(1.0, len(self.error) + 1), np.cumsum(share[self.block])

    def aurcs(self, weights: Floats) -> Floats:
        """[b] the area under the risk-coverage curve: the mean over coverages of the share of errors kept.

        Along a block of equal risks the errors kept rise evenly: (e + s t) / (w + t), whose integral is below.
        """
        weights = weights[:, self.order]
        own = np.add.reduceat(weights, self.start, axis=1)
        wrong = np.add.reduceat(weights * self.error, self.start, axis=1)
        share = np.divide(wrong, own, out=np.zeros_like(own), where=own > 0)
        end = np.cumsum(own, axis=1)
        begin, before = end - own, np.cumsum(wrong, axis=1) - wrong
        growth = np.log(np.divide(end, begin, out=np.ones_like(end), where=begin > 0))
        mean: Floats = (share * own + (before - share * begin) * growth).sum(1) / end[:, -1]
        return mean


def auroc(risk: Floats, error: Bools) -> float | None:
    """The chance that a wrong answer has a larger risk than a right one, ties half; None without both classes."""
    if error.all() or not error.any():
        return None
    return float(Ranked.of(risk, error).aurocs(np.ones((1, len(risk))))[0])


def auroc_estimate(risk: Floats, error: Bools, group: Ints, seed: int = 0) -> Estimate:
    """AUROC with its interval: a bootstrap over groups."""
    value = auroc(risk, error)
    if value is None or len(np.unique(group)) < 2:
        return Estimate(value, None, None, len(risk))
    low, high = percentile_interval(resampled(Ranked.of(risk, error).aurocs, group, seed))
    return Estimate(value, low, high, len(risk))


def auroc_gap(one: Floats, other: Floats, error: Bools, group: Ints, seed: int = 0) -> Estimate:
    """AUROC of one risk minus that of another on the same answers, paired in every resample of groups."""
    a, b = auroc(one, error), auroc(other, error)
    if a is None or b is None or len(np.unique(group)) < 2:
        return Estimate(None if a is None or b is None else a - b, None, None, len(error))
    ranked = Ranked.of(one, error), Ranked.of(other, error)
    low, high = percentile_interval(resampled(lambda w: ranked[0].aurocs(w) - ranked[1].aurocs(w), group, seed))
    return Estimate(a - b, low, high, len(error))


def auroc_p(risk: Floats, error: Bools, group: Ints) -> float | None:
    """Two-sided p that the AUROC is 0.5, clustered by group; None where it cannot be tested.

    DeLong's placement values, summed within groups (Obuchowski 1997): each wrong answer's share of right answers below
    it, and the other way round.
    """
    value = auroc(risk, error)
    own = np.unique(group, return_inverse=True)[1]
    groups = int(own.max()) + 1
    if value is None or groups < 2:
        return None
    wrong, right = np.sort(risk[error]), np.sort(risk[~error])
    placement = np.where(error, _below(right, risk), 1 - _below(wrong, risk))
    influence = (placement - value) / np.where(error, len(wrong), len(right))
    sums = np.bincount(own, influence)
    spread = (groups / (groups - 1) * float(sums @ sums)) ** 0.5
    if spread == 0:
        return float(value == 0.5)
    return float(2 * special.ndtr(-abs(value - 0.5) / spread))


def _below(among: Floats, risk: Floats) -> Floats:
    """[answers] the share of `among` (sorted) that each risk exceeds, ties half."""
    found: Floats = (np.searchsorted(among, risk, "left") + np.searchsorted(among, risk, "right")) / 2 / len(among)
    return found


def aurc_estimate(risk: Floats, error: Bools, group: Ints, seed: int = 0) -> Estimate:
    """The area under the risk-coverage curve with its interval; a risk that says nothing has the error rate."""
    ranked = Ranked.of(risk, error)
    value = float(ranked.aurcs(np.ones((1, len(risk))))[0])
    if len(np.unique(group)) < 2:
        return Estimate(value, None, None, len(risk))
    low, high = percentile_interval(resampled(ranked.aurcs, group, seed))
    return Estimate(value, low, high, len(risk))


def risk_coverage(risk: Floats, error: Bools) -> list[tuple[float, float]]:
    """(coverage, share of errors among the answers kept) at every twentieth of the answers, least risk first."""
    kept, wrong = Ranked.of(risk, error).kept()
    at = [max(1, round(c * len(risk))) - 1 for c in COVERAGES]
    return [(float(kept[i] / len(risk)), float(wrong[i] / kept[i])) for i in at]
