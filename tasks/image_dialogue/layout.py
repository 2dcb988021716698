"""Random scenes: 1 to 5 objects, hardly overlapping, each clearly small or clearly big."""

from __future__ import annotations

from random import Random

from groundbench.api.testbed import Box
from groundbench.tasks.image_dialogue.art import TINTS, TRAIN_STYLES, drawn_words, nouns, others
from groundbench.tasks.image_dialogue.scenes import COLORS, PATTERNS, PIXELS, Background, Placed, Scene

SMALL_PIXELS, BIG_PIXELS, ALONE_PIXELS = (42, 60), (82, 104), (82, 140)
MARGIN = 4
OVERLAP = 0.04
"""At most this share of the smaller of two objects' boxes lies in the other's."""
TRIES = 40
HOW_MANY = (1, 1, 2, 2, 3, 3, 4, 5)
P_OTHER, P_AGAIN, P_TINT, P_PLAIN = 0.25, 0.25, 0.15, 0.5
"""Probabilities that an object is no noun of the inventory, shows the word of the one before it, is repainted; that the
background is plain."""


def random_scene(rng: Random, styles: tuple[str, ...] = TRAIN_STYLES) -> Scene:
    """Return a scene in one of the styles: a pure function of the generator's state."""
    style = rng.choice(styles)
    boxes = _boxes(rng, rng.choice(HOW_MANY))
    objects: list[Placed] = []
    for box in boxes:
        if objects and rng.random() < P_AGAIN and not drawn_words()[objects[-1].word].mass:
            word = objects[-1].word
        else:
            word = _new_word(rng, {o.word for o in objects})
        tint = rng.choice(tuple(TINTS)) if rng.random() < P_TINT else None
        objects.append(Placed(word, style, box, rng.random() < 0.5, tint))
    pattern = "plain" if rng.random() < P_PLAIN else rng.choice(PATTERNS[1:])
    return Scene(tuple(objects), Background(pattern, rng.choice(tuple(COLORS))))


def _new_word(rng: Random, there: set[str]) -> str:
    while True:
        word = rng.choice(others() if rng.random() < P_OTHER else nouns()).word
        if word not in there:
            return word


def _boxes(rng: Random, n: int) -> list[Box]:
    """Place `n` boxes, in fractions, none over another by more than OVERLAP. At most two are big."""
    while True:
        found: list[tuple[int, int, int]] = []
        for i in range(n):
            big = rng.random() < 0.5 and sum(s >= BIG_PIXELS[0] for _, _, s in found) < 2
            sides = (ALONE_PIXELS if n == 1 else BIG_PIXELS) if big else SMALL_PIXELS
            for _ in range(TRIES):
                side = rng.randint(*sides)
                x, y = (rng.randint(MARGIN, PIXELS - MARGIN - side) for _ in range(2))
                if all(_overlap((x, y, side), other) <= OVERLAP for other in found):
                    found.append((x, y, side))
                    break
            if len(found) <= i:
                break
        if len(found) == n:
            return [(x / PIXELS, y / PIXELS, (x + s) / PIXELS, (y + s) / PIXELS) for x, y, s in found]


def _overlap(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    across, down = (max(0, min(a[k] + a[2], b[k] + b[2]) - max(a[k], b[k])) for k in (0, 1))
    return across * down / min(a[2], b[2]) ** 2
