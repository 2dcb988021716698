"""text-scenes: what a few short sentences show, in every form of the ladder (protocol §13), and what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from groundbench.api.errors import BadInputError
from groundbench.api.question import Question
from groundbench.tasks.questions.cases import questions_of
from groundbench.tasks.questions.presence import presence
from groundbench.tasks.questions.text_material import forms as ladder_forms
from groundbench.tasks.questions.text_material import noun_texts, styles, wording
from groundbench.tasks.questions.text_probes import attributes, conflicts, counts


@dataclass(frozen=True)
class Amounts:
    """Numbers of questions of one form: twelve a pair of presence scenes, two a pair of `usual` scenes."""

    presence_pairs: int
    attributes: int
    counts: int
    usual_pairs: int


FULL = Amounts(presence_pairs=12, attributes=48, counts=32, usual_pairs=32)
"""The form `word`, and forms that are named."""
SHORT = Amounts(presence_pairs=2, attributes=8, counts=8, usual_pairs=4)
"""The other forms, where none is named."""


def text_scenes(
    forms: Sequence[str] = (), *, seed: int = 0, mismatched: int = 2, style: str | None = None
) -> tuple[Question, ...]:
    """Return the questions, the same at every call with the same arguments.

    Kinds: `presence-random`, `presence-popular`, `presence-adversarial` (see `presence`), `attribute`, `count`,
    `conflict` and `agreement` (see `told`). The group is the scene; scenes of two forms are never one.

    Args:
        forms: forms of the ladder; without any, `word` in full and few questions in each of the others.
        mismatched: how many other scenes each question is asked of.
        style: how presence is asked, see wording.yaml; the one that was best on the pilot split by default.

    Raises:
        BadInputError: an unknown form or style, a form named twice, or a negative `mismatched`.
    """
    if mismatched < 0:
        raise BadInputError(f"text-scenes: mismatched is {mismatched}, expected 0 or more")
    if len(set(forms)) < len(forms):
        raise BadInputError(f"text-scenes: the forms {', '.join(forms)} name one twice, expected each once")
    made: list[Question] = []
    for form in forms or ladder_forms():
        amounts = FULL if forms or form == "word" else SHORT
        made += _of_form(form, amounts, seed, mismatched, style or styles()[0])
    return tuple(made)


def _of_form(form: str, amounts: Amounts, seed: int, mismatched: int, style: str) -> list[Question]:
    texts, asks = noun_texts(form), wording(style)

    def rng(part: str) -> Random:
        return Random(f"text-scenes {seed} {form} {part}")

    cases = [
        *presence(amounts.presence_pairs, form, texts, asks, rng("presence")),
        *attributes(amounts.attributes, form, texts, rng("attribute")),
        *counts(amounts.counts, form, texts, rng("count")),
        *conflicts(amounts.usual_pairs, form, texts, rng("usual")),
    ]
    return questions_of(cases, form, mismatched, rng("mismatched"))
