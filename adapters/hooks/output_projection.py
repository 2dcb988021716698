"""The output projection of attention heads: what a head's output becomes in the residual stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def catch_inputs(module: nn.Module, width: int) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """List which matrices the first call of an attention module gives an input of this width, each with its input.

    Args:
        width: heads times head size: the last matrix of the list is the output projection.
    """
    seen: list[tuple[nn.Module, Tensor]] = []
    ended: list[bool] = []

    def before(part: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        x = args[0] if args else next(iter(kwargs.values()), None)
        if not ended and isinstance(x, Tensor) and x.shape[-1] == width:
            seen.append((part, x.detach()))

    with ExitStack() as stack:
        for part in module.modules():
            weight = getattr(part, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim > 1:
                stack.callback(part.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(lambda *_: ended.append(True)).remove)
        yield seen


@torch.no_grad()
def project_heads(projection: nn.Module, outputs: Tensor) -> Tensor:
    """Return [H, N, d]: what each head adds to the residual stream alone, without the projection's bias.

    Args:
        outputs: [H, N, D] the heads' outputs before the projection.
    """
    heads, n, size = outputs.shape
    nothing = projection(outputs.new_zeros(1, n, heads * size))
    made = []
    for h in range(heads):
        alone = outputs.new_zeros(1, n, heads, size)
        alone[0, :, h] = outputs[h]
        made.append((projection(alone.flatten(2)) - nothing)[0])
    return torch.stack(made)
