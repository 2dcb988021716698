"""Measures of how well a risk ranks errors: AUROC, and the risk left when the riskiest answers are withheld.

Ties count half (AUROC), or stand in the order of chance (risk-coverage). Nothing is estimated where all answers are
right or all are wrong: AUROC is then None, never 0.5. Where fewer than FEWEST groups hold a wrong answer, or a right
one, an AUROC has neither interval nor p: so few of one class tell next to nothing of its spread, and a resample of the
groups draws the same ones again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from groundbench.stats.grouped import resample
from groundbench.stats.significance import Estimate, percentile_interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
FEWEST = 10
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

    def sums(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return [b, blocks] the answers of each block, and the wrong ones among them, under weights [b, answers] (in
        the answers' own order)."""
        weights = np.ascontiguousarray(weights[:, self.order])
        wrong = weights * self.error
        if len(self.start) == len(self.order):  # no ties: every answer is a block of its own
            return weights, wrong
        return np.add.reduceat(weights, self.start, axis=1), np.add.reduceat(wrong, self.start, axis=1)

    def aurocs(self, weights: Floats) -> Floats:
        """[b] AUROC under each row of weights [b, answers]; NaN without both classes."""
        return auroc_of(*self.sums(weights))

    def cumulative_errors(self) -> tuple[Floats, Floats]:
        """Return [answers] the number and the expected errors among each answer and all of less risk."""
        share = np.bincount(self.block, self.error) / np.bincount(self.block)
        return np.arange(1.0, len(self.error) + 1), np.cumsum(share[self.block])

    def aurcs(self, weights: Floats) -> Floats:
        """Compute [b] the area under the risk-coverage curve under each row of weights [b, answers]."""
        return aurc_of(*self.sums(weights))


def auroc_of(own: Floats, wrong: Floats) -> Floats:
    """Compute [b] AUROC from [b, blocks] answers and wrong answers of equal risk, least risk first; NaN without both
    classes."""
    right = own - wrong
    pairs = (wrong * (np.cumsum(right, axis=1) - right / 2)).sum(1)
    below = wrong.sum(1) * right.sum(1)
    found: Floats = np.divide(pairs, below, out=np.full(len(own), np.nan), where=below > 0)
    return found


def aurc_of(own: Floats, wrong: Floats) -> Floats:
    """Compute [b] the area under the risk-coverage curve: the mean over coverages of the share of errors kept.

    Along a block of equal risks the errors kept rise evenly: (e + s t) / (w + t), whose integral is below.
    """
    share = np.divide(wrong, own, out=np.zeros_like(own), where=own > 0)
    end = np.cumsum(own, axis=1)
    begin, before = end - own, np.cumsum(wrong, axis=1) - wrong
    growth = np.log(np.divide(end, begin, out=np.ones_like(end), where=begin > 0))
    mean: Floats = (share * own + (before - share * begin) * growth).sum(1) / end[:, -1]
    return mean


def auprc_of(own: Floats, wrong: Floats) -> Floats:
    """[b] the area under the precision-recall curve of the errors (average precision), riskiest first; NaN without
    an error. Equal risks are one step, so that their order changes nothing."""
    own, wrong = own[:, ::-1], wrong[:, ::-1]
    total = wrong.sum(1)
    flagged = np.cumsum(own, axis=1)
    precision = np.divide(np.cumsum(wrong, axis=1), flagged, out=np.zeros_like(own), where=flagged > 0)
    found: Floats = np.divide((precision * wrong).sum(1), total, out=np.full(len(own), np.nan), where=total > 0)
    return found


def curve_of(own: Floats, wrong: Floats, coverages: Floats) -> Floats:
    """Compute [b, coverages] the share of errors among the part of least risk."""
    zero = np.zeros((len(own), 1))
    kept, lost = np.hstack([zero, np.cumsum(own, axis=1)]), np.hstack([zero, np.cumsum(wrong, axis=1)])
    wanted = coverages * kept[:, -1:]
    rows = (np.interp(w, k, e) for w, k, e in zip(wanted, kept, lost, strict=True))
    found: Floats = np.array(list(rows)) / wanted
    return found


def auroc(risk: Floats, error: Bools) -> float | None:
    """Compute the chance that a wrong answer has a larger risk than a right one, ties half; None without both."""
    if error.all() or not error.any():
        return None
    return float(Ranked.of(risk, error).aurocs(np.ones((1, len(risk))))[0])


Weighted = Callable[[Floats], Floats]
"""A statistic [b] of answers under weights [b, answers]; NaN where it is not defined."""


