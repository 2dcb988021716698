"""Families whose image tokens see later ones: which those are, as each family's forward pass wants to be told."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from groundbench.adapters.vlm.families import Family
from groundbench.api.adapter import Encoded


def types(family: Family, rows: Sequence[Encoded], placeholder: int, device: torch.device) -> dict[str, Tensor]:
    """Return the input that says which tokens [B, T] see later ones; nothing for families without any.

    `image` (Gemma 3): 1 for an image's tokens, 0 for text; needed where the new tokens hold an image. `prefix`
    (PaliGemma): 0 up to the end of the images and what its processor puts after them, then 1; needed of every prompt
    that goes on from no cache, since without it transformers lets all tokens see all.
    """
    start = rows[0].start
    if family.bidirectional == "image" and any(placeholder in row.ids[start:] for row in rows):
        ids = torch.tensor([row.ids for row in rows], device=device)
        return {"token_type_ids": (ids == placeholder).int()}
    if family.bidirectional == "prefix" and not start:
        ends = [max((end for _, end in row.image_spans), default=0) for row in rows]
        places = torch.arange(len(rows[0]), device=device)
        return {"token_type_ids": torch.stack([(places >= end).int() for end in ends])}
    return {}
