"""Screening questions: a prompt with its evidence, candidate answers, and the one that is true.

This module knows nothing of models, like `testbed`. A question set is a tuple of questions; what a model answers, what
it would have answered without the evidence or on other evidence, and whether it errs are functions of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, ImageSegment, Prompt

MENTION = "mention"
"""The kind of question for any of the things shown: which of all things is named next."""


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
        answers: the candidates, at least two; the model's answer is the likeliest.
        truth: the number of the right answer, from 0; of several right ones, the one that heads are traced for.
        usual: the number of the answer that the prior suggests, for probes where the evidence contradicts it.
        also: the numbers of other right answers: any of several things may be mentioned.
    """

    id: str
    kind: str
    form: str
    group: str
    prompt: Prompt
    without: Prompt | None
    mismatched: tuple[Prompt, ...]
    answers: tuple[str, ...]
    truth: int
    usual: int | None = None
    also: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("id", "kind", "form", "group"):
            if not getattr(self, name):
                raise self._fault(f"has an empty {name!r}, expected a name")
        if len(self.answers) < 2:
            raise self._fault(f"has {len(self.answers)} answers, expected at least 2")
        if len(set(self.answers)) < len(self.answers) or not all(self.answers):
            raise self._fault(f"has the answers {list(self.answers)}, expected different words, none empty")
        for name, number in (("truth", self.truth), ("usual", self.usual), *(("also", n) for n in self.also)):
            if number is not None and not 0 <= number < len(self.answers):
                raise self._fault(f"has {name} {number}, expected a number from 0 to {len(self.answers) - 1}")
        if len({self.truth, *self.also}) != 1 + len(self.also) or len(self.also) + 1 >= len(self.answers):
            raise self._fault(f"has the right answers {[self.truth, *self.also]}, expected each once, and a wrong one")
        if not any(isinstance(s, EnvSegment | ImageSegment) for s in self.prompt.segments):
            raise self._fault("has a prompt without evidence, expected an EnvSegment or an ImageSegment")
        if self.prompt == self.without or self.prompt in self.mismatched:
            raise self._fault("compares its prompt with itself, expected other evidence or none")

    @property
    def right(self) -> str:
        """The true answer."""
        return self.answers[self.truth]

    @property
    def rights(self) -> tuple[str, ...]:
        """Every true answer, the traced one first."""
        return tuple(self.answers[i] for i in (self.truth, *self.also))

    def without_answers(self, left_out: Collection[int]) -> Question | None:
        """The question with fewer candidates, another right one traced where that one is gone; None where no right
        or no wrong one is left, or the usual one is gone."""
        kept = [i for i in range(len(self.answers)) if i not in left_out]
        right = [kept.index(i) for i in (self.truth, *self.also) if i in kept]
        if not right or len(right) == len(kept) or self.usual in left_out:
            return None
        usual = None if self.usual is None else kept.index(self.usual)
        answers = tuple(self.answers[i] for i in kept)
        return replace(self, answers=answers, truth=right[0], also=tuple(right[1:]), usual=usual)

    @property
    def conflicts(self) -> bool:
        """True if the evidence contradicts what is usual."""
        return self.usual is not None and self.usual != self.truth

    def _fault(self, what: str) -> BadInputError:
        return BadInputError(f"question {self.id!r} {what}")


def digest(questions: Iterable[Question]) -> str:
    """Hash everything in the questions that decides a number (16 hex digits)."""
    rows = [
        [q.id, q.kind, q.form, q.group, q.answers, q.truth, q.usual, q.also]
        + [[] if p is None else [p.join, p.content] for p in (q.prompt, q.without, *q.mismatched)]
        for q in questions
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
