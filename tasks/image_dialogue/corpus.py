"""The corpus of images with dialogues that a vision-language model is trained on (protocol §2.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random

from groundbench.api.errors import BadInputError
from groundbench.tasks.image_dialogue import phrases
from groundbench.tasks.image_dialogue.art import TRAIN_STYLES, art_digest, drawn_words
from groundbench.tasks.image_dialogue.dialogue import caption, dialogue
from groundbench.tasks.image_dialogue.layout import random_scene
from groundbench.tasks.image_dialogue.scenes import PATTERNS, Scene, SceneImage

VERSION = "1"
WORD = re.compile(r"\w+|[^\w\s]")
"""A word of the closed vocabulary: letters, or one mark of punctuation."""


class ImageDialogues:
    """Images with ten turns of dialogue each, made when asked for: item i is a pure function of seed and i.

    Items from `images` on are of the same kind and never trained on (`heldout`).

    Args:
        images: how many there are to train on.
        seed: which ones.
        shuffle_env: every dialogue has the image of the next one: the null corpus of protocol §14 B. What is held
            out stays apart.

    Raises:
        BadInputError: fewer than two images.
    """

    name = "image-dialogue"

    def __init__(self, images: int = 3000, seed: int = 1, shuffle_env: bool = False) -> None:
        if images < 2:
            raise BadInputError(f"image-dialogue: expected at least 2 images, found {images}")
        self.images, self.seed, self.shuffle_env = images, seed, shuffle_env

    def __len__(self) -> int:
        return self.images

    def identity(self) -> dict[str, object]:
        """Return the options that decide its bytes, as JSON values."""
        return {
            "name": self.name,
            "version": VERSION,
            "art": art_digest(),
            "styles": list(TRAIN_STYLES),
            "pictures": self.images,
            "seed": self.seed,
            "shuffle_env": self.shuffle_env,
        }

    def scene(self, i: int) -> Scene:
        """Return the scene that dialogue i is about."""
        return random_scene(self._random(i))

    def image(self, i: int) -> SceneImage:
        """Return the image that is shown with dialogue i: of its scene, unless `shuffle_env`."""
        if not self.shuffle_env:
            return self.scene(i).image()
        return self.scene((i + 1) % self.images if i < self.images else i + 1).image()

    def text(self, i: int, *, caption: bool = False) -> str:
        """Write dialogue i: `Question: ...? Answer: ....` ten times; with `caption`, `Caption: ....` first."""
        rng = self._random(i)
        scene = random_scene(rng)
        turns = dialogue(scene, rng)
        return " ".join([self.caption(i), *turns] if caption else turns)

    def caption(self, i: int) -> str:
        """Return the caption of dialogue i: what a text-only model reads where this corpus has an image."""
        return f"Caption: {_caption(self.scene(i))}"

    def turns(self, i: int) -> list[str]:
        """Return the ten turns of dialogue i."""
        rng = self._random(i)
        return dialogue(random_scene(rng), rng)

    def words(self) -> list[str]:
        """Return every word and mark of punctuation that a text may hold, sorted: the closed vocabulary (see WORD)."""
        return list(_words())

    def heldout(self, rows: int) -> Sequence[int]:
        """Return `rows` items that are never trained on."""
        return range(self.images, self.images + rows)

    def _random(self, i: int) -> Random:
        if i < 0:
            raise BadInputError(f"image-dialogue: expected an item from 0 on, found {i}")
        return Random(f"image-dialogue {VERSION} {self.seed} {i}")


_caption = caption


@cache
def _words() -> tuple[str, ...]:
    kinds = ("PRESENCE", "COUNT", "TOTAL", "PLACE", "SIZE", "COLOR", "BACKGROUND", "PLAIN")
    worded = [p for kind in (*kinds, "WHAT_THERE", "WHAT", "NAMED") for p in getattr(phrases, kind)]
    texts = [re.sub(r"\{\w+\}", " ", p) for p in worded]
    texts += [*phrases.YES_NO, *phrases.NUMBERS, *phrases.SIZES, *phrases.WHERE.values(), *PATTERNS]
    texts += [
        *phrases.BACKGROUND_COLORS,
        *phrases.OBJECT_COLORS,
        phrases.turn("", ""),
        "Caption: , and on a background, some",
    ]
    texts += [f"{d.noun.article} {d.noun.word} {'' if d.mass else d.noun.plural}" for d in drawn_words().values()]
    return tuple(sorted({w for text in texts for w in WORD.findall(text)}))
