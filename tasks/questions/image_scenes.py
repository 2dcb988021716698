"""image-scenes: questions about drawn scenes with known contents (`groundbench.tasks.image_dialogue`).

Scenes come in pairs that differ in one object, and what is asked is true of one of them: neither the question nor the
rest of the image tells the answer. Questions are worded as in the dialogues that our own vision-language models are
trained on, which is English for any other. The evidence is the whole image: a box would tell that a thing is there.

Other evidence is the same background, places and sizes with every object drawn anew, whatever is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from groundbench.api.errors import BadInputError
from groundbench.api.question import MENTION, Question
from groundbench.api.testbed import ImageSegment, Prompt, TextSegment
from groundbench.tasks.image_dialogue.art import HELDOUT_STYLE, STYLES, TINTS, drawn_words
from groundbench.tasks.image_dialogue.corpus import ImageDialogues
from groundbench.tasks.image_dialogue.dialogue import color_of, words_for_scene
from groundbench.tasks.image_dialogue.layout import random_scene
from groundbench.tasks.image_dialogue.phrases import (
    COLOR,
    COUNT,
    OBJECT_COLORS,
    PRESENCE,
    WHAT,
    YES_NO,
    fill_slots,
    question_text,
)
from groundbench.tasks.image_dialogue.scenes import Scene
from groundbench.tasks.questions.cases import Deal, any_of, shuffle_answers
from groundbench.tasks.questions.negatives import KINDS, Negatives

NAMES = " i can see the"
COUNTS = ("one", "two", "three")
SAMPLE = 1000
"""Scenes of the training corpus that co-occurrence is counted in."""


@dataclass(frozen=True)
class Shown:
    """A question about a scene; `ask` follows the image."""

    kind: str
    group: str
    scene: Scene
    noun: str
    ask: str
    choices: tuple[str, ...]
    target: int
    prior_answer: int | None = None
    also_correct: tuple[int, ...] = ()


def image_scenes(
    pairs: int = 120, *, seed: int = 0, mismatched: int = 2, styles: Sequence[str] = (HELDOUT_STYLE,)
) -> tuple[Question, ...]:
    """Yield the questions, the same at every call with the same arguments; a group is a pair of scenes.

    Kinds, for `pairs` = 120: 80 of each of `presence-random`, `presence-popular`, `presence-adversarial` (negatives by
    co-occurrence in the training corpus), 80 of `caption`, 48 of `mention`, 48 of `count`, 48 of `attribute`, 32 of
    `conflict` (a thing repainted) and 32 of `agreement` (the same thing in its own colour). `caption` asks which of two
    things is likelier to be named after "i can see the": one that is there, or one that is not but might be; an error
    is the second. `mention` asks the same of everything that can be drawn: an error is what is not there.

    Args:
        pairs: pairs of presence scenes; the other kinds follow from it.
        mismatched: how many other images each question is asked of.
        styles: of the drawings; by default the one that no model of ours is trained on.

    Raises:
        BadInputError: no pairs, a negative `mismatched`, or an unknown style.
    """
    if pairs < 1 or mismatched < 0:
        raise BadInputError(
            f"image-scenes: pairs is {pairs} and mismatched {mismatched}, expected at least 1 and at least 0"
        )
    for style in styles or ("none",):
        if style not in STYLES:
            raise BadInputError(f"image-scenes: unknown style {style!r}, expected one of {', '.join(STYLES)}")

    def rng(part: str) -> Random:
        return Random(f"image-scenes {seed} {part}")

    def scenes(part: str) -> Iterator[Scene]:
        source = rng(f"{part} scenes")
        while True:
            yield random_scene(source, tuple(styles))

    few = max(1, pairs * 2 // 5)
    found = [
        *_presence(pairs, scenes("presence"), rng("presence")),
        *_mentions(few, scenes("mention"), rng("mention")),
        *_counts(few, scenes("count"), rng("count")),
        *_attributes(few, scenes("attribute"), rng("attribute")),
        *_conflicts(max(1, pairs * 4 // 15), scenes("conflict"), rng("conflict")),
    ]
    other = rng("mismatched")
    return tuple(_question(i, shown, mismatched, other) for i, shown in enumerate(found, 1))


def _question(number: int, shown: Shown, mismatched: int, rng: Random) -> Question:
    name = f"image-scenes/{shown.kind}/{number}"

    def prompt(scene: Scene) -> Prompt:
        return Prompt(name, shown.noun, "image", (ImageSegment(scene.image()), TextSegment(shown.ask)))

    return Question(
        id=name,
        kind=shown.kind,
        form="image",
        group=shown.group,
        prompt=prompt(shown.scene),
        without=prompt(Scene((), shown.scene.background)),
        mismatched=tuple(prompt(_redraw(shown.scene, rng)) for _ in range(mismatched)),
        choices=shown.choices,
        target=shown.target,
        prior_answer=shown.prior_answer,
        also_correct=shown.also_correct,
    )


def _redraw(scene: Scene, rng: Random) -> Scene:
    """Draw other things at the same places; the question plays no part."""
    there = {o.word for o in scene.objects}
    words = rng.sample([w for w in drawn_words() if w not in there], len(scene.objects))
    return Scene(tuple(replace(o, word=w) for o, w in zip(scene.objects, words, strict=True)), scene.background)


def _presence(pairs: int, scenes: Iterator[Scene], rng: Random) -> list[Shown]:
    """Return pairs of scenes with another thing at one place; every third pair is also asked to be named."""
    found: list[Shown] = []
    made = 0
    while made < pairs:
        scene = next(scenes)
        kind = KINDS[made % len(KINDS)]
        at = rng.randrange(len(scene.objects))
        there = scene.objects[at].word
        absent = negatives().draw(kind, frozenset(o.word for o in scene.objects), words_for_scene(scene), rng)
        if absent is None or _others_show(scene, at, there):
            continue
        other = scene.with_word(at, absent)
        if there in words_for_scene(other):
            continue
        made += 1
        group, noun = f"image/presence-{made}", drawn_words()[absent].noun
        ask = question_text(fill_slots(PRESENCE[0], noun))
        for truth, told in enumerate((other, scene)):
            found.append(Shown(f"presence-{kind}", group, told, absent, ask, YES_NO, truth))
        if made % 3 == 0 or pairs < 3:
            answers, first = shuffle_answers(there, (absent,), rng)
            name = question_text(WHAT[2]) + NAMES
            for truth, told in ((first, scene), (1 - first, other)):
                found.append(Shown("caption", group, told, there, name, answers, truth))
    return found


def _mentions(n: int, scenes: Iterator[Scene], rng: Random) -> list[Shown]:
    """Ask what a scene names, among all that is ever drawn but what its drawings may also be called."""
    found: list[Shown] = []
    for scene in scenes:
        there, told = {o.word for o in scene.objects}, words_for_scene(scene)
        answers = tuple(w for w in sorted(drawn_words()) if w in there or w not in told)
        asked_, truth, also = any_of(sorted(there), answers, rng)
        group, ask = f"image/mention-{len(found) + 1}", question_text(WHAT[2]) + NAMES
        found.append(Shown(MENTION, group, scene, asked_, ask, answers, truth, also_correct=also))
        if len(found) == n:
            break
    return found


def _counts(n: int, scenes: Iterator[Scene], rng: Random) -> list[Shown]:
    """Count of a thing are there: one, two and three equally often, among other things or not."""
    truths = Deal(COUNTS, rng)
    words = Deal([w for w, d in drawn_words().items() if not d.mass], rng)
    found: list[Shown] = []
    while len(found) < n:
        scene = next(scenes)
        if len(scene.objects) < len(COUNTS):
            continue
        word = words.next()
        if word in words_for_scene(scene):
            continue
        right = truths.next()
        for at in rng.sample(range(len(scene.objects)), COUNTS.index(right) + 1):
            scene = scene.with_word(at, word)
        ask = question_text(fill_slots(COUNT[0], drawn_words()[word].noun))
        group = f"image/count-{len(found) + 1}"
        found.append(Shown("count", group, scene, word, ask, COUNTS, COUNTS.index(right)))
    return found


def _attributes(n: int, scenes: Iterator[Scene], rng: Random) -> list[Shown]:
    """Return the colour of a repainted thing that has none of its own."""
    truths = Deal(tuple(TINTS), rng)
    found: list[Shown] = []
    for scene, at, word in _scenes_with_one(scenes, lambda color: color is None, rng):
        right = truths.next()
        answers, truth = shuffle_answers(right, rng.sample([c for c in TINTS if c != right], 3), rng)
        group = f"image/attribute-{len(found) + 1}"
        found.append(Shown("attribute", group, _tint_object(scene, at, right), word, _color(word), answers, truth))
        if len(found) == n:
            break
    return found


def _conflicts(n: int, scenes: Iterator[Scene], rng: Random) -> list[Shown]:
    """Pair a thing repainted with the same scene in the thing's own colour; the candidates are the same."""
    found: list[Shown] = []
    for scene, at, word in _scenes_with_one(scenes, lambda color: color is not None, rng):
        usual = str(drawn_words()[word].color)
        contrary = rng.choice([c for c in TINTS if c != usual])
        others = rng.sample([c for c in OBJECT_COLORS if c not in (usual, contrary)], 2)
        answers, at_usual = shuffle_answers(usual, (contrary, *others), rng)
        group = f"image/color-{len(found) // 2 + 1}"
        for kind, tint in (("conflict", contrary), ("agreement", None)):
            told = _tint_object(scene, at, tint)
            truth = answers.index(str(color_of(told.objects[at])))
            found.append(Shown(kind, group, told, word, _color(word), answers, truth, at_usual))
        if len(found) == 2 * n:
            break
    return found


