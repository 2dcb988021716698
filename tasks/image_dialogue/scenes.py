"""Scenes: glyphs at known places on a background, drawn when they are asked for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from groundbench.api.testbed import Box
from groundbench.tasks.image_dialogue.art import art_digest, glyph

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS = 224
SMALL, BIG = 0.28, 0.36
"""Sides, as shares of the image's: at most SMALL is small, at least BIG is big; no scene of ours has one between."""
EDGE = 0.38
"""An object whose centre is this near to a side stands at that side."""

Pattern = Literal["plain", "fading", "striped", "dotted", "checked"]
PATTERNS: tuple[Pattern, ...] = ("plain", "fading", "striped", "dotted", "checked")
Place = Literal["left", "right", "top", "bottom", "middle"]
COLORS = {
    "white": (246, 246, 244),
    "gray": (176, 178, 182),
    "blue": (132, 180, 232),
    "green": (150, 206, 146),
    "yellow": (246, 228, 130),
    "pink": (246, 186, 208),
    "purple": (194, 166, 228),
    "orange": (246, 184, 116),
}
"""Of backgrounds; a pattern is in two shades of its colour."""


@dataclass(frozen=True)
class Placed:
    """One object: the word it shows, the style it is drawn in and where, in fractions of width and height (a square).

    `flip` turns it left to right, `tint` paints it in one of `art.TINTS`.
    """

    word: str
    style: str
    box: Box
    flip: bool = False
    tint: str | None = None

    @property
    def side(self) -> float:
        """Its side, as a share of the image's."""
        return self.box[2] - self.box[0]

    @property
    def places(self) -> tuple[Place, ...]:
        """The places of its centre: one side or two, or the middle."""
        x, y = (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2
        sides: list[Place] = []
        if min(x, 1 - x) < EDGE:
            sides.append("left" if x < 0.5 else "right")
        if min(y, 1 - y) < EDGE:
            sides.append("top" if y < 0.5 else "bottom")
        return tuple(sides) or ("middle",)


@dataclass(frozen=True)
class Background:
    """The ground behind objects; `color` is one of COLORS."""

    pattern: Pattern
    color: str


@dataclass(frozen=True)
class SceneImage:
    """A scene as an `ImageSource`."""

    scene: Scene

    @property
    def key(self) -> str:
        """A hash of the scene and the art."""
        return self.scene.key

    def load(self) -> Image:
        """Return the image: 224 x 224, RGB, the same pixels at every call."""
        return draw(self.scene)


@dataclass(frozen=True)
class Scene:
    """Objects on a background, drawn in this order."""

    objects: tuple[Placed, ...]
    background: Background

    def image(self) -> SceneImage:
        """Return the image of the scene."""
        return SceneImage(self)

    @cached_property
    def key(self) -> str:
        """A hash of everything that decides its pixels (16 hex digits)."""
        told = json.dumps([asdict(self), art_digest()], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def with_word(self, index: int, word: str) -> Scene:
        """Return the scene with another word's glyph for object `index`: same size, style, flip, background."""
        other = replace(self.objects[index], word=word)
        return Scene((*self.objects[:index], other, *self.objects[index + 1 :]), self.background)

    def without(self, index: int) -> Scene:
        """Return the scene without object `index`."""
        return Scene((*self.objects[:index], *self.objects[index + 1 :]), self.background)

    def at(self, place: Place) -> list[Placed]:
        """Return the objects at that place."""
        return [o for o in self.objects if place in o.places]


def draw(scene: Scene) -> Image:
    """Return the image of a scene, 224 x 224 RGB."""
    image = _background(scene.background).copy()
    for o in scene.objects:
        size = round(o.side * PIXELS)
        drawing = glyph(o.word, o.style, size, flip=o.flip, tint=o.tint)
        image.paste(drawing, (round(o.box[0] * PIXELS), round(o.box[1] * PIXELS)), drawing)
    return image


@lru_cache(maxsize=64)
def _background(background: Background) -> Image:
    from PIL import Image, ImageDraw

    light = COLORS[background.color]
    dark = (light[0] * 7 // 8, light[1] * 7 // 8, light[2] * 7 // 8)
    image = Image.new("RGB", (PIXELS, PIXELS), light)
    pen = ImageDraw.Draw(image)
    step = PIXELS // 8
    if background.pattern == "fading":
        shade = Image.linear_gradient("L").resize((PIXELS, PIXELS))
        image = Image.composite(Image.new("RGB", image.size, dark), image, shade)
    elif background.pattern == "striped":
        for x in range(0, PIXELS, 2 * step):
            pen.rectangle((x, 0, x + step - 1, PIXELS), fill=dark)
    elif background.pattern == "dotted":
        for x in range(0, PIXELS, step):
            for y in range(0, PIXELS, step):
                pen.ellipse((x + 9, y + 9, x + 18, y + 18), fill=dark)
    elif background.pattern == "checked":
        for i in range(64):
            if (i + i // 8) % 2:
                x, y = i % 8 * step, i // 8 * step
                pen.rectangle((x, y, x + step - 1, y + step - 1), fill=dark)
    return image
