"""The summed surprisal of next tokens, without the tokens x vocabulary matrix that the textbook way keeps thrice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Logits of a block stay in a core's cache on a CPU; an accelerator wants blocks that fill it.
BLOCK_BYTES = {"cpu": 4 << 20}
ACCELERATOR_BYTES = 256 << 20


def summed_surprisal(hidden: Tensor, unembedding: torch.nn.Module, targets: Tensor) -> Tensor:
    """The sum over rows of -log P(target) in nats, fp32, with the gradients of hidden, weight and bias.

    Equal to `cross_entropy(unembedding(hidden).float(), targets, reduction="sum")` up to the order of sums. Blocks of
    rows are taken to their gradient at once, while their logits are at hand.

    Args:
        hidden: [n, d].
        unembedding: a Linear layer of d to V.
        targets: [n] token ids below V.
    """
    if not isinstance(unembedding, torch.nn.Linear):
        return F.cross_entropy(unembedding(hidden).float(), targets, reduction="sum")
    total: Tensor = _SummedSurprisal.apply(hidden, unembedding.weight, unembedding.bias, targets)  # type: ignore[no-untyped-call]
    return total


class _SummedSurprisal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        device = hidden.device.type
        low = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if low else weight.dtype
        with torch.autocast(device, enabled=False):
            rows, table = hidden.to(dtype), weight.to(dtype)
            shift = None if bias is None else bias.to(dtype)
            grads = _Gradients(rows, weight, bias, ctx.needs_input_grad) if any(ctx.needs_input_grad) else None
            total = torch.zeros((), device=hidden.device)
            step = max(1, BLOCK_BYTES.get(device, ACCELERATOR_BYTES) // (4 * weight.shape[0]))
            for start in range(0, len(rows), step):
                block = slice(start, start + step)
                log_p = F.linear(rows[block], table, shift).float().log_softmax(-1)
                aim = targets[block, None]
                total -= log_p.gather(1, aim).sum()
                if grads is not None:
                    slope = log_p.exp_().scatter_add_(1, aim, log_p.new_full((1, 1), -1.0).expand_as(aim))
                    grads.add(block, slope.to(dtype), rows[block], table)
        if grads is not None:
            ctx.dtype = hidden.dtype
            ctx.save_for_backward(grads.hidden, grads.weight, grads.bias)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        grads = (None if hidden is None else hidden.to(ctx.dtype), weight, bias, None)
        return tuple(None if grad is None else grad * scale for grad in grads)


class _Gradients:
    """The gradients of the sum, filled block by block; None where none is needed (frozen weights, no bias)."""

    def __init__(self, rows: Tensor, weight: Tensor, bias: Tensor | None, needed: tuple[bool, ...]) -> None:
        self.hidden = torch.empty_like(rows) if needed[0] else None
        self.weight = torch.zeros_like(weight) if needed[1] else None
        self.bias = torch.zeros_like(bias) if bias is not None and needed[2] else None

    def add(self, block: slice, slope: Tensor, rows: Tensor, table: Tensor) -> None:
        """Add a block of rows [r, d], given the gradient at its logits [r, V]."""
        if self.hidden is not None:
            torch.mm(slope, table, out=self.hidden[block])
        if self.weight is not None and slope.dtype == self.weight.dtype:
            self.weight.addmm_(slope.t(), rows)
        elif self.weight is not None:
            self.weight += slope.t() @ rows
        if self.bias is not None:
            self.bias += slope.sum(0)
