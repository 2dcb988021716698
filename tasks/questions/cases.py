"""A question before its other evidence is drawn, and how the other evidence is drawn: without a look at the truth.

If questions with the answer yes were compared with evidence that makes it no, and the other way round, the comparison
would carry the truth, and a signal made of it would predict errors without the model's help. So other evidence comes
at random from other groups: all it shares with a question's own is its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from groundbench.api.question import Question
from groundbench.api.testbed import EnvSegment, Prompt, Segment, TextSegment


@dataclass(frozen=True)
class Case:
    """A question about a scene told in text.

    Attributes:
        shape: scenes of one shape can stand in for each other.
        asked: the noun that is asked for.
        ask: what follows the scene, with the space before it.
    """

    kind: str
    group: str
    shape: str
    asked: str
    scene: str
    ask: str
    choices: tuple[str, ...]
    target: int
    prior_answer: int | None = None
    opening: str = ""


def questions_of(cases: Sequence[Case], form: str, mismatched: int, rng: Random) -> list[Question]:
    """Return the cases as questions of one form, each with up to `mismatched` scenes of its shape from other groups."""
    scenes: dict[str, dict[str, set[str]]] = {}
    for case in cases:
        scenes.setdefault(case.shape, {}).setdefault(case.scene, set()).add(case.group)
    found = []
    for number, case in enumerate(cases, 1):
        name = f"text-scenes/{form}/{case.kind}/{number}"
        others = [s for s, groups in scenes[case.shape].items() if case.group not in groups]
        drawn = rng.sample(others, min(mismatched, len(others)))
        found.append(
            Question(
                id=name,
                kind=case.kind,
                form=form,
                group=case.group,
                prompt=_prompt(name, case, form, case.scene),
                without=_prompt(name, case, form, None),
                mismatched=tuple(_prompt(name, case, form, scene) for scene in drawn),
                choices=case.choices,
                target=case.target,
                prior_answer=case.prior_answer,
            )
        )
    return found


def _prompt(name: str, case: Case, form: str, scene: str | None) -> Prompt:
    parts: list[Segment] = [TextSegment(case.opening)] if case.opening else []
    if scene is None:
        return Prompt(name, case.asked, form, (*parts, TextSegment(case.ask.lstrip())))
    return Prompt(name, case.asked, form, (*parts, EnvSegment(scene), TextSegment(case.ask)))


def shuffle_answers(right: str, others: Sequence[str], rng: Random) -> tuple[tuple[str, ...], int]:
    """Put candidates in random order; return them with the number of the right one."""
    answers = [right, *others]
    rng.shuffle(answers)
    return tuple(answers), answers.index(right)


def any_of(there: Sequence[str], candidates: Sequence[str], rng: Random) -> tuple[str, int, tuple[int, ...]]:
    """Choose, of candidates that are all right, one to trace heads for; return its number and the others'."""
    asked = rng.choice(sorted(there))
    rest = tuple(i for i, c in enumerate(candidates) if c in there and c != asked)
    return asked, candidates.index(asked), rest


class Deal:
    """Deals values so that each comes as often as the others, up to one: a shuffled pack, again and again."""

    def __init__(self, values: Sequence[str], rng: Random) -> None:
        self._values, self._rng, self._pack = tuple(values), rng, list[str]()

    def next(self, *unlike: str) -> str:
        """Return the next value that is none of these, from this pack, else from a fresh one."""
        for _ in range(2):
            for i, value in enumerate(self._pack):
                if value not in unlike:
                    return self._pack.pop(i)
            self._pack += self._rng.sample(self._values, len(self._values))
        raise ValueError(f"no value but {unlike} in {self._values}")
