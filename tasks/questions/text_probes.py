"""Attribute, count, and probes where the scene agrees with the usual or contradicts it, each a completion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from groundbench.tasks.questions.cases import Case, Deal, shuffle_answers
from groundbench.tasks.questions.text_material import Property, material, plurals

COLOR_SAYS, COLOR_ASKS = "The {shown} is {value}.", " What color is the {noun}? The {noun} is"
COUNT_SAYS, COUNT_ASKS = "Anna has {first} and {second}.", " How many {plural} does Anna have? Anna has"
TRIES = 20
"""Draws for each group that is wanted. Scenes are what splits keep apart and what stands in for another."""


def attributes(n: int, form: str, shown: Mapping[str, str], rng: Random) -> list[Case]:
    """Ask `n` questions for the colour of one of three things; a fourth colour is in no scene. One a scene."""
    colors = material().colors
    usable = _nouns_without_answer(material().colored, shown, colors)
    if len(usable) < 3:
        return []
    things, truths = Deal(usable, rng), Deal(colors, rng)

    def draw(number: int) -> list[Case]:
        asked = things.next()
        right = truths.next()
        beside = rng.sample([t for t in usable if t != asked], 2)
        others = rng.sample([c for c in colors if c != right], 3)
        said = [
            COLOR_SAYS.format(shown=shown[t], value=c) for t, c in zip((asked, *beside), (right, *others), strict=False)
        ]
        answers, truth = shuffle_answers(right, others, rng)
        scene = " ".join(rng.sample(said, 3))
        ask = COLOR_ASKS.format(noun=asked)
        return [Case("attribute", f"{form}/attribute-{number}", "attribute", asked, scene, ask, answers, truth)]

    return _make_groups(n, draw)


def counts(n: int, form: str, shown: Mapping[str, str], rng: Random) -> list[Case]:
    """Ask `n` questions for how many of one of two things are there.

    A number is a word: "three dogs" in the form `word`, "three of the chien" in forms that have no plural; an emoji is
    repeated, and has to be counted.
    """
    numbers = material().numbers
    usable = _nouns_without_answer(material().counted, shown, numbers)
    if len(usable) < 2:
        return []
    things, truths = Deal(usable, rng), Deal(numbers, rng)

    def draw(number: int) -> list[Case]:
        asked = things.next()
        other = things.next(asked)
        right = truths.next()
        wrong = [v for v in numbers if v != right]
        said = [_count_phrase(asked, right, form, shown), _count_phrase(other, rng.choice(wrong), form, shown)]
        rng.shuffle(said)
        answers, truth = shuffle_answers(right, wrong, rng)
        scene = COUNT_SAYS.format(first=said[0], second=said[1])
        ask = COUNT_ASKS.format(plural=plurals()[asked])
        return [Case("count", f"{form}/count-{number}", "count", asked, scene, ask, answers, truth)]

    return _make_groups(n, draw)


def conflicts(n: int, form: str, shown: Mapping[str, str], rng: Random) -> list[Case]:
    """Make `n` pairs: a scene that contradicts what is usual of a thing, and the same scene where it agrees.

    Both have the same four candidates: the usual value, the one that contradicts it, that of the thing beside it, and
    one in neither scene. The pair is one group.
    """
    usable = {name: _usable_nouns(p, shown) for name, p in material().properties.items()}
    every = [(name, noun) for name, nouns in usable.items() if len(nouns) > 1 for noun in nouns]
    if not every:
        return []
    deal = Deal([f"{name} {noun}" for name, noun in every], rng)

    def draw(number: int) -> list[Case]:
        name, noun = deal.next().split(" ")
        told = material().properties[name]
        usual = told.usual[noun]
        beside = rng.choice([t for t in usable[name] if t != noun])
        contrary, other, absent = rng.sample([v for v in told.values if v != usual], 3)
        answers, at = shuffle_answers(usual, (contrary, other, absent), rng)
        second = told.says.format(shown=shown[beside], value=other)
        turned = rng.random() < 0.5
        ask, group = told.asks.format(noun=noun), f"{form}/{name}-{number}"
        pair = []
        for kind, value in (("conflict", contrary), ("agreement", usual)):
            said = [told.says.format(shown=shown[noun], value=value), second]
            scene = " ".join(reversed(said) if turned else said)
            pair.append(Case(kind, group, "usual", noun, scene, ask, answers, answers.index(value), at))
        return pair

    return _make_groups(n, draw)


def _make_groups(n: int, draw: Callable[[int], list[Case]]) -> list[Case]:
    """Make `n` groups of cases, each drawn with its number from 1; a repeated scene is drawn again."""
    found: list[list[Case]] = []
    seen: set[str] = set()
    for _ in range(TRIES * n):
        if len(found) == n:
            break
        drawn = draw(len(found) + 1)
        scenes = {c.scene for c in drawn}
        if not scenes & seen:
            found.append(drawn)
            seen |= scenes
    return [case for group in found for case in group]


def _count_phrase(noun: str, number: str, form: str, shown: Mapping[str, str]) -> str:
    if form == "word":
        return f"{number} {plurals()[noun]}"
    if form == "emoji":
        return shown[noun] * (material().numbers.index(number) + 2)
    return f"{number} of the {shown[noun]}"


def _usable_nouns(told: Property, shown: Mapping[str, str]) -> list[str]:
    return _nouns_without_answer(told.usual, shown, (*told.values, *told.usual.values()))


def _nouns_without_answer(nouns: Iterable[str], shown: Mapping[str, str], answers: Sequence[str]) -> list[str]:
    """Return the nouns whose shown text holds none of the answers (a gloss may: `yellow fruit`)."""
    return [n for n in nouns if n in shown and not set(re.findall(r"\w+", shown[n].lower())) & set(answers)]