def within(risk: Floats, error: Bools, stratum: Ints) -> Weighted:
    """AUROC over pairs of one stratum only. Kinds of question differ in how often they are answered wrongly; a risk
    that only tells the kinds apart has 0.5 here."""
    parts = [np.flatnonzero(stratum == k) for k in np.unique(stratum)]
    ranked = [(at, Ranked.of(risk[at], error[at])) for at in parts]

    def pool(weights: Floats) -> Floats:
        above, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for at, own in ranked:
            w = weights[:, at]
            n = (w * error[at]).sum(1) * (w * ~error[at]).sum(1)
            above += np.where(n > 0, np.nan_to_num(own.aurocs(w)) * n, 0.0)
            pairs += n
        found: Floats = np.divide(above, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
        return found

    return pool


def auroc_estimate(risk: Floats, error: Bools, group: Ints, seed: int = 0, *, stratum: Ints | None = None) -> Estimate:
    """Estimate AUROC, or that within strata, with its interval: a bootstrap over groups."""
    return _estimate(_aurocs(risk, error, stratum), group, seed, can_be_told(error, group, stratum))


def auroc_gap(
    one: Floats, other: Floats, error: Bools, group: Ints, seed: int = 0, *, stratum: Ints | None = None
) -> Estimate:
    """Estimate AUROC of one risk minus that of another on the same answers, paired in every resample of groups."""
    a, b = _aurocs(one, error, stratum), _aurocs(other, error, stratum)
    can = can_be_told(error, group, stratum)
    return _estimate(lambda weights: a(weights) - b(weights), group, seed, can)


def _aurocs(risk: Floats, error: Bools, stratum: Ints | None) -> Weighted:
    return Ranked.of(risk, error).aurocs if stratum is None else within(risk, error, stratum)


def can_be_told(error: Bools, group: Ints, stratum: Ints | None = None) -> bool:
    """Return True if an AUROC (within strata: of those with both classes) rests on enough groups of either class."""
    return _groups_of_rarer(error, group, stratum) >= FEWEST


def _groups_of_rarer(error: Bools, group: Ints, stratum: Ints | None) -> int:
    """Count the groups that hold a wrong answer, and those that hold a right one; return the smaller number."""
    counted = np.ones(len(error), dtype=bool)
    if stratum is not None:
        both = [k for k in np.unique(stratum) if 0 < error[stratum == k].sum() < (stratum == k).sum()]
        counted = np.isin(stratum, both)
    return min(len(np.unique(group[counted & part])) for part in (error, ~error))


def _estimate(statistic: Weighted, group: Ints, seed: int, has_interval: bool = True) -> Estimate:
    value = float(statistic(np.ones((1, len(group))))[0])
    if np.isnan(value):
        return Estimate(None, None, None, len(group))
    if not has_interval or len(np.unique(group)) < 2:
        return Estimate(value, None, None, len(group))
    low, high = percentile_interval(resample(statistic, group, seed))
    return Estimate(value, low, high, len(group))


def auroc_p(risk: Floats, error: Bools, group: Ints, *, stratum: Ints | None = None) -> float | None:
    """Test, two-sided and clustered by group, that the AUROC (or that within strata) is 0.5; None where impossible.

    DeLong's placement values, summed within groups (Obuchowski 1997): each wrong answer's share of right answers below
    it, and the other way round; each pair of answers counts once, whatever its stratum. Student's t, with one degree of
    freedom less than groups that hold the rarer of wrong and right answers: few of them tell little of their spread,
    and Holm's correction asks for small p.
    """
    if not _has_pairs(error, group, stratum):
        return None
    value, influence = _influence(risk, error, stratum)
    return _two_sided(value - 0.5, influence, group, _groups_of_rarer(error, group, stratum) - 1)


def auroc_gap_p(one: Floats, other: Floats, error: Bools, group: Ints, *, stratum: Ints | None = None) -> float | None:
    """Test, two-sided and clustered by group, that two risks of the same answers have the same AUROC (DeLong et al.
    1988, paired; within strata if given); None where impossible."""
    if not _has_pairs(error, group, stratum):
        return None
    (a, of_one), (b, of_other) = _influence(one, error, stratum), _influence(other, error, stratum)
    return _two_sided(a - b, of_one - of_other, group, _groups_of_rarer(error, group, stratum) - 1)


def _has_pairs(error: Bools, group: Ints, stratum: Ints | None) -> bool:
    strata = np.zeros(len(error), dtype=np.int64) if stratum is None else stratum
    pairs = any(0 < error[strata == k].sum() < (strata == k).sum() for k in np.unique(strata))
    return pairs and can_be_told(error, group, stratum)


def _influence(risk: Floats, error: Bools, stratum: Ints | None) -> tuple[float, Floats]:
    """Return the AUROC (within strata) and [answers] what each answer adds to its deviation."""
    strata = np.zeros(len(risk), dtype=np.int64) if stratum is None else stratum
    value = float(within(risk, error, strata)(np.ones((1, len(risk))))[0])
    influence = np.zeros(len(risk))
    pairs = 0.0
    for k in np.unique(strata):
        at = np.flatnonzero(strata == k)
        wrong, right = np.sort(risk[at][error[at]]), np.sort(risk[at][~error[at]])
        if len(wrong) and len(right):
            placement = np.where(error[at], _below(right, risk[at]), 1 - _below(wrong, risk[at]))
            influence[at] = (placement - value) * np.where(error[at], len(right), len(wrong))
            pairs += len(wrong) * len(right)
    return value, influence / pairs


def _two_sided(deviation: float, influence: Floats, group: Ints, df: int) -> float:
    own = np.unique(group, return_inverse=True)[1]
    groups = int(own.max()) + 1
    sums = np.bincount(own, influence)
    spread = (groups / (groups - 1) * float(sums @ sums)) ** 0.5
    if spread == 0:
        return float(deviation == 0)
    return float(2 * special.stdtr(df, -abs(deviation) / spread))


def _below(among: Floats, risk: Floats) -> Floats:
    """Compute [answers] the share of `among` (sorted) that each risk exceeds, ties half."""
    found: Floats = (np.searchsorted(among, risk, "left") + np.searchsorted(among, risk, "right")) / 2 / len(among)
    return found


@dataclass(frozen=True)
class RankingQuality:
    """Every measure of how one risk ranks errors, estimated from the same resamples of groups.

    Attributes:
        auroc: of the errors among the answers.
        aurc: area under the risk-coverage curve; a risk that says nothing has the error rate.
        auprc: area under the precision-recall curve of the errors; chance has the error rate.
        prr: prediction rejection ratio (Malinin, Gales 2021), of areas under the risk-coverage curve: 1 if every error
            ranks above every right answer, 0 for chance, below 0 for worse.
        curve: (coverage, share of errors among the answers kept) at every twentieth of the answers, least risk first;
            intervals are at the same coverage of each resample, and along a block of equal risks the errors kept rise
            evenly.
    """

    auroc: Estimate
    aurc: Estimate
    auprc: Estimate
    prr: Estimate
    curve: tuple[tuple[float, Estimate], ...]


def ranking_quality(risk: Floats, error: Bools, group: Ints, seed: int = 0) -> RankingQuality:
    """Estimate every measure of a ranking; answers are sorted, and their groups resampled, once for all of them."""
    ranked = Ranked.of(risk, error)
    best = Ranked.of(error.astype(np.float64), error)
    kept, lost = ranked.cumulative_errors()
    at = [max(1, round(c * len(risk))) - 1 for c in COVERAGES]
    points = [(float(kept[i] / len(risk)), float(lost[i] / kept[i])) for i in at]
    coverages = np.array([c for c, _ in points])

    def areas(weights: Floats, own: Floats, wrong: Floats) -> list[Floats]:
        aurc = aurc_of(own, wrong)
        rate = (weights * error).sum(1) / weights.sum(1)
        most = rate - best.aurcs(weights)
        prr = np.divide(rate - aurc, most, out=np.full(len(weights), np.nan), where=most > 0)
        return [auroc_of(own, wrong), aurc, auprc_of(own, wrong), prr]

    def measures(weights: Floats) -> Floats:
        own, wrong = ranked.sums(weights)
        return np.column_stack([*areas(weights, own, wrong), curve_of(own, wrong, coverages)])

    once = np.ones((1, len(risk)))
    values = [float(v[0]) for v in areas(once, *ranked.sums(once))]
    several, told = len(np.unique(group)) > 1, can_be_told(error, group)
    ends: list[tuple[float, float] | tuple[None, None]] = [(None, None)] * (len(values) + len(points))
    if several:
        ends = [percentile_interval(column) for column in resample(measures, group, seed).T]
    n = len(risk)
    found = []
    for value, end, has in zip(values, ends, (told, True, told, told), strict=False):
        low, high = end if has and not np.isnan(value) else (None, None)
        found.append(Estimate(None if np.isnan(value) else value, low, high, n))
    curve = tuple((c, Estimate(e, end[0], end[1], n)) for (c, e), end in zip(points, ends[len(values) :], strict=True))
    auroc, aurc, auprc, prr = found
    return RankingQuality(auroc, aurc, auprc, prr, curve)
