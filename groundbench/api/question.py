"""Screening questions: a prompt with its evidence, candidate answers, and the one that is true.

This module knows nothing of models, like `testbed`. A question set is a tuple of questions; what a model answers, what
it would have answered without the evidence or on other evidence, and whether it errs are functions of them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, ImageSegment, Prompt

MENTION = "mention"
"""The kind of question for any of the things shown: which of all things is named next."""

FORMER_NAMES = {"answers": "choices", "truth": "target", "usual": "prior_answer", "also": "also_correct"}
"""Fields of a question by their former names, which are read for one more release."""


@dataclass(frozen=True)
class Question:
    """A question whose right answer is what was shown.

    Attributes:
        id: its name, unique in its set.
        kind: what errors are counted by, e.g. `presence-adversarial`, `count`, `conflict`.
        form: the way the evidence is shown: a form of the ladder (protocol §13) or `image`.
        group: the scene or image: the unit that splits and intervals keep together.
        prompt: ends where the answer begins; the evidence is its `EnvSegment` or `ImageSegment`.
        without: the same question with the evidence blank or left out; None where there is no such prompt.
        mismatched: the same question on other evidence.
        choices: the candidates, at least two; the model's answer is the likeliest.
        target: the number of the right answer, from 0; of several right ones, the one that heads are traced for.
        prior_answer: the number of the answer that the prior suggests, for probes where the evidence contradicts it.
        also_correct: the numbers of other right answers: any of several things may be mentioned.
    """

    id: str
    kind: str
    form: str
    group: str
    prompt: Prompt
    without: Prompt | None
    mismatched: tuple[Prompt, ...]
    choices: tuple[str, ...]
    target: int
    prior_answer: int | None = None
    also_correct: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("id", "kind", "form", "group"):
            if not getattr(self, name):
                raise self._fault(f"has an empty {name!r}, expected a name")
        if len(self.choices) < 2:
            raise self._fault(f"has {len(self.choices)} choices, expected at least 2")
        if len(set(self.choices)) < len(self.choices) or not all(self.choices):
            raise self._fault(f"has the choices {list(self.choices)}, expected different words, none empty")
        for name, number in (
            ("target", self.target),
            ("prior_answer", self.prior_answer),
            *(("also_correct", n) for n in self.also_correct),
        ):
            if number is not None and not 0 <= number < len(self.choices):
                raise self._fault(f"has {name} {number}, expected a number from 0 to {len(self.choices) - 1}")
        right = (self.target, *self.also_correct)
        if len(set(right)) < len(right) or len(right) >= len(self.choices):
            raise self._fault(f"has the right answers {list(right)}, expected each once, and a wrong one")
        if not any(isinstance(s, EnvSegment | ImageSegment) for s in self.prompt.segments):
            raise self._fault("has a prompt without evidence, expected an EnvSegment or an ImageSegment")
        if self.prompt == self.without or self.prompt in self.mismatched:
            raise self._fault("compares its prompt with itself, expected other evidence or none")

    @property
    def right(self) -> str:
        """The true answer."""
        return self.choices[self.target]

    @property
    def rights(self) -> tuple[str, ...]:
        """Every true answer, the traced one first."""
        return tuple(self.choices[i] for i in (self.target, *self.also_correct))

    def without_answers(self, left_out: Collection[int]) -> Question | None:
        """Return the question with fewer candidates, another right one traced where that one is gone.

        None where no right or no wrong one is left, or the prior's answer is gone.
        """
        kept = [i for i in range(len(self.choices)) if i not in left_out]
        right = [kept.index(i) for i in (self.target, *self.also_correct) if i in kept]
        if not right or len(right) == len(kept) or self.prior_answer in left_out:
            return None
        prior = None if self.prior_answer is None else kept.index(self.prior_answer)
        choices = tuple(self.choices[i] for i in kept)
        return replace(self, choices=choices, target=right[0], also_correct=tuple(right[1:]), prior_answer=prior)

    @property
    def conflicts(self) -> bool:
        """True if the evidence contradicts what is usual."""
        return self.prior_answer is not None and self.prior_answer != self.target

    def _fault(self, what: str) -> BadInputError:
        return BadInputError(f"question {self.id!r} {what}")


def _accept_former_names(init: Callable[..., None]) -> Callable[..., None]:
    """Let question sets written for groundbench 0.2 and before name the fields as they were called then."""

    @functools.wraps(init)
    def __init__(self: Question, *values: object, **named: object) -> None:
        for former, name in FORMER_NAMES.items():
            if former in named:
                if name in named:
                    raise TypeError(f"Question: {former!r} is the former name of {name!r}; both are given")
                named[name] = named.pop(former)
        init(self, *values, **named)

    return __init__


Question.__init__ = _accept_former_names(Question.__init__)  # type: ignore[method-assign]


def digest(questions: Iterable[Question]) -> str:
    """Hash everything in the questions that decides a number (16 hex digits)."""
    rows = [
        [q.id, q.kind, q.form, q.group, q.choices, q.target, q.prior_answer, q.also_correct]
        + [[] if p is None else [p.join, p.content] for p in (q.prompt, q.without, *q.mismatched)]
        for q in questions
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
