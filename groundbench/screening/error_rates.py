"""Error rates by kind of question, beside those of guessing and of a constant answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from groundbench.api.question import Question
from groundbench.results.risk_card import ErrorRecord, Estimated, TruthGain, UnaskedRecord
from groundbench.screening.answering import Answers, wrong_answers
from groundbench.screening.signals import gains
from groundbench.stats.grouped import group_numbers, grouped_mean, rate
from groundbench.stats.significance import Estimate

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
YES, NO = "yes", "no"


def as_estimated(found: Estimate) -> Estimated:
    """Return an estimate in the form that a card records."""
    return Estimated(value=found.value, low=found.ci_low, high=found.ci_high, n=found.n)


def error_records(answers: Answers) -> tuple[ErrorRecord, ...]:
    """Count errors over all questions, by kind and, of several forms, by form and by kind in each form."""
    questions, given = answers.questions, answers.given
    wrong = wrong_answers(given, answers.right)
    return tuple(
        _error_record([questions[i] for i in at], given[at], wrong[at], kind, form)
        for kind, form, at in _parts(questions)
    )


def _error_record(
    questions: Sequence[Question], given: Ints, wrong: Bools, kind: str | None, form: str | None
) -> ErrorRecord:
    """Count the errors of some questions, from the answers given to them."""
    group = group_numbers([q.group for q in questions])
    right = Counter(a for q in questions for a in q.rights)
    binary = np.array([_is_binary(q) for q in questions])
    said = np.array([q.choices[g].casefold() == YES for q, g in zip(questions, given, strict=True)])
    should = np.array([q.right.casefold() == YES for q in questions])
    usual = np.array([q.conflicts for q in questions])
    follows = given == np.array([-1 if q.prior_answer is None else q.prior_answer for q in questions])
    return ErrorRecord(
        kind=kind,
        form=form,
        error=as_estimated(rate(wrong, group)),
        n_groups=len(np.unique(group)),
        chance=float(np.mean([1 - len(q.rights) / len(q.choices) for q in questions])),
        constant=1 - max(right.values()) / len(questions),
        yes=as_estimated(rate(said[binary], group[binary])) if binary.any() else None,
        yes_true=float(should[binary].mean()) if binary.any() else None,
        usual=as_estimated(rate(follows[usual], group[usual])) if usual.any() else None,
    )


def unasked_record(left_out: Sequence[Question]) -> UnaskedRecord:
    """Count the questions that could not be asked, by kind."""
    return UnaskedRecord(
        n=len(left_out),
        by_kind=dict(Counter(q.kind for q in left_out)),
        yes_no=sum(_is_binary(q) for q in left_out),
        contradicting=sum(q.conflicts for q in left_out),
    )


def truth_gains(answers: Answers, seed: int) -> tuple[TruthGain, ...]:
    """Return the true answer's gain from the evidence (nats), against each comparison that was asked."""
    group = group_numbers([q.group for q in answers.questions])
    without, mismatched = gains(answers, answers.truth)
    found = [
        TruthGain(against="without", gain=as_estimated(grouped_mean(without, group, seed))),
        TruthGain(against="mismatched", gain=as_estimated(grouped_mean(mismatched, group, seed))),
    ]
    return tuple(g for g in found if g.gain.n)


def _is_binary(question: Question) -> bool:
    return {a.casefold() for a in question.choices} == {YES, NO}


def _parts(questions: Sequence[Question]) -> Iterator[tuple[str | None, str | None, Ints]]:
    kind, form = (np.array([getattr(q, name) for q in questions]) for name in ("kind", "form"))
    kinds, forms = (list(dict.fromkeys(x.tolist())) for x in (kind, form))
    yield None, None, np.arange(len(questions))
    for k in kinds if len(kinds) > 1 else kinds[:1]:
        yield k, None, np.flatnonzero(kind == k)
    if len(forms) < 2:
        return
    for f in forms:
        yield None, f, np.flatnonzero(form == f)
        for k in kinds:
            at = np.flatnonzero((form == f) & (kind == k))
            if len(at):
                yield k, f, at
