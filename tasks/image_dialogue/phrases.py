"""Wording of dialogues about scenes: the questions, and the words that answer them.

Of the wordings of one question the first is the one to ask a trained model (protocol §2.3): every kind is asked in
training in all its wordings, and what may be answered is one word of the closed sets below. Sentences that end in a
noun stand beside them. No noun of the inventory occurs but the ones filled in.
"""

from __future__ import annotations

from collections.abc import Mapping

from groundbench.api.testbed import Noun
from groundbench.tasks.image_dialogue.art import TINTS, drawn_words
from groundbench.tasks.image_dialogue.scenes import COLORS, Place

YES_NO = ("yes", "no")
NUMBERS = ("zero", "one", "two", "three", "four", "five")
SIZES = ("small", "big")
WHERE: Mapping[Place, str] = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "middle": "in the middle",
}
BACKGROUND_COLORS = tuple(COLORS)
OBJECT_COLORS = tuple(sorted({*TINTS, "brown", "gray", "orange"}))

PRESENCE = ("is there {a}", "do you see {a}", "can you see {a} in the image")
COUNT = ("how many {plural} are there", "how many {plural} do you see")
TOTAL = ("how many things are there", "how many things do you see in the image")
PLACE = ("where is {the}", "can you tell me where {the} is")
SIZE = ("how big is {the}", "is {the} small or big")
COLOR = ("what color is {the}", "can you tell me what color {the} is")
BACKGROUND = ("what color is the background", "which color do you see in the background")
PLAIN = ("is the background plain", "do you think the background is plain")

WHAT_THERE = (
    "what is {place}",
    "what do you see {place}",
    "which thing is {place}",
    "can you tell me what is {place}",
    "look {place}, what is it",
)
WHAT = (
    "what is it",
    "what is this",
    "what do you see",
    "what is in the image",
    "which thing do you see",
    "can you tell me what is in the image",
)
NAMED = (
    "it is {a}",
    "it is {the}",
    "that is {the}",
    "this is that {noun}",
    "i think it is {the}",
    "i think i see your {noun}",
    "that must be my {noun}",
    "there is the {noun}",
    "it looks like that {noun}",
    "of course it is your {noun}",
    "to me it looks like {the}",
    "i can see {the} there",
    "you see this {noun} there",
    "look, it is my {noun}",
    "{the}, i think",
    "{a}",
)
"""Answers to WHAT and WHAT_THERE."""


def fill_slots(phrase: str, noun: Noun | None = None, place: Place | None = None) -> str:
    """Return a phrase with its slots filled: {a} `a dog` or `some milk`, {the} `the dog`, {plural} `dogs` ...

    Raises:
        KeyError: a slot of the phrase is not given.
    """
    filled = {} if place is None else {"place": WHERE[place]}
    if noun is not None:
        a = f"{'some' if is_mass(noun) else noun.article} {noun.word}"
        filled |= {"a": a, "the": f"the {noun.word}", "noun": noun.word, "plural": noun.plural}
    return phrase.format(**filled)


def is_mass(noun: Noun) -> bool:
    """Return True if the noun is not counted: no question of COUNT is asked of it."""
    return noun.word in drawn_words() and drawn_words()[noun.word].mass


def question_text(question: str) -> str:
    """Return a question, up to where its answer begins (after a space): `Question: is there a dog? Answer:`."""
    return f"Question: {question}? Answer:"


def turn(question: str, answer: str) -> str:
    """Return a question with its answer: `Question: is there a dog? Answer: yes.`"""
    return f"{question_text(question)} {answer}."
