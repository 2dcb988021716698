"""Positions of families that number an image's patches in three dimensions (Qwen-VL): always given, never remembered.

Such a model keeps, from call to call, by how much the positions after an image are shifted; a row that goes on from a
cache would take the shift of whatever was run last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from groundbench.adapters.vlm.image_features import ImageInputs
from groundbench.api.adapter import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def is_needed(model: PreTrainedModel) -> bool:
    """Return True if the model numbers positions by time, height and width."""
    return hasattr(getattr(model, "model", model), "get_rope_index")


def positions(
    model: PreTrainedModel, rows: Sequence[Encoded], placeholder: int, image_inputs: ImageInputs, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return [3, B, T] positions of rows of one length, and [B, 1] each next position less the length.

    Args:
        placeholder: the token that stands for a patch.
    """
    ids = torch.tensor([row.ids for row in rows], device=device)
    grids = [image_inputs.layout_of(key).grid_thw for row in rows for key in row.images]
    found: tuple[Tensor, Tensor] = model.model.get_rope_index(
        ids,
        mm_token_type_ids=(ids == placeholder).int(),
        image_grid_thw=torch.tensor(grids, device=device) if grids else None,
    )
    return found
