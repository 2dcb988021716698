"""What a team requires of a model before it ships: a policy, and its verdict on a card. It fails closed.

A requirement of something that was not measured is not met, and the check says why it was not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from groundbench.errors import BadInputError
from groundbench.result import first_fault
from groundbench.result_screening import Check, ErrorRecord, Estimated, RiskCard, SignalRecord, Verdict

Share = Annotated[float, Field(ge=0, le=1)]


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
        max_yes_bias: by how much the share of yes may differ from the share that should be.
        min_gain: the true answer's mean grounding gain (nats), against no evidence, and against other evidence.
        min_auroc: of the signal that predicts errors best, on the test split.
        max_ece: the expected calibration error of that signal's risk (the first method of its record), on test.
        operating_point: see `WantedPoint`.
        min_questions: questions that were answered.
        sure: compare the end of the 95 % interval that is worse, instead of the estimate.
    """

    version: Literal[1] = 1
    max_risk: Share | None = None
    max_risk_by_kind: dict[str, Share] = Field(default_factory=dict)
    max_usual: Share | None = None
    max_yes_bias: Share | None = None
    min_gain: float | None = None
    min_auroc: Share | None = None
    max_ece: Share | None = None
    operating_point: WantedPoint | None = None
    min_questions: int | None = Field(default=None, ge=1)
    sure: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing is required."""
        return not self.model_dump(exclude_defaults=True, exclude={"version", "sure"})

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Read a policy from YAML. Raises BadInputError naming the file and the field."""
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadInputError(f"{path}: no such policy file") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadInputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(found, dict):
            raise BadInputError(f"{path}: found {type(found).__name__}, expected requirements such as max_risk: 0.15")
        try:
            policy = cls.model_validate(found)
        except ValidationError as error:
            raise BadInputError(f"{path}: {first_fault(error)}") from None
        if policy.empty:
            raise BadInputError(f"{path}: requires nothing; expected at least one requirement such as max_risk: 0.15")
        return policy


def judge(card: RiskCard, policy: Policy | None) -> Verdict:
    """The verdict; without a policy (or with one that requires nothing) nothing is checked and `passed` is None."""
    if policy is None or policy.empty:
        return Verdict()
    checks = tuple(_checks(card, policy))
    return Verdict(
        policy=policy.model_dump(mode="json", exclude_defaults=True),
        checks=checks,
        passed=all(c.passed for c in checks),
    )


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
            yield _unmeasured(
                name, f"≤ {most:g}", f"no question is of this kind; asked: {', '.join(card.questions.kinds)}"
            )
        else:
            yield _errors(name, record, most, policy.sure)
    if policy.max_usual is not None:
        yield _usual(overall, policy.max_usual, policy.sure)
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
        yield _ece(card, best, policy.max_ece)
    if policy.operating_point is not None:
        wanted = policy.operating_point
        text = f"≤ {wanted.max_risk:g} errors at ≥ {wanted.min_coverage:g} kept"
        point = card.operating
        if point is None or point.coverage is None or point.threshold is None:
            why = "no risk signal was measured" if point is None else point.why
            yield _unmeasured("operating_point", text, why)
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
        return _unmeasured("max_usual", f"≤ {most:g}", "no question's evidence contradicts the usual")
    reason = f"{_number(overall.usual)} of {overall.usual.n} such questions were answered with the usual"
    return _most("max_usual", overall.usual, most, sure, reason)


def _yes(overall: ErrorRecord, most: float, sure: bool) -> Check:
    wanted = f"≤ {most:g}"
    if overall.yes is None or overall.yes.value is None or overall.yes_true is None:
        return _unmeasured("max_yes_bias", wanted, "no question is answered with yes or no")
    ends = (overall.yes.low, overall.yes.high) if sure else (overall.yes.value,)
    if any(e is None for e in ends):
        return _unmeasured("max_yes_bias", wanted, "the share of yes has no interval with one group")
    bias = max(abs(e - overall.yes_true) for e in ends if e is not None)
    reason = f"yes is the answer to {_number(overall.yes)} of the questions and should be to {overall.yes_true:.3f}"
    return _check("max_yes_bias", wanted, f"{bias:.3f}", bias <= most, reason)


def _gains(card: RiskCard, least: float, sure: bool) -> Iterator[Check]:
    if not card.gains:
        yield _unmeasured("min_gain", f"≥ {least:g} nats", "no question can be asked without its evidence or on other")
    for g in card.gains:
        value = g.gain.low if sure else g.gain.value
        name = f"min_gain.{g.against}"
        if value is None:
            yield _unmeasured(name, f"≥ {least:g} nats", "the gain has no interval with one group")
            continue
        against = "without it" if g.against == "without" else "on other evidence"
        reason = f"the evidence makes the true answer {_number(g.gain)} nats less surprising than {against}"
        if g.gain.value == 0:
            reason += ": the model does not see the evidence"
        yield _check(name, f"≥ {least:g} nats", f"{value:.3f}", value >= least, reason)


def _auroc(card: RiskCard, best: SignalRecord | None, least: float, sure: bool) -> Check:
    found = None if best is None else best.auroc_test
    value = None if found is None else found.low if sure else found.value
    if best is None or found is None or value is None:
        return _unmeasured("min_auroc", f"≥ {least:g}", _why_no_auroc(card))
    return _check("min_auroc", f"≥ {least:g}", f"{value:.3f}", value >= least, f"{best.name} predicts errors best")


def _ece(card: RiskCard, best: SignalRecord | None, most: float) -> Check:
    signal = best or next((s for s in card.signals if s.calibration), None)
    if signal is None or not signal.calibration:
        return _unmeasured("max_ece", f"≤ {most:g}", _why_no_auroc(card))
    first = signal.calibration[0]
    reason = f"the {first.method} risk from {signal.name}"
    return _check("max_ece", f"≤ {most:g}", f"{first.ece:.3f}", first.ece <= most, reason)


def _why_no_auroc(card: RiskCard) -> str:
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
        return _unmeasured(name, f"≤ {most:g}", "there is no interval with one group" if sure else "no question")
    return _check(name, f"≤ {most:g}", f"{value:.3f}", value <= most, reason)


def _check(name: str, wanted: str, found: str, passed: bool, reason: str) -> Check:
    return Check(name=name, wanted=wanted, found=found, measured=True, passed=passed, reason=reason)


def _unmeasured(name: str, wanted: str, why: str) -> Check:
    return Check(name=name, wanted=wanted, found=None, measured=False, passed=False, reason=f"not measured: {why}")


def _number(found: Estimated | None) -> str:
    if found is None or found.value is None:
        return "?"
    ends = "" if found.low is None or found.high is None else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{found.value:.3f}{ends}"
