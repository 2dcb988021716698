"""Differences between families of vision-language models: places of patches, attention among image tokens.

A family is named by transformers' model type. What is said here of one is tried on the model when it is opened (see
`checking`); of a family that is not here, images are read whole, but a box in one cannot be found among its tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from transformers.image_processing_utils import select_best_resolution

from groundbench.api.adapter import ImageGrid
from groundbench.api.testbed import Box

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Processed:
    """An image after its processor: `size` is its original (width, height), `tokens` its placeholder in a text."""

    processor: Any
    config: Any
    inputs: Mapping[str, Tensor]
    size: tuple[int, int]
    text: str
    tokens: int


Grids = Callable[[Processed], tuple[ImageGrid, ...] | None]
"""Gives the grids of patches among an image's own tokens: their `start` is counted from the image's first token."""


@dataclass(frozen=True)
class Family:
    """The reading of images by one family.

    Attributes:
        tiles: where the patches stand; gives None where that is not known.
        around: special tokens before and after an image, outside a chat template.
        bidirectional: which tokens see later ones: none, those of one image each other, or the whole `prefix` of images
            (which then stands before all text).
        several: whether a prompt may hold more than one image.
    """

    grids: Grids | None = None
    around: tuple[str, str] = ("", "")
    bidirectional: Literal["none", "image", "prefix"] = "none"
    several: bool = True


def one_grid(image: Processed) -> tuple[ImageGrid, ...] | None:
    """Return the patches of one scaled (and perhaps cropped) image, after a class token where that is kept."""
    height, width = image.inputs["pixel_values"].shape[-2:]
    patch = getattr(image.processor, "patch_size", None)
    rows, columns = (height // patch, width // patch) if patch else (math.isqrt(image.tokens),) * 2
    extra = image.tokens - rows * columns
    if extra not in (0, 1) or (patch is None and height != width):
        return None
    return (ImageGrid(extra, rows, columns, columns, visible_region(image.processor.image_processor, image.size)),)


def base_and_tiles(image: Processed) -> tuple[ImageGrid, ...] | None:
    """Lay out a small version of the whole, then the tiles joined without padding, a newline token a row."""
    processor, (width, height) = image.processor, image.size
    side = image.inputs["pixel_values"].shape[-1]
    patches = _patches_across(image, side)
    best = select_best_resolution([height, width], processor.image_processor.image_grid_pinpoints)
    scale = best[0] // side, best[1] // side
    n, rows = processor._get_unpadded_features(height, width, patches, patches, *scale)
    columns = n // rows
    extra = image.tokens - (patches * patches + rows * (columns + 1))
    if extra not in (0, 1):
        return None
    region = _region_without_padding(image.size, (patches * scale[1], patches * scale[0]))
    fine = ImageGrid(extra + patches * patches, rows, columns, columns + 1, region)
    return ImageGrid(extra, patches, patches, patches), fine


def _patches_across(image: Processed, side: int) -> int:
    patch = getattr(image.processor, "patch_size", None)
    return side // patch if patch else math.isqrt(image.processor.num_image_tokens)


def _region_without_padding(size: tuple[int, int], padded: tuple[int, int]) -> Box:
    """Return what the joined tiles cover without padding rows or columns: a little beyond the image."""
    width, height = size
    across, down = padded
    if width / height > across / down:
        exact = height * across / width
        kept = down - 2 * ((down - int(round(exact, 7))) // 2)
        more = (kept - exact) / 2 / exact
        return (0.0, -more, 1.0, 1.0 + more)
    exact = width * down / height
    kept = across - 2 * ((across - int(round(exact, 7))) // 2)
    more = (kept - exact) / 2 / exact
    return (-more, 0.0, 1.0 + more, 1.0)


def merged_patches(image: Processed) -> tuple[ImageGrid, ...] | None:
    """Lay out patches of the whole image at its own shape, joined by squares."""
    _, height, width = (int(n) for n in image.inputs["image_grid_thw"][0])
    merge = image.processor.image_processor.merge_size
    rows, columns = height // merge, width // merge
    return (ImageGrid(0, rows, columns, columns),) if rows * columns == image.tokens else None


def tiles_and_whole(image: Processed) -> tuple[ImageGrid, ...] | None:
    """Lay out tiles named by row and column, then a small whole; each a square of pooled patches."""
    length = image.processor.image_seq_len
    side = math.isqrt(length)
    places = [(int(r), int(c)) for r, c in re.findall(r"<row_(\d+)_col_(\d+)>", image.text)]
    if side * side != length or image.tokens != length * (len(places) + 1):
        return None
    n_rows, n_columns = max((r for r, _ in places), default=1), max((c for _, c in places), default=1)
    regions = [((c - 1) / n_columns, (r - 1) / n_rows, c / n_columns, r / n_rows) for r, c in places]
    return tuple(ImageGrid(k * length, side, side, side, region) for k, region in enumerate([*regions, WHOLE]))


def visible_region(image_processor: Any, size: tuple[int, int]) -> Box:
    """Return the part of an image left after padding to a square, scaling and cropping, in fractions."""
    width, height = size
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    if getattr(image_processor, "do_pad", False):
        side = max(width, height)
        left, top = -float((side - width) // 2), -float((side - height) // 2)
        right, bottom = left + side, top + side
    if getattr(image_processor, "do_center_crop", False):
        across, down = _size_after_resize(image_processor, right - left, bottom - top)
        crop = image_processor.crop_size
        x, y = (across - crop["width"]) // 2, (down - crop["height"]) // 2
        scale_x, scale_y = (right - left) / across, (bottom - top) / down
        left, top = left + x * scale_x, top + y * scale_y
        right, bottom = left + crop["width"] * scale_x, top + crop["height"] * scale_y
    return (left / width, top / height, right / width, bottom / height)


def _size_after_resize(image_processor: Any, width: float, height: float) -> tuple[int, int]:
    """Return (width, height) after resizing: to a given shortest edge, or to a given shape."""
    if not getattr(image_processor, "do_resize", False):
        return int(width), int(height)
    size = image_processor.size
    short = size.get("shortest_edge")
    if short is None:
        return int(size["width"]), int(size["height"])
    if width <= height:
        return int(short), int(short * height / width)
    return int(short * width / height), int(short)


def whole_only(image: Processed) -> tuple[ImageGrid, ...] | None:
    """Return one square of pooled patches of the whole image; None where crops were added to it."""
    return one_grid(image) if image.tokens == image.processor.image_seq_length else None


QWEN = ("<|vision_start|>", "<|vision_end|>")
FAMILIES: Mapping[str, Family] = {
    "llava": Family(one_grid),
    "llava_next": Family(base_and_tiles),
    "llava_onevision": Family(base_and_tiles, several=False),
    "qwen2_vl": Family(merged_patches, around=QWEN),
    "qwen2_5_vl": Family(merged_patches, around=QWEN),
    "idefics3": Family(tiles_and_whole),
    "smolvlm": Family(tiles_and_whole),
    "paligemma": Family(one_grid, bidirectional="prefix", several=False),
    "gemma3": Family(whole_only, bidirectional="image"),
}
"""By transformers' model type."""


def family_of(config: Any) -> Family:
    """Return the family of a model; a plain one where it is not known."""
    return FAMILIES.get(config.model_type, Family())
