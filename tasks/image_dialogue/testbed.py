"""The testbed image-dialogue: an image with the noun's object, and a dialogue about it cut before the noun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from groundbench.api.testbed import Box, EnvForm, Frame, FrameKind, ImageSegment, Noun, Prompt, Testbed, TextSegment
from groundbench.tasks.image_dialogue.art import HELDOUT_STYLE, art_digest, drawn_words, excluded_nouns, nouns
from groundbench.tasks.image_dialogue.scenes import Background, Placed, Scene
from groundbench.tasks.nouns import inventory

IMAGE = EnvForm("image", "the object in a scene, in a style no model of ours is trained on; ENV: its box", "image")
IMAGE_ALL = EnvForm("image-all", "the same images; ENV: the whole image", "image")
SEEN_STYLE = EnvForm("image-seen-style", "the same scenes in the styles of the training images; ENV: its box", "image")
GRID = 16


@dataclass(frozen=True)
class SceneFrame:
    """A shared frame: the place of the noun's object, the other objects, and the dialogue."""

    id: str
    seen: str
    box: Box
    flip: bool
    background: Background
    others: Mapping[str, Box]
    say: str

    def scene(self, word: str, style: str) -> Scene:
        """Return the scene with this word's object, which is `objects[0]`."""
        target = Placed(word, style, self.box, self.flip)
        others = (Placed(w, style, box) for w, box in self.others.items())
        return Scene((target, *others), self.background)


class ImageDialogue(Testbed):
    """For vision-language models, trained on `corpus.ImageDialogues` or pretrained (protocol §2.3, §13).

    The frames are shared: matched and mismatched images differ in the noun's object only, and every noun is asked
    for with every image. What stands beside the object is never a noun of the inventory.
    """

    name = "image-dialogue"
    version = "1"
    nouns = inventory()
    forms = (IMAGE, IMAGE_ALL, SEEN_STYLE)
    default_form = "image"
    frame_kind: FrameKind = "shared"
    natural_language = True

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        """Return the twelve frames, the same in all forms."""
        return tuple(Frame(f.id, f.say) for f in scene_frames().values())

    def scene(self, frame: Frame, env: Noun, form: EnvForm) -> Scene:
        """Return the image's scene; the noun's object is `objects[0]`. Raises KeyError if the noun has no glyph."""
        if env.word not in drawn_words():
            raise KeyError(env.word)
        known = scene_frames()[frame.id]
        return known.scene(env.word, known.seen if form == SEEN_STYLE else HELDOUT_STYLE)

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        """Return the image, then the dialogue. Raises KeyError if the noun has no glyph."""
        scene = self.scene(frame, env, form)
        box = None if form == IMAGE_ALL else scene.objects[0].box
        return Prompt(frame.id, env.word, form.name, (ImageSegment(scene.image(), box), TextSegment(frame.template)))

    def target(self, noun: Noun) -> str:
        """Return the word itself."""
        return noun.word

    def excluded(self, form: EnvForm) -> Mapping[str, str]:
        """Return nouns without a glyph, with the reason."""
        return excluded_nouns()

    def excluded_pairs(self, form: EnvForm) -> frozenset[tuple[str, str]]:
        """Return pairs where the glyph shown also shows what is asked for: a duck is a bird."""
        asked = {n.word for n in nouns()}
        return frozenset((n.word, w) for n in nouns() for w in drawn_words()[n.word].also if w in asked)

    def identity(self) -> dict[str, object]:
        """Return the art: it decides what is seen."""
        return {"art": art_digest()}


@cache
def scene_frames() -> Mapping[str, SceneFrame]:
    """Return the frames by name."""
    table = yaml.safe_load((files(__package__) / "frames.yaml").read_text(encoding="utf-8"))["frames"]
    return {name: _frame(name, row) for name, row in table.items()}


def _frame(name: str, row: Mapping[str, Any]) -> SceneFrame:
    pattern, color = row["background"].split()
    others = {word: _box(corners) for word, corners in row["others"].items()}
    background = Background(pattern, color)
    return SceneFrame(name, row["seen"], _box(row["box"]), row.get("flip", False), background, others, row["say"])


def _box(corners: tuple[int, int, int, int]) -> Box:
    x0, y0, x1, y1 = (c / GRID for c in corners)
    return x0, y0, x1, y1
