"""The quality of signals as predictors of errors, and the threshold that an operating point asks for.

The best signal is chosen on the `fit` split and reported on `test`, so that picking the best of many costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.results.risk_card import (
    EVERY,
    CalibrationRecord,
    Comparison,
    CoveragePoint,
    Estimated,
    IsotonicFit,
    KindAuroc,
    LogisticFit,
    OperatingPoint,
    Predictors,
    Role,
    SignalRecord,
)
from groundbench.results.risk_card_answers import ThresholdRow
from groundbench.results.text.numbers import percent
from groundbench.screening.calibration import calibration, ece_high, fit_isotonic, fit_logistic, predict
from groundbench.screening.error_rates import as_estimated
from groundbench.screening.policy import Policy, WantedPoint
from groundbench.screening.signals import Signal
from groundbench.screening.splits import Splits
from groundbench.stats.error_ranking import (
    Ranked,
    auroc,
    auroc_estimate,
    auroc_gap,
    auroc_p,
    ranking_quality,
)
from groundbench.stats.grouped import rate
from groundbench.stats.significance import Estimate, holm

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
ALPHA = 0.05
FEW = 1_000
"""With fewer answers to fit on, the logistic risk comes first: isotonic steps follow chance there."""


@dataclass(frozen=True)
class Scored:
    """The data by which signals are judged: [questions] risks by signal (NaN unmeasured), errors, groups, strata (kind
    in a form), and the splits."""

    risks: Mapping[str, Floats]
    error: Bools
    group: Ints
    kinds: npt.NDArray[np.str_]
    stratum: Ints
    splits: Splits
    seed: int

    def where_measured(self, name: str, part: Ints) -> Ints:
        """Return the questions of a part in which a signal was measured."""
        return part[~np.isnan(self.risks[name][part])]

    def on(self, name: str, part: Ints) -> tuple[Floats, Bools, Ints]:
        """Return a signal's risks, the errors and the groups of a part, where measured."""
        at = self.where_measured(name, part)
        return self.risks[name][at], self.error[at], self.group[at]


def signal_records(scored: Scored, signals: Sequence[Signal], missing: Mapping[str, str]) -> tuple[SignalRecord, ...]:
    """Return one record for each signal that was asked for; `missing` says why a signal was not measured."""
    records = [_record(scored, s, missing.get(s.name)) for s in signals]
    corrected = zip(holm([r.p for r in records]), holm([r.p_within for r in records]), strict=True)
    return tuple(
        r.model_copy(update={"p_holm": p, "p_within_holm": within})
        for r, (p, within) in zip(records, corrected, strict=True)
    )


def _record(scored: Scored, signal: Signal, missing: str | None) -> SignalRecord:
    told = {n: getattr(signal, n) for n in ("name", "role", "description", "cost", "source", "formula")}
    base = SignalRecord.model_validate(told)
    part = scored.splits.test if signal.fitted else scored.splits.scored
    if missing is None and not len(scored.where_measured(signal.name, part)):
        missing = f"no question of the splits fit and test has what it needs ({signal.needs})"
    if missing is not None:
        return base.model_copy(update={"missing": missing})
    risk, error, group = scored.on(signal.name, part)
    at = scored.where_measured(signal.name, part)
    fit, fit_error, _ = scored.on(signal.name, scored.splits.fit)
    test, test_error, test_group = scored.on(signal.name, scored.splits.test)
    quality = ranking_quality(risk, error, group, scored.seed)
    return base.model_copy(
        update={
            "n": len(risk),
            "auroc": as_estimated(quality.auroc),
            "auroc_within": as_estimated(auroc_estimate(risk, error, group, scored.seed, stratum=scored.stratum[at])),
            "by_kind": _by_kind(scored, risk, at),
            "p": auroc_p(risk, error, group),
            "p_within": auroc_p(risk, error, group, stratum=scored.stratum[at]),
            "auroc_fit": auroc(fit, fit_error) if len(fit) else None,
            "auroc_test": as_estimated(auroc_estimate(test, test_error, test_group, scored.seed))
            if len(test)
            else None,
            "aurc": as_estimated(quality.aurc),
            "auprc": as_estimated(quality.auprc),
            "prr": as_estimated(quality.prr),
            "curve": _curve(quality.curve),
            "calibration": _calibrate((fit, fit_error), (test, test_error, test_group), scored.seed),
        }
    )


