"""Rules of a question set, so that its error rates mean something: checked without a model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from groundbench.api.question import Question
from groundbench.api.testbed import Prompt, TextSegment

BALANCE = 0.05
"""Largest excess of a kind's most frequent right answer over its equal share."""
SPREAD = 3.0
"""Standard errors (of as many draws as there are groups) that a guess may be above chance by chance."""


@dataclass(frozen=True)
class KindCheck:
    """One kind of question.

    Attributes:
        truths: how often each answer is right; of several right ones each counts.
        chance: the share of right answers of a guess among the candidates.
        blind: the share that a reader gets right who sees the question only, and knows the right answers to the same
            question (else: to the other questions of the kind) in all other groups.
    """

    n: int
    groups: int
    truths: Mapping[str, int]
    chance: float
    blind: float


@dataclass(frozen=True)
class Check:
    """The findings of a check: figures by kind, and faults, a sentence each."""

    kinds: Mapping[str, KindCheck]
    faults: tuple[str, ...]


def check(questions: Sequence[Question]) -> Check:
    """Check ids, balance, whether questions tell their answers, evidence and conflicts.

    A set of someone's own annotations may well have a fault (POPE's popular negatives are the frequent objects, so that
    the question alone tells something); then the fault is what a reader of its error rates should know. Where any of
    several things may be mentioned, frequent ones are right often, as in captions: a card's `constant` says how often.
    """
    faults = [f"question {i!r} comes {n} times" for i, n in Counter(q.id for q in questions).items() if n > 1]
    by_kind: dict[str, list[Question]] = defaultdict(list)
    for q in questions:
        by_kind[q.kind].append(q)
        faults += _evidence(q)
    kinds = {kind: _kind(found) for kind, found in by_kind.items()}
    for kind, found in by_kind.items():
        if all(q.prior_answer is None and not q.also_correct for q in found):
            faults += _kind_faults(kind, kinds[kind], found)
    return Check(kinds, (*faults, *_usual_faults(questions)))


def _usual_faults(questions: Sequence[Question]) -> list[str]:
    """Find where always saying the usual is a strategy: it must not be right more often than wrong."""
    known = [q for q in questions if q.prior_answer is not None]
    right = sum(not q.conflicts for q in known)
    if right <= (0.5 + BALANCE) * len(known):
        return []
    return [f"the usual is right in {right} of {len(known)} questions that have one, expected at most half"]


def _evidence(q: Question) -> list[str]:
    faults = []
    others = [p for p in (q.without, *q.mismatched) if p is not None]
    if any(_question_alone(p) != _question_alone(q.prompt) for p in others):
        faults.append(f"question {q.id!r} asks something else without its evidence, or on other evidence")
    if q.kind == "conflict" and not q.conflicts:
        faults.append(f"question {q.id!r} is of the kind conflict, but its evidence does not contradict the usual")
    if q.kind == "agreement" and q.prior_answer != q.target:
        faults.append(f"question {q.id!r} is of the kind agreement, but its evidence does not agree with the usual")
    return faults


def _question_alone(prompt: Prompt) -> str:
    """Return the question alone: the words around its evidence."""
    return " ".join(" ".join(s.text for s in prompt.segments if isinstance(s, TextSegment)).split())


def _kind(found: Sequence[Question]) -> KindCheck:
    return KindCheck(
        n=len(found),
        groups=len({q.group for q in found}),
        truths=dict(Counter(a for q in found for a in q.rights).most_common()),
        chance=sum(len(q.rights) / len(q.choices) for q in found) / len(found),
        blind=_blind_accuracy(found),
    )


def _kind_faults(kind: str, told: KindCheck, found: Sequence[Question]) -> list[str]:
    faults = []
    if len({q.choices for q in found}) == 1:  # the same candidates throughout: each is to be right equally often
        most, n = next(iter(told.truths.items()))
        if n / told.n > told.chance + BALANCE:
            faults.append(f"{kind}: the right answer is {most!r} in {n} of {told.n} questions, expected an equal share")
    limit = told.chance + SPREAD * sqrt(told.chance * (1 - told.chance) / told.groups)
    if told.blind > limit:
        faults.append(
            f"{kind}: the question alone tells the answer in {told.blind:.2f} of cases, chance is {told.chance:.2f}"
        )
    return faults


def _blind_accuracy(found: Sequence[Question]) -> float:
    """Return the share right of the best guess from other groups; candidates that were right equally often share."""
    same: dict[tuple[str, str | None], Counter[str]] = defaultdict(Counter)
    for q in found:
        for where in (_question_alone(q.prompt), ""):
            same[where, None].update(q.rights)
            same[where, q.group].update(q.rights)
    hits = 0.0
    for q in found:
        for where in (_question_alone(q.prompt), ""):
            seen = {a: same[where, None][a] - same[where, q.group][a] for a in q.choices}
            if any(seen.values()):
                break
        best = [a for a, n in seen.items() if n == max(seen.values())]
        hits += len(set(best) & set(q.rights)) / len(best)
    return hits / len(found)
