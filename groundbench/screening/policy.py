"""Requirements of a model before it ships: a policy, and its verdict on a card. It fails closed.

A requirement of something that was not measured is not met, and the check says why it was not measured. A rate over
what is left when too many questions could not be asked is not a measurement of the model either.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from groundbench.api.errors import BadInputError
from groundbench.api.question import MENTION
from groundbench.results.risk_card import Check, ErrorRecord, Estimated, MentionRecord, RiskCard, SignalRecord, Verdict
from groundbench.stats.error_ranking import FEWEST
from groundbench.util.yaml_records import read_yaml

MAX_UNASKED = 0.05
Share = Annotated[float, Field(ge=0, le=1)]


_AGAINST = {"without": "without their evidence", "mismatched": "on other evidence"}


class Part(BaseModel):
    """Base of a policy's parts: no unknown field, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WantedPoint(Part):
    """Answer or withhold: at most `max_risk` errors among the answers kept, and at least `min_coverage` kept.

    `signal`: whose threshold decides; `best` is the one that predicts errors best on the fit split.
    """

    max_risk: Share
    min_coverage: Share
    signal: str = "best"


class Policy(Part):
    """Requirements, each of which must be met; at least one.

    Attributes:
        max_risk: the error rate over all questions; `max_risk_by_kind`: of questions of one kind.
        max_usual: of questions whose evidence contradicts the usual, how often the usual may be answered.
        max_absent: the probability that what is named next is not there (see `MentionRecord`).
        max_yes_bias: by how much the share of yes may differ from the share that should be.
        min_gain: the true answer's mean grounding gain (nats), against no evidence, and against other evidence.
        min_auroc: of the signal that predicts errors best, on the test split.
        max_ece: the expected calibration error of that signal's risk (the first method of its record), on test.
        max_unasked: of all questions, and of those that a requirement is about, the share that may be missing (could
            not be asked, have no such comparison or no value of the signal) before what is said of the others counts
            as not measured. It requires nothing by itself and is always in force.
        operating_point: see `WantedPoint`.
        min_questions: questions that were answered.
        sure: compare the end of the 95 % interval that is worse, instead of the estimate.
    """

    version: Literal[1] = 1
    max_risk: Share | None = None
    max_risk_by_kind: dict[str, Share] = Field(default_factory=dict)
    max_usual: Share | None = None
    max_absent: Share | None = None
    max_yes_bias: Share | None = None
    min_gain: float | None = None
    min_auroc: Share | None = None
    max_ece: Share | None = None
    operating_point: WantedPoint | None = None
    min_questions: int | None = Field(default=None, ge=1)
    max_unasked: Share = MAX_UNASKED
    sure: bool = False

    @property
    def empty(self) -> bool:
        """True if nothing is required."""
        return not self.model_dump(exclude_defaults=True, exclude={"version", "sure", "max_unasked"})

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a policy from YAML. Raises BadInputError naming file, line and field."""
        file = read_yaml(path, "a policy in YAML")
        if not isinstance(file.value, dict):
            found = type(file.value).__name__
            raise BadInputError(f"{path}: found {found}, expected requirements such as max_risk: 0.15")
        policy = file.record(cls, file.value)
        if policy.empty:
            raise BadInputError(f"{path}: requires nothing; expected at least one requirement such as max_risk: 0.15")
        return policy


def judge(card: RiskCard, policy: Policy | None) -> Verdict:
    """Judge a card; without a policy (or with an empty one) nothing is checked and `passed` is None."""
    if policy is None or policy.empty:
        return Verdict()
    checks = tuple(_fail_if_missing(check, card, policy.max_unasked) for check in _checks(card, policy))
    return Verdict(
        policy={**policy.model_dump(mode="json", exclude_defaults=True), "max_unasked": policy.max_unasked},
        checks=checks,
        passed=all(c.passed for c in checks),
    )


def _fail_if_missing(check: Check, card: RiskCard, most: float) -> Check:
    """Return the check; not met where more than `most` of the questions that it is about are missing from it."""
    if check.name == "min_questions":  # counts what was answered, and is no rate
        return check
    parts = ((what, n, of) for what, n, of in _missing(card, check.name) if of and n / of > most)
    what, n, of = next(parts, ("", 0, 0))
    if not of:
        return check
    why = f"{n} of {of} {what}, more than the share of {most:g} that max_unasked allows"
    if check.passed:
        return _unmeasured_check(check.name, check.wanted, why)
    return check.model_copy(update={"reason": f"{check.reason}; moreover {why}"})


def _missing(card: RiskCard, name: str) -> Iterator[tuple[str, int, int]]:
    """Yield what is missing from a requirement: in words, how many questions, and of how many."""
    q, first = card.questions, card.errors[0]
    every, unasked = q.n + q.unasked.n, "could not be asked"
    yield f"questions {unasked}", q.unasked.n, every
    field, _, part = name.partition(".")
    if field == "max_risk_by_kind":
        asked = sum(e.error.n for e in card.errors if e.kind == part and e.form is None)
        missing = q.unasked.by_kind.get(part, 0)
        yield f"questions of the kind {part} {unasked}", missing, asked + missing
    elif field == "max_absent":
        asked = 0 if card.mentions is None else card.mentions.absent.n
        missing = q.unasked.by_kind.get(MENTION, 0)
        yield f"questions of the kind {MENTION} {unasked}", missing, asked + missing
    elif field == "max_usual":
        asked = 0 if first.usual is None else first.usual.n
        missing = q.unasked.contradicting
        yield f"questions whose evidence contradicts the usual {unasked}", missing, asked + missing
    elif field == "max_yes_bias":
        asked = 0 if first.yes is None else first.yes.n
        yield f"yes/no questions {unasked}", q.unasked.yes_no, asked + q.unasked.yes_no
    elif field == "min_gain":
        n = sum(g.gain.n for g in card.gains if g.against == part)
        yield f"questions were not asked {_AGAINST[part]}", every - n, every
    elif field in ("min_auroc", "max_ece", "operating_point"):
        point = card.operating if field == "operating_point" else None
        signal = _calibrated_signal(card) if point is None else card.signal(point.signal)
        scored = q.splits["fit"] + q.splits["test"]
        if signal is not None:
            yield f"questions have no value of the signal {signal.name}", scored - signal.n, scored


def _checks(card: RiskCard, policy: Policy) -> Iterator[Check]:
    overall = card.errors[0]
    if policy.min_questions is not None:
        enough = card.questions.n >= policy.min_questions
        reason = f"{card.questions.n} questions were answered"
        yield _check("min_questions", f"≥ {policy.min_questions}", str(card.questions.n), enough, reason)
    if policy.max_risk is not None:
        yield _errors("max_risk", overall, policy.max_risk, policy.sure)
    for kind, most in policy.max_risk_by_kind.items():
        name = f"max_risk_by_kind.{kind}"
        record = next((e for e in card.errors if e.kind == kind and e.form is None), None)
        if record is None:
            yield _unmeasured_check(name, f"≤ {most:g}", _why_none(card, kind))
        else:
            yield _errors(name, record, most, policy.sure)
    if policy.max_usual is not None:
        yield _usual(overall, policy.max_usual, policy.sure)
    if policy.max_absent is not None:
        yield _absent(card.mentions, policy.max_absent, policy.sure)
    if policy.max_yes_bias is not None:
        yield _yes(overall, policy.max_yes_bias, policy.sure)
    if policy.min_gain is not None:
        yield from _gains(card, policy.min_gain, policy.sure)
    yield from _of_signals(card, policy)


def _of_signals(card: RiskCard, policy: Policy) -> Iterator[Check]:
    best = card.signal(card.predictors.best) if card.predictors.best is not None else None
    if policy.min_auroc is not None:
        yield _auroc(card, best, policy.min_auroc, policy.sure)
    if policy.max_ece is not None:
        yield _ece(card, policy.max_ece, policy.sure)
    if policy.operating_point is not None:
        wanted = policy.operating_point
        text = f"≤ {wanted.max_risk:g} errors at ≥ {wanted.min_coverage:g} kept"
        point = card.operating
        if point is None or point.coverage is None or point.threshold is None:
            why = "no risk signal was measured" if point is None else point.why
            yield _unmeasured_check("operating_point", text, why)
        else:
            found = f"{_number(point.error)} errors at {_number(point.coverage)} kept"
            met = point.met and not (policy.sure and _unsure(point.error, wanted.max_risk, point.coverage, wanted))
            yield _check("operating_point", text, found, met, f"{point.signal}: {point.why}")


def _unsure(error: Estimated | None, most: float, coverage: Estimated, wanted: WantedPoint) -> bool:
    high = None if error is None else error.high
    return high is None or high > most or coverage.low is None or coverage.low < wanted.min_coverage


def _errors(name: str, record: ErrorRecord, most: float, sure: bool) -> Check:
    n = record.error.n
    what = f"all {n} questions" if record.kind is None else f"{n} questions of the kind {record.kind}"
    reason = f"{_number(record.error)} of {what} were answered wrongly"
    if record.yes is not None and record.yes.value in (0.0, 1.0):
        reason += f"; the answer is always {'yes' if record.yes.value else 'no'}"
    return _most(name, record.error, most, sure, reason)


def _usual(overall: ErrorRecord, most: float, sure: bool) -> Check:
    if overall.usual is None:
        return _unmeasured_check("max_usual", f"≤ {most:g}", "no question's evidence contradicts the usual")
    reason = f"{_number(overall.usual)} of {overall.usual.n} such questions were answered with the usual"
    return _most("max_usual", overall.usual, most, sure, reason)


def _absent(found: MentionRecord | None, most: float, sure: bool) -> Check:
    if found is None:
        return _unmeasured_check(
            "max_absent", f"≤ {most:g}", "no question is of the kind mention, or none could be asked"
        )
    reason = f"what is named next is not there with a probability of {_number(found.absent)}"
    return _most("max_absent", found.absent, most, sure, reason)


def _yes(overall: ErrorRecord, most: float, sure: bool) -> Check:
    wanted = f"≤ {most:g}"
    if overall.yes is None or overall.yes.value is None or overall.yes_true is None:
        return _unmeasured_check("max_yes_bias", wanted, "no question is answered with yes or no")
    ends = (overall.yes.low, overall.yes.high) if sure else (overall.yes.value,)
    if any(e is None for e in ends):
        return _unmeasured_check("max_yes_bias", wanted, "the share of yes has no interval with one group")
    bias = max(abs(e - overall.yes_true) for e in ends if e is not None)
    reason = f"yes is the answer to {_number(overall.yes)} of the questions and should be to {overall.yes_true:.3f}"
    return _check("max_yes_bias", wanted, f"{bias:.3f}", bias <= most, reason)


def _gains(card: RiskCard, least: float, sure: bool) -> Iterator[Check]:
    """Yield one check for each comparison, measured or not: a set without one of them passes no requirement of it."""
    gains = {g.against: g.gain for g in card.gains}
    comparisons: tuple[Literal["without", "mismatched"], ...] = ("without", "mismatched")
    for against in comparisons:
        gain, name, wanted = gains.get(against), f"min_gain.{against}", f"≥ {least:g} nats"
        value = None if gain is None else gain.low if sure else gain.value
        if gain is None or value is None:
            none = f"no question was asked {_AGAINST[against]}"
            yield _unmeasured_check(name, wanted, none if gain is None else "the gain has no interval with one group")
            continue
        than = "without it" if against == "without" else "on other evidence"
        reason = f"the evidence makes the true answer {_number(gain)} nats less surprising than {than}"
        if gain.value == 0:
            reason += ": the model does not see the evidence"
        yield _check(name, wanted, f"{value:.3f}", value >= least, reason)


def _auroc(card: RiskCard, best: SignalRecord | None, least: float, sure: bool) -> Check:
    found = None if best is None else best.auroc_test
    value = None if found is None else found.low if sure else found.value
    measured = not all(s.missing for s in card.signals) and card.questions.n_groups >= FEWEST
    if value is None and not sure and card.errors[0].error.value == 0 and measured:
        none = f"all {card.questions.n} answers are right: there is no error to predict"
        return _check("min_auroc", f"≥ {least:g}", "no error", True, none)
    if best is None or found is None or value is None:
        return _unmeasured_check("min_auroc", f"≥ {least:g}", _why_no_auroc(card))
    return _check("min_auroc", f"≥ {least:g}", f"{value:.3f}", value >= least, f"{best.name} predicts errors best")


def _calibrated_signal(card: RiskCard) -> SignalRecord | None:
    """Return the signal whose risk must be calibrated: the best one, or the first where none is best."""
    best = None if card.predictors.best is None else card.signal(card.predictors.best)
    return best or next((s for s in card.signals if s.calibration), None)


def _ece(card: RiskCard, most: float, sure: bool) -> Check:
    signal = _calibrated_signal(card)
    if signal is None or not signal.calibration:
        return _unmeasured_check("max_ece", f"≤ {most:g}", _why_no_auroc(card))
    first = signal.calibration[0]
    value = first.ece_high if sure else first.ece
    if value is None:
        return _unmeasured_check("max_ece", f"≤ {most:g}", "its interval needs more than one group in the test split")
    reason = f"the {first.method} risk from {signal.name}"
    return _check("max_ece", f"≤ {most:g}", f"{value:.3f}", value <= most, reason)


def _why_none(card: RiskCard, kind: str) -> str:
    lost = card.questions.unasked.by_kind.get(kind, 0)
    if lost:
        return f"none of its {lost} questions could be asked"
    return f"no question is of this kind; asked: {', '.join(card.questions.kinds)}"


def _why_no_auroc(card: RiskCard) -> str:
    if card.records is not None and card.records.mode == "C":
        return "the answers have no labels"
    if not card.signals:
        return "no risk signal was asked for"
    missing = next((s.missing for s in card.signals if s.missing), None)
    if all(s.missing for s in card.signals):
        return missing or ""
    rate = card.errors[0].error.value
    return f"a split holds no wrong answer, or no right one, to tell apart (error rate {rate:.3f})"


def _most(name: str, found: Estimated, most: float, sure: bool, reason: str) -> Check:
    value = found.high if sure else found.value
    if value is None:
        unknown = "the answers have no labels" if found.n else "no question"
        sure_why = "there is no interval with one group"
        return _unmeasured_check(name, f"≤ {most:g}", unknown if found.value is None else sure_why)
    return _check(name, f"≤ {most:g}", f"{value:.3f}", value <= most, reason)


def _check(name: str, wanted: str, found: str, passed: bool, reason: str) -> Check:
    return Check(name=name, wanted=wanted, found=found, measured=True, passed=passed, reason=reason)


def _unmeasured_check(name: str, wanted: str, why: str) -> Check:
    return Check(name=name, wanted=wanted, found=None, measured=False, passed=False, reason=f"not measured: {why}")


def _number(found: Estimated | None) -> str:
    if found is None or found.value is None:
        return "?"
    ends = "" if found.low is None or found.high is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.3f}{ends}"
