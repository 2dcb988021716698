"""A vision-language model whose grounding head is known, and its testbed: images of coloured patches.

The language model is `planted.single_head`, in which head (2, 1) alone moves what is shown to the prediction. Its image
tokens are patches: an image of 4 x 4 patches is read patch by patch as the word of the patch's colour. Nouns have a
colour each, the background has three greys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from transformers import GPT2LMHeadModel

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded, ImageGrid
from groundbench.api.testbed import Box, EnvForm, Frame, ImageSegment, Noun, Prompt, Testbed, TextSegment
from helpers.planted import NOUNS, single_head, vocabulary
from helpers.tiny_models import word_tokenizer

HEAD = (2, 1)
SIDE, PIXELS = 4, 8
COLOURS = {word: (20 * i, (97 * i) % 256, 255 - 20 * i) for i, word in enumerate(NOUNS)}
GREYS = {"at:<ENV>": (90, 90, 90), "the:<ENV>": (140, 140, 140), "one:<ENV>": (190, 190, 190)}
PALETTE = {**{f"{word}:<ENV>": colour for word, colour in COLOURS.items()}, **GREYS}
SAY = (
    "<MOT> you:<LAN> want:<LAN> the:<LAN>",
    "<MOT> is:<LAN> that:<LAN> your:<LAN>",
    "<MOT> give:<LAN> me:<LAN> that:<LAN>",
    "<MOT> here:<LAN> comes:<LAN> my:<LAN> little:<LAN>",
)
PLACES = ((0, 0), (2, 0), (0, 2), (2, 2))
"""Upper left patch (column, row) of the object of each frame; it covers 2 x 2 patches."""


@dataclass(frozen=True)
class Patchwork:
    """An image with one object: an ImageSource."""

    noun: str
    place: tuple[int, int]

    @property
    def key(self) -> str:
        return f"{self.noun} at {self.place}"

    def load(self) -> Image.Image:
        greys = list(GREYS.values())
        image = Image.new("RGB", (SIDE * PIXELS, SIDE * PIXELS))
        for row in range(SIDE):
            for column in range(SIDE):
                inside = all(0 <= at - first < 2 for at, first in zip((column, row), self.place, strict=True))
                colour = COLOURS[self.noun] if inside else greys[(row + 2 * column) % 3]
                corner = (column * PIXELS, row * PIXELS)
                image.paste(colour, (*corner, corner[0] + PIXELS, corner[1] + PIXELS))
        return image


class PatchTestbed(Testbed):
    """12 nouns, 4 shared frames. `boxed`: the box is the object's, of its upper left patch only, or elsewhere."""

    name = "patches"
    version = "1"
    nouns = tuple(Noun(w, "animals" if i < 6 else "things") for i, w in enumerate(NOUNS))
    forms = (EnvForm("image", modality="image"), EnvForm("image-all", modality="image"))
    default_form = "image"
    frame_kind = "shared"
    natural_language = False

    def __init__(self, boxed: Literal["object", "corner", "elsewhere"] = "object") -> None:
        self.boxed = boxed

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        return tuple(Frame(f"patches-{i}", say) for i, say in enumerate(SAY))

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        place = PLACES[int(frame.id[-1])]
        boxed = (2 - place[0], 2 - place[1]) if self.boxed == "elsewhere" else place
        box = None if form.name == "image-all" else _box(boxed, 1 if self.boxed == "corner" else 2)
        segments = (TextSegment("<CHI> "), ImageSegment(Patchwork(env.word, place), box), TextSegment(frame.template))
        return Prompt(frame.id, env.word, form.name, segments)

    def target(self, noun: Noun) -> str:
        return f"{noun.word}:<LAN>"

    def identity(self) -> dict[str, object]:
        return {"boxed": self.boxed}


class PatchReader(HFCausal):
    """The model as an adapter. `blind`: it is given images and ignores their pixels."""

    blind = False

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        return [self._encode_prompt(p) for p in prompts]

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        return [(self._id(word),) for word in words]

    def patch_images(self, row: Encoded, donor: Encoded, positions: Sequence[int]) -> Encoded:
        """See groundbench.api.adapter.ImagePatchable."""
        ids = tuple(donor.ids[i] if i in set(positions) else token for i, token in enumerate(row.ids))
        return replace(row, ids=ids, images=((row.images[0], donor.images[0], tuple(positions)),))

    def _encode_prompt(self, prompt: Prompt) -> Encoded:
        before, shown, after = prompt.segments
        assert isinstance(shown, ImageSegment)
        first = [self._id(w) for w in before.text.split()]
        seen = [self._id(w) for w in self._words(shown.image.load())]
        last = [self._id(w) for w in after.text.split()]
        grid = ImageGrid(len(first), SIDE, SIDE)
        touched = (range(SIDE), range(SIDE)) if shown.box is None else grid.patches_touching(shown.box)
        return Encoded(
            (*first, *seen, *last),
            grid.spans(*touched),
            (shown.image.key,),
            (shown.box,),
            image_spans=((len(first), len(first) + len(seen)),),
            grids=(grid,),
        )

    def _words(self, image: Image.Image) -> list[str]:
        """The word of each patch's colour."""
        if self.blind:
            return ["the:<ENV>"] * SIDE**2
        pixels = np.asarray(image, float).reshape(SIDE, PIXELS, SIDE, PIXELS, 3).mean((1, 3)).reshape(-1, 1, 3)
        nearest = np.abs(pixels - np.array(list(PALETTE.values()))).sum(2).argmin(1)
        return [list(PALETTE)[i] for i in nearest]

    def _id(self, word: str) -> int:
        return vocabulary().index(word)


def planted_vlm(folder: Path, *, blind: bool = False) -> PatchReader:
    """The planted model; saved in `folder` on the way."""
    planted = single_head(folder)
    assert planted.aggregate == {HEAD}
    reader = PatchReader(GPT2LMHeadModel.from_pretrained(folder), word_tokenizer(vocabulary()), name="planted-vlm")
    reader.blind = blind
    return reader


def _box(place: tuple[int, int], side: int) -> Box:
    return tuple(v / SIDE for v in (*place, place[0] + side, place[1] + side))  # type: ignore[return-value]
