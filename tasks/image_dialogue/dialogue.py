"""Ten questions and answers about a scene, in the manner of Visual Dialog, and its caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from groundbench.api.testbed import Noun
from groundbench.tasks.image_dialogue.art import drawn_words
from groundbench.tasks.image_dialogue.phrases import (
    BACKGROUND,
    COLOR,
    COUNT,
    NAMED,
    NUMBERS,
    PLACE,
    PLAIN,
    PRESENCE,
    SIZE,
    SIZES,
    TOTAL,
    WHAT,
    WHAT_THERE,
    WHERE,
    YES_NO,
    fill_slots,
    is_mass,
    turn,
)
from groundbench.tasks.image_dialogue.scenes import BIG, Placed, Scene

TURNS = 10


def words_for_scene(scene: Scene) -> frozenset[str]:
    """Return every word that an image of the scene may be said to show, those of `also` included."""
    return frozenset(w for o in scene.objects for w in (o.word, *drawn_words()[o.word].also))


def color_of(placed: Placed) -> str | None:
    """Return the colour it has: its tint, else the one its glyph has in every style, if there is one."""
    return placed.tint or drawn_words()[placed.word].color


def dialogue(scene: Scene, rng: Random) -> list[str]:
    """Write ten turns, no question twice: naming, presence, counts, place, size, colours, background."""
    turns: dict[str, str] = {}
    for question, answer in _turns(scene, rng):
        turns.setdefault(question, answer)
        if len(turns) == TURNS:
            break
    found = [turn(q, a) for q, a in turns.items()]
    rng.shuffle(found)
    return found


def caption(scene: Scene) -> str:
    """Return one sentence that names everything: `a dog and two cats on a plain blue background.`"""
    counted = Counter(o.word for o in scene.objects)
    named = [_count_phrase(drawn_words()[word].noun, n) for word, n in counted.items()]
    listed = named[0] if len(named) == 1 else ", ".join(named[:-1]) + " and " + named[-1]
    return f"{listed} on a {scene.background.pattern} {scene.background.color} background."


def _count_phrase(noun: Noun, n: int) -> str:
    return fill_slots("{a}", noun) if n == 1 else f"{NUMBERS[n]} {noun.plural}"


def _turns(scene: Scene, rng: Random) -> Iterator[tuple[str, str]]:
    """Yield (question, answer) without end; a question may come again."""
    counted = Counter(o.word for o in scene.objects)
    single = [o for o in scene.objects if counted[o.word] == 1]
    yield from _names(scene, rng)
    for wording in rng.sample(PRESENCE, 2 if len(counted) == 1 else 3):
        yield _presence(wording, scene, rng)
    if single:
        yield from _about(rng.choice(single), rng)
    yield fill_slots(rng.choice(TOTAL)), NUMBERS[len(scene.objects)]
    while True:
        yield fill_slots(rng.choice(BACKGROUND)), scene.background.color
        yield fill_slots(rng.choice(PLAIN)), YES_NO[scene.background.pattern != "plain"]
        noun = drawn_words()[rng.choice(list(counted))].noun if rng.random() < 0.7 else _draw_absent(scene, rng)
        if not is_mass(noun):
            yield fill_slots(rng.choice(COUNT), noun), NUMBERS[counted[noun.word]]
        yield from _about(rng.choice(single), rng) if single else _names(scene, rng)


def _presence(wording: str, scene: Scene, rng: Random) -> tuple[str, str]:
    """Return True if a thing is there: yes as often as no, whatever else was asked."""
    there = rng.random() < 0.5
    noun = drawn_words()[rng.choice(scene.objects).word].noun if there else _draw_absent(scene, rng)
    return fill_slots(wording, noun), YES_NO[not there]


def _names(scene: Scene, rng: Random) -> Iterator[tuple[str, str]]:
    """Yield questions on what is in the image, or at each place with one object alone; three at most."""

    def answer(placed: Placed) -> str:
        return fill_slots(rng.choice(NAMED), drawn_words()[placed.word].noun)

    if len(scene.objects) == 1:
        questions: Sequence[str] = rng.sample(WHAT, 2)
        yield from ((q, answer(scene.objects[0])) for q in questions)
    places = [p for p in WHERE if len(scene.at(p)) == 1]
    for place in rng.sample(places, min(len(places), 1 if len(scene.objects) == 1 else 3)):
        yield fill_slots(rng.choice(WHAT_THERE), place=place), answer(scene.at(place)[0])


def _about(placed: Placed, rng: Random) -> Iterator[tuple[str, str]]:
    """Yield questions on where it is, how big, and in which colour."""
    noun = drawn_words()[placed.word].noun
    yield fill_slots(rng.choice(PLACE), noun), WHERE[placed.places[0]]
    if rng.random() < 0.7:
        yield fill_slots(rng.choice(SIZE), noun), SIZES[placed.side >= BIG]
    if color := color_of(placed):
        yield fill_slots(rng.choice(COLOR), noun), color


def _draw_absent(scene: Scene, rng: Random) -> Noun:
    """Return a drawn thing that nothing in the scene shows."""
    there = words_for_scene(scene)
    words = list(drawn_words())
    while True:
        noun = drawn_words()[rng.choice(words)].noun
        if noun.word not in there:
            return noun
