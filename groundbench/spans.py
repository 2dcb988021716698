"""Which tokens an edge starts from: the ENV span, and an equally long span of other words (protocol §10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from groundbench.adapter import Encoded
from groundbench.errors import BadInputError


def env_mask(rows: Sequence[Encoded], smear: int = 0) -> Tensor:
    """[B, T] bool: the ENV tokens of rows of one length, never the prediction position.

    `smear`: a short convolution spreads a token over that many later positions, which then count too (protocol §8).

    Raises:
        BadInputError: a row has no ENV token before the prediction position.
    """
    mask = _mask([row.env_positions for row in rows], len(rows[0]))
    if not mask.any(1).all():
        raise BadInputError("a prompt has no ENV token before the prediction position: no edge can be measured")
    return smeared(mask, smear)


def null_mask(rows: Sequence[Encoded], smear: int = 0, seed: int = 0) -> Tensor:
    """[B, T] bool: for each row a run of other tokens, as long as its ENV form; empty where there is no room.

    The run lies clear of the (smeared) ENV span and of the prediction position. It is drawn from the seed and the
    row's own tokens, so it depends neither on the batch nor on the order of items.
    """
    length = len(rows[0])
    taken = env_mask(rows, smear).numpy()
    chosen = [_null_run(row, taken[i], smear, length, seed) for i, row in enumerate(rows)]
    return smeared(_mask(chosen, length), smear)


def smeared(mask: Tensor, smear: int) -> Tensor:
    """The mask with each token's next `smear` positions, clipped before the prediction position."""
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


def _mask(positions: Sequence[Sequence[int]], length: int) -> Tensor:
    mask = torch.zeros(len(positions), length, dtype=torch.bool)
    for i, chosen in enumerate(positions):
        mask[i, [p for p in chosen if p < length - 1]] = True
    return mask
