"""Images by their content key: how their tokens are laid out, and their features, computed once and then kept."""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from groundbench.adapters.model_structure import input_device
from groundbench.adapters.vlm.families import Family, Processed
from groundbench.api.adapter import ImageGrid
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.testbed import ImageSource

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import PreTrainedModel

OF_THE_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "labels")
FEATURE_BYTES = 1 << 30
"""Bytes of image features that are kept."""


@dataclass(frozen=True)
class Layout:
    """The text of an image before tokenizing, the number of its placeholder `tokens`, and its grids of patches.

    `grids`: their `start` is counted from the image's first token; None where they are not known.
    `grid_thw`: (time, height, width) in patches for families whose positions need it.
    """

    text: str
    tokens: int
    grids: tuple[ImageGrid, ...] | None
    grid_thw: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Patched:
    """The key of an image with some tokens' features (from 0) taken from a donor of the same layout.

    As text it names the image, a hash of the tokens and the donor: run directories keep that.
    """

    key: ImageKey
    donor: ImageKey
    tokens: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.key} with {hashlib.sha256(repr(self.tokens).encode()).hexdigest()[:16]} of {self.donor}"


ImageKey: TypeAlias = str | Patched


class ImageInputs:
    """The images of all prompts of one processor; pixels are made again whenever they are needed."""

    def __init__(self, processor: Any, config: Any, family: Family, name: str) -> None:
        self.processor, self.config, self.family, self.name = processor, config, family, name
        self.placeholder: str = processor.tokenizer.convert_ids_to_tokens(config.image_token_id)
        self._sources: dict[str, ImageSource] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._layouts: dict[tuple[int, int], Layout] = {}

    def layout(self, source: ImageSource, where: str) -> Layout:
        """Return the layout of an image's tokens; the image is read on first use.

        Raises:
            BadInputError: it cannot be read; names the prompt and the image.
        """
        if source.key not in self._sizes:
            image = self._read(source, where)
            if image.size not in self._layouts:
                self._layouts[image.size] = self._make_layout(image, where)
            self._sizes[source.key], self._sources[source.key] = image.size, source
        return self._layouts[self._sizes[source.key]]

    def layout_of(self, key: ImageKey) -> Layout:
        """Return the layout of an image that was seen; a patched image has that of the image it was made of."""
        while isinstance(key, Patched):
            key = key.key
        return self._layouts[self._sizes[key]]

    def inputs(self, key: str) -> dict[str, Tensor]:
        """Return the processor's output for an image's pixels."""
        return self.process(self._read(self._sources[key], f"image {key}"), key)[0]

    def process(self, image: Image, where: str) -> tuple[dict[str, Tensor], str]:
        """Return the pixels as the model takes them, and the image's placeholder text.

        Raises:
            BadInputError: the processor refuses the image.
        """
        try:
            made = self.processor(
                images=[image],
                text=[self.processor.image_token],
                return_tensors="pt",
                return_text_replacement_offsets=True,
            )
        except (ValueError, TypeError, RuntimeError, OSError, ZeroDivisionError) as error:
            raise BadInputError(
                f"{where}: {self.name}'s processor refuses an image of {image.size[0]} x {image.size[1]}: "
                f"{' '.join(str(error).split())[:200]}"
            ) from error
        (replaced,) = made.pop("text_replacement_offsets")
        text = str(replaced[0]["replacement"])
        return {k: v for k, v in made.items() if k not in OF_THE_TEXT and isinstance(v, Tensor)}, text

    def _make_layout(self, image: Image, where: str) -> Layout:
        inputs, text = self.process(image, where)
        tokens = text.count(self.placeholder)
        found = Processed(self.processor, self.config, inputs, image.size, text, tokens)
        grids = None if self.family.grids is None else self.family.grids(found)
        grid = inputs.get("image_grid_thw")
        return Layout(text, tokens, grids, None if grid is None else tuple(grid[0].tolist()))

    def _read(self, source: ImageSource, where: str) -> Image:
        try:
            image = source.load()
        except (OSError, ValueError, SyntaxError, MemoryError) as error:  # what Pillow raises for damaged files
            raise BadInputError(f"{where}: the image {source.key} cannot be read: {error}") from error
        if getattr(image, "mode", None) != "RGB":
            found = getattr(image, "mode", type(image).__name__)
            raise BadInputError(f"{where}: the image {source.key} is {found}, expected an image in RGB")
        return image


class Features:
    """Features of images from tower and projector: [tokens, d] each, the last ones used are kept."""

    def __init__(self, model: PreTrainedModel, image_inputs: ImageInputs, most_bytes: int = FEATURE_BYTES) -> None:
        self._tower = getattr(model, "model", model)
        if not hasattr(self._tower, "get_image_features"):
            raise UnsupportedModelError(
                f"{image_inputs.name}: a {model.config.model_type} model gives no image features"
            )
        self._accepts = set(inspect.signature(self._tower.get_image_features).parameters)
        self._device = input_device(model)
        self._image_inputs = image_inputs
        self._most = most_bytes
        self._kept: OrderedDict[ImageKey, Tensor] = OrderedDict()
        self.as_list = True
        self.computed = 0

    def of(self, key: ImageKey) -> Tensor:
        """Return [tokens, d] of an image, as a plain call of the model computes them.

        Raises:
            BadInputError: there are more or fewer of them than the processor gives tokens.
        """
        found = self._kept.pop(key, None)
        if found is None:
            found = self._swap(key) if isinstance(key, Patched) else self._compute(self._image_inputs.inputs(key))
            wanted = self._image_inputs.layout_of(key).tokens
            if len(found) != wanted:
                raise BadInputError(
                    f"{self._image_inputs.name}: its processor gives the image {key} {wanted} tokens, but the model "
                    f"{len(found)} features; model and processor do not fit"
                )
        self._kept[key] = found
        held = sum(f.nbytes for f in self._kept.values())
        while held > self._most and len(self._kept) > 1:
            held -= self._kept.popitem(last=False)[1].nbytes
        return found

    def _swap(self, image: Patched) -> Tensor:
        found = self.of(image.key).clone()
        found[list(image.tokens)] = self.of(image.donor)[list(image.tokens)]
        return found

    @torch.no_grad()
    def _compute(self, inputs: Mapping[str, Tensor]) -> Tensor:
        self.computed += 1
        given = {k: v.to(self._device) for k, v in inputs.items() if k in self._accepts}
        made = self._tower.get_image_features(**given, return_dict=True).pooler_output
        self.as_list = not isinstance(made, Tensor)
        parts = list(made) if self.as_list else [made]
        return torch.cat([p.reshape(-1, p.shape[-1]) for p in parts])
