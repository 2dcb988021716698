"""Saliency by full autograd through the attention matrices, as an oracle."""

from __future__ import annotations

from typing import Any

import torch

from groundbench.measures.heads.saliency_flow import target_loss
from helpers.tiny_models import tiny


def autograd_flow(
    family: str, items: list, config: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    """[B, H, T, T] of each layer: attention times its gradient, by plain eager attention."""
    model = tiny(family, config=config).to(dtype)
    model.config._attn_implementation = "eager"
    ids = torch.tensor([i.row.ids for i in items])
    out = model(input_ids=ids, output_attentions=True, use_cache=False, return_dict=True)
    for attention in out.attentions:
        attention.retain_grad()
    target_loss(out.logits[:, -1], [i.target[0] for i in items]).sum().backward()
    return [a.detach() * a.grad for a in out.attentions]