def _curve(found: Sequence[tuple[float, Estimate]]) -> tuple[CoveragePoint, ...]:
    return tuple(CoveragePoint(coverage=c, error=e.value or 0.0, low=e.ci_low, high=e.ci_high) for c, e in found)


def _by_kind(scored: Scored, risk: Floats, at: Ints) -> tuple[KindAuroc, ...]:
    """Return the AUROC in each kind that holds wrong and right answers."""
    found = []
    for kind in dict.fromkeys(scored.kinds[at].tolist()):
        own = scored.kinds[at] == kind
        estimate = auroc_estimate(risk[own], scored.error[at][own], scored.group[at][own], scored.seed)
        found.append(KindAuroc(kind=kind, auroc=as_estimated(estimate)))
    return tuple(k for k in found if k.auroc.value is not None)


def _calibrate(
    on_fit: tuple[Floats, Bools], on_test: tuple[Floats, Bools, Ints], seed: int
) -> tuple[CalibrationRecord, ...]:
    """Return both methods, from risks and errors of the fit split, and risks, errors and groups of the test split."""
    (fit, fit_error), (test, test_error, group) = on_fit, on_test
    if not len(fit) or not len(test):
        return ()
    methods: tuple[Literal["isotonic", "logistic"], ...] = ("isotonic", "logistic")
    found = []
    for method in methods if len(fit) >= FEW else methods[::-1]:
        fitted: IsotonicFit | LogisticFit
        fitted = fit_isotonic(fit, fit_error) if method == "isotonic" else fit_logistic(fit, fit_error)
        predicted = predict(fitted, test)
        held = calibration(predicted, test_error)
        found.append(
            CalibrationRecord(
                method=method,
                fit=fitted,
                n_fit=len(fit),
                n_test=len(test),
                ece=held.ece,
                ece_raw=held.ece_raw,
                ece_high=ece_high(predicted, test_error, group, seed),
                brier=held.brier,
                bins=held.bins,
            )
        )
    return tuple(found)


def predictors(scored: Scored, records: Sequence[SignalRecord]) -> Predictors:
    """Return the best signals by their AUROC on `fit`, which are above chance, and how heads compare with baselines."""
    best_signal, best_baseline = _best(records, "signal"), _best(records, "baseline")
    both = [n for n in (best_signal, best_baseline) if n is not None]
    best = _best([r for r in records if r.name in both])
    heads = _best([r for r in records if r.name.startswith("heads-")])
    compared = dict.fromkeys(n for n in (best_signal, heads) if n is not None)
    comparisons = [_compare(scored, one, best_baseline) for one in compared if best_baseline is not None]
    return Predictors(
        best=best,
        best_signal=best_signal,
        best_baseline=best_baseline,
        above_chance=tuple(r.name for r in records if _above(r.auroc, r.p_holm)),
        above_within=tuple(r.name for r in records if _above(r.auroc_within, r.p_within_holm)),
        comparisons=tuple(c for c in comparisons if c is not None),
    )


def _best(records: Sequence[SignalRecord], role: Role | None = None) -> str | None:
    found = [(r.auroc_fit, r.name) for r in records if r.auroc_fit is not None and role in (None, r.role)]
    return max(found, key=lambda f: f[0])[1] if found else None


def _above(auroc: Estimated | None, p_holm: float | None) -> bool:
    return auroc is not None and auroc.low is not None and auroc.low > 0.5 and p_holm is not None and p_holm < ALPHA


def _compare(scored: Scored, one: str, other: str) -> Comparison | None:
    at = np.intersect1d(
        scored.where_measured(one, scored.splits.test), scored.where_measured(other, scored.splits.test)
    )
    if not len(at):
        return None
    a, b, error, group = scored.risks[one][at], scored.risks[other][at], scored.error[at], scored.group[at]
    gap = auroc_gap(a, b, error, group, scored.seed)
    within = auroc_gap(a, b, error, group, scored.seed, stratum=scored.stratum[at])
    return Comparison(one=one, other=other, gap=as_estimated(gap), within=as_estimated(within))


