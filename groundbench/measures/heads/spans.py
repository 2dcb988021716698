"""The token spans at the start of an edge: the ENV span, and an equally long control span (protocol §10).

Of an image: the patches that the object's box touches, and those of an equal box elsewhere in the image.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from groundbench.api.adapter import Encoded, ImageGrid
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Box


def env_mask(rows: Sequence[Encoded], smear: int = 0) -> Tensor:
    """Return [B, T] bool: the ENV tokens of rows of one length, never the prediction position.

    `smear`: a short convolution spreads a token over that many later positions, which then count too (protocol §8).

    Raises:
        BadInputError: a row has no ENV token before the prediction position.
    """
    mask = _mask([row.env_positions for row in rows], len(rows[0]))
    if not mask.any(1).all():
        raise BadInputError("a prompt has no ENV token before the prediction position: no edge can be measured")
    return smear_mask(mask, smear)


def image_mask(rows: Sequence[Encoded], smear: int = 0) -> Tensor:
    """Return [B, T] bool: the patches of the prompt's images, as far as their places are known."""
    return smear_mask(_mask([patch_positions(row) for row in rows], len(rows[0])), smear)


def patch_positions(row: Encoded) -> list[int]:
    """Return the token positions of every patch of the prompt's images, grid by grid, row by row."""
    return [p for g in row.grids for a, b in g.spans(range(g.rows), range(g.columns)) for p in range(a, b)]


def null_mask(rows: Sequence[Encoded], smear: int = 0, seed: int = 0) -> Tensor:
    """Return [B, T] bool: for each row a run of other tokens, as long as its ENV form; empty where there is no room.

    The run lies clear of the (smeared) ENV span and of the prediction position. It is drawn from the seed and the
    row's own tokens, so it depends neither on the batch nor on the order of items. Where the ENV form is an object in
    an image, the run is an equal box elsewhere in it, on as many patches and clear of the object's.
    """
    length = len(rows[0])
    taken = env_mask(rows, smear).numpy()
    chosen: list[Sequence[int]] = []
    for i, row in enumerate(rows):
        boxed = [k for k, box in enumerate(row.boxes) if box is not None]
        chosen.append(_null_boxes(row, boxed, seed) if boxed else _null_run(row, taken[i], smear, length, seed))
    return smear_mask(_mask(chosen, length), smear)


def smear_mask(mask: Tensor, smear: int) -> Tensor:
    """Return the mask with each token's next `smear` positions, clipped before the prediction position."""
    wide = mask.clone()
    for step in range(1, smear + 1):
        wide[:, step:] |= mask[:, :-step]
    wide[:, -1] = False
    return wide


def _null_run(
    row: Encoded, taken: np.ndarray[tuple[int], np.dtype[np.bool_]], smear: int, length: int, seed: int
) -> range:
    width = len([p for p in row.env_positions if p < length - 1])
    reach = width + smear
    room = length - 1 - reach
    if room < 0:
        return range(0)
    blocked = np.convolve(taken[: length - 1], np.ones(reach, int), mode="valid") > 0
    free = np.flatnonzero(~blocked)
    if free.size == 0:
        return range(0)
    start = int(np.random.default_rng([seed, *row.ids]).choice(free))
    return range(start, start + width)


def _null_boxes(row: Encoded, images: Sequence[int], seed: int) -> list[int]:
    """Return the patches of a null box in each of these images; none where one of them has no room."""
    positions: list[int] = []
    for image in images:
        handle = zlib.crc32(str(row.images[image]).encode())
        draw = np.random.default_rng([seed, handle, *row.ids])
        moved = _move_box([g for g in row.grids if g.image == image], row.boxes[image], draw)
        if not moved:
            return []
        positions += moved
    return positions


def _move_box(grids: Sequence[ImageGrid], box: Box | None, draw: np.random.Generator) -> list[int]:
    """Return the patches of an equal box elsewhere in an image, moved by whole patches of its finest grid; or none.

    Where an image is tiled or shown twice the box moves in all its grids alike; it must cover as many patches in all
    as the object's does, and none of them.
    """
    if not grids or box is None:
        return []
    own = set(_patches(grids, box))
    across = _shifts(box[0], box[2], min((g.region[2] - g.region[0]) / g.columns for g in grids))
    down = _shifts(box[1], box[3], min((g.region[3] - g.region[1]) / g.rows for g in grids))
    for place in draw.permutation(len(across) * len(down)).tolist():
        dx, dy = across[place % len(across)], down[place // len(across)]
        moved = _patches(grids, (box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy))
        if len(moved) == len(own) and own.isdisjoint(moved):
            return moved
    return []


def _shifts(low: float, high: float, step: float) -> list[float]:
    """By how much [low, high] may be moved within [0, 1], in whole steps."""
    before, after = int(low / step + 1e-6), int((1 - high) / step + 1e-6)
    return [k * step for k in range(-before, after + 1)]


def _patches(grids: Sequence[ImageGrid], box: Box) -> list[int]:
    return [p for g in grids for a, b in g.spans(*g.patches_touching(box)) for p in range(a, b)]


def _mask(positions: Sequence[Sequence[int]], length: int) -> Tensor:
    mask = torch.zeros(len(positions), length, dtype=torch.bool)
    for i, chosen in enumerate(positions):
        mask[i, [p for p in chosen if p < length - 1]] = True
    return mask
