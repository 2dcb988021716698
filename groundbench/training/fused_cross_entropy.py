"""The summed surprisal of next tokens, without the tokens x vocabulary matrix that the textbook way keeps thrice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Logits of a block stay in a core's cache on a CPU; an accelerator wants blocks that fill it.
BLOCK_BYTES = {"cpu": 4 << 20}
FEWEST = 256  # rows of a block, however large the vocabulary: fewer and the matrix products are slow
ACCELERATOR_BYTES = 256 << 20
# Rows of a block are a multiple of this in low precision on a CPU: oneDNN keeps code for every shape it has met, a few
# megabytes each between the freed blocks of the heap, and how many tokens count differs from batch to batch.
ROWS = 64
IGNORED = -100


def summed_surprisal(hidden: Tensor, unembedding: torch.nn.Module, targets: Tensor) -> Tensor:
    """Return the sum over rows of -log P(target) in nats, fp32, with the gradients of hidden, weight and bias.

    Equal to `cross_entropy(unembedding(hidden).float(), targets, reduction="sum")` up to the order of sums. Where the
    logits are many, blocks of rows are taken to their gradient at once, while their logits are at hand.

    Args:
        hidden: [n, d].
        unembedding: a Linear layer of d to V.
        targets: [n] token ids below V.
    """
    if not isinstance(unembedding, torch.nn.Linear):
        return F.cross_entropy(unembedding(hidden).float(), targets, reduction="sum")
    device, weight, bias = hidden.device.type, unembedding.weight, unembedding.bias
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    real = len(hidden)
    if device == "cpu" and dtype.itemsize < 4 and real % ROWS:  # rows of zeros, that count for nothing
        more = -real % ROWS
        hidden, targets = F.pad(hidden, (0, 0, 0, more)), F.pad(targets, (0, more), value=IGNORED)
    rows = BLOCK_BYTES.get(device, ACCELERATOR_BYTES) // (4 * weight.shape[0])
    if len(hidden) <= rows:
        return F.cross_entropy(unembedding(hidden).float(), targets, reduction="sum", ignore_index=IGNORED)
    rows = max(FEWEST, rows) // ROWS * ROWS
    learns = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (hidden, weight, bias))
    given = (hidden, weight, bias, targets, dtype, rows, real, learns)
    total: Tensor = _SummedSurprisal.apply(*given)  # type: ignore[no-untyped-call]
    return total


class _SummedSurprisal(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        dtype: torch.dtype,
        step: int,
        real: int,
        learns: bool,  # within forward no gradient is enabled, so that it cannot be asked here
    ) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            rows, table = hidden.to(dtype), weight.to(dtype)
            shift = None if bias is None else bias.to(dtype)
            grads = _Gradients(rows, weight, bias, ctx.needs_input_grad) if learns else None
            total = torch.zeros((), device=hidden.device)
            for start in range(0, len(rows), step):
                block, counted = slice(start, start + step), slice(0, real - start)
                log_p = F.linear(rows[block], table, shift).float().log_softmax(-1)
                aim = targets[block, None].clamp(min=0)
                total -= log_p.gather(1, aim)[counted].sum()
                if grads is not None:
                    slope = log_p.exp_().scatter_add_(1, aim, log_p.new_full((1, 1), -1.0).expand_as(aim))
                    slope[counted.stop :] = 0
                    grads.add(block, slope.to(dtype), rows[block], table)
        ctx.grads, ctx.dtype = grads, hidden.dtype
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        found, ctx.grads = ctx.grads, None
        if found is None:
            raise RuntimeError("the gradients of the summed surprisal are gone after one backward pass")
        for grad in (found.hidden, found.weight, found.bias):
            if grad is not None:
                grad.mul_(scale)
        hidden = None if found.hidden is None else found.hidden.to(ctx.dtype)
        return hidden, found.weight, found.bias, *(None,) * 5


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
        if self.weight is not None and slope.dtype != self.weight.dtype:
            self.weight += slope.t() @ rows
        elif self.weight is not None and block.start == 0:
            torch.mm(slope.t(), rows, out=self.weight)
        elif self.weight is not None:
            self.weight.addmm_(slope.t(), rows)
        if self.bias is not None:
            self.bias += slope.sum(0)