def operating_of(scored: Scored, policy: Policy | None, best: str | None) -> OperatingPoint | None:
    """Return the policy's operating point on the signal it names; None where it names none, or none was measured.

    A policy that bounds the risk only has one too, which it does not require: where to withhold so as to meet it.
    """
    if policy is None or (policy.operating_point is None and policy.max_risk is None):
        return None
    wanted = policy.operating_point or WantedPoint(max_risk=policy.max_risk or 0.0, min_coverage=0.0)
    name = best if wanted.signal == "best" else wanted.signal
    if name is None:
        return None
    if name not in scored.risks:
        why = f"not measured: the signal {name!r} was not asked for"
        return OperatingPoint(
            signal=name, max_risk=wanted.max_risk, min_coverage=wanted.min_coverage, threshold=None, met=False, why=why
        )
    return operating_point(scored, name, wanted.max_risk, wanted.min_coverage)


def threshold_rows(scored: Scored, signal: str) -> tuple[ThresholdRow, ...]:
    """Tabulate the effect on the `test` split of thresholds at each tenth of the `fit` split's risks."""
    fit, _, _ = scored.on(signal, scored.splits.fit)
    test, error, _ = scored.on(signal, scored.splits.test)
    if not len(fit) or not len(test):
        return ()
    found = []
    for level in sorted({float(q) for q in np.quantile(fit, np.linspace(0.1, 0.9, 9))}):
        flagged = test > level
        caught = float(flagged[error].mean()) if error.any() else None
        kept = float(error[~flagged].mean()) if (~flagged).any() else None
        found.append(ThresholdRow(threshold=level, flagged=float(flagged.mean()), caught=caught, wrong_kept=kept))
    return tuple(found)


def operating_point(scored: Scored, signal: str, max_risk: float, min_coverage: float) -> OperatingPoint:
    """Return the largest risk up to which `fit` answers err at most `max_risk`, and what it does on `test`."""
    base = OperatingPoint(
        signal=signal, max_risk=max_risk, min_coverage=min_coverage, threshold=None, met=False, why=""
    )
    risk, error, _ = scored.on(signal, scored.splits.fit)
    test, test_error, test_group = scored.on(signal, scored.splits.test)
    if not len(risk) or not len(test):
        return base.model_copy(update={"why": f"not measured: {signal} in no question of the splits fit and test"})
    chosen = _threshold(risk, error, max_risk)
    if chosen is None:
        why = f"on the fit split no threshold of {signal} keeps answers with at most {percent(max_risk, 1)} errors"
        return base.model_copy(update={"why": why})
    threshold, fit_coverage, fit_error = chosen
    kept = test <= threshold
    coverage = rate(kept, test_group)
    found = rate(test_error[kept], test_group[kept])
    low = coverage.value is None or coverage.value < min_coverage
    high = found.value is None or found.value > max_risk
    reasons = [f"{percent(coverage.value or 0, 1)} of the answers are kept"]
    reasons.append("no answer is kept" if found.value is None else f"{percent(found.value, 1)} of these are wrong")
    return base.model_copy(
        update={
            "threshold": threshold,
            "fit_coverage": fit_coverage,
            "fit_error": fit_error,
            "coverage": as_estimated(coverage),
            "error": as_estimated(found),
            "met": not (low or high),
            "why": f"on the test split {' and '.join(reasons)}",
        }
    )


def _threshold(risk: Floats, error: Bools, max_risk: float) -> tuple[float, float, float] | None:
    """Find the largest threshold with few enough errors at or below it, with coverage; None without one."""
    ranked = Ranked.of(risk, error)
    ends = np.append(ranked.start[1:], len(risk)) - 1  # a threshold takes whole blocks of equal risks
    kept, wrong = (x[ends] for x in ranked.cumulative_errors())
    good = np.flatnonzero(wrong / kept <= max_risk + 1e-12)
    if not len(good):
        return None
    last = good[-1]
    if last == len(ends) - 1:  # nothing is withheld, nor is an answer of more risk than any of these
        return EVERY, float(kept[last] / len(risk)), float(wrong[last] / kept[last])
    return float(np.sort(risk)[ends[last]]), float(kept[last] / len(risk)), float(wrong[last] / kept[last])