def _scenes_with_one(
    scenes: Iterator[Scene], wanted: Callable[[str | None], bool], rng: Random
) -> Iterator[tuple[Scene, int, str]]:
    """Yield scenes, each with one thing whose own colour is as wanted, and no other of its kind."""
    words = Deal([w for w, d in drawn_words().items() if wanted(d.color)], rng)
    for scene in scenes:
        word = words.next()
        if word not in words_for_scene(scene):
            at = rng.randrange(len(scene.objects))
            yield scene.with_word(at, word), at, word


def _color(word: str) -> str:
    return question_text(fill_slots(COLOR[0], drawn_words()[word].noun))


def _tint_object(scene: Scene, at: int, tint: str | None) -> Scene:
    told = replace(scene.objects[at], tint=tint)
    return Scene((*scene.objects[:at], told, *scene.objects[at + 1 :]), scene.background)


def _others_show(scene: Scene, at: int, word: str) -> bool:
    return word in words_for_scene(scene.without(at))


@cache
def negatives() -> Negatives:
    """Count co-occurrence in the training corpus, of things that are never shown together (a face, with a bear).

    The corpus draws things independently, so that popular and adversarial negatives differ less from random ones here
    than in photos.
    """
    corpus = ImageDialogues()
    vague = {w for d in drawn_words().values() for w in d.also}
    scenes = (corpus.scene(i) for i in range(min(SAMPLE, len(corpus))))
    return Negatives(frozenset(o.word for o in scene.objects) - vague for scene in scenes)
