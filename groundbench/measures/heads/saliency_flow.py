"""Saliency flow of one traced forward pass (protocol §8): s_qk = A_qk <dL/do_q, v_k>, which is A * dL/dA exactly.

Only rows of A are ever formed, in blocks: nothing T x T is kept. Shapes: B rows, H heads of one mixer, T positions.
All results are fp32. Signed flow is kept until the end: heads take |s|, a layer's matrix is |sum over heads of s|.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from groundbench.api.adapter import Trace
from groundbench.api.errors import NonFiniteLogitsError

BLOCK_BYTES = 4 << 20
"""Size of one block of a mixer's weights may be: the few copies a block needs then stay in a CPU's cache."""


def target_loss(logits: Tensor, targets: Sequence[int]) -> Tensor:
    """-log p(target) in nats for each row: logits [B, V] to [B]."""
    picked = torch.tensor(targets, device=logits.device)[:, None]
    return -logits.float().log_softmax(-1).gather(1, picked)[:, 0]


def finite_loss(logits: Tensor, targets: Sequence[int], where: Callable[[int], str]) -> Tensor:
    """Return `target_loss`, [B] nats. Raises NonFiniteLogitsError with the name of the first row without a number."""
    loss = target_loss(logits, targets)
    finite = torch.isfinite(loss)
    if not bool(finite.all()):
        raise NonFiniteLogitsError(f"{where(int((~finite).nonzero()[0]))}: the model returned NaN or infinite logits")
    return loss


def gradients(loss: Tensor, traces: Sequence[Trace]) -> list[Tensor]:
    """dL/do of every mixer, [B, H, Tq, D] each, in one backward pass. Rows are independent: `loss` is their sum."""
    return list(torch.autograd.grad(loss, [t.output for t in traces], materialize_grads=True))


@torch.no_grad()
def row_flow(trace: Trace, gradient: Tensor, query: int, *, skip_on_diagonal: bool = False) -> Tensor:
    """Return [B, H, Tk]: signed flow into one query position from every key (from itself last)."""
    return _block(trace, gradient, trace.values.float(), slice(query, query + 1), skip_on_diagonal)[:, :, 0]


@torch.no_grad()
def flow_matrix(trace: Trace, gradient: Tensor, *, skip_on_diagonal: bool = False) -> Tensor:
    """Return [B, Tq, Tk]: a layer's flow matrix I = |sum over heads of s|, for plots of short prompts."""
    return _block(trace, gradient, trace.values.float(), slice(0, gradient.shape[2]), skip_on_diagonal).sum(1).abs()


@dataclass(frozen=True)
class TotalFlow:
    """Sums over all (q, k) of one mixer.

    Attributes:
        total, offdiagonal: [B, H] sums of |s|, over everything and without q = k.
        gathered, null_gathered: [B, H] sums of |s| into the ENV (or the null) span from tokens outside it.
        even_gathered, even_total: [B, H] `gathered` and `total` if the span attended evenly to all that it
            may see: what a head without any pattern would gather under the same gradients.
        layer_total, layer_gathered: [B] the same of the layer's matrix I.
    """

    total: Tensor
    offdiagonal: Tensor
    gathered: Tensor
    null_gathered: Tensor
    even_gathered: Tensor
    even_total: Tensor
    layer_total: Tensor
    layer_gathered: Tensor


@torch.no_grad()
def total_flow(
    trace: Trace, gradient: Tensor, env: Tensor, null: Tensor, *, skip_on_diagonal: bool = False
) -> TotalFlow:
    """Sum over the whole of a mixer's flow, by blocks of query rows. `env` and `null` are masks [B, T]."""
    batch, heads, length, _ = gradient.shape
    values = trace.values.float()
    step = max(1, BLOCK_BYTES // (4 * batch * heads * values.shape[2]))
    sums = torch.zeros(6, batch, heads, device=gradient.device)
    layer = torch.zeros(2, batch, device=gradient.device)
    for start in range(0, length, step):
        rows = slice(start, min(start + step, length))
        if not gradient[:, :, rows].any():
            continue  # in the last layer only the prediction position has a gradient
        flow = _block(trace, gradient, values, rows, skip_on_diagonal)
        first = values.shape[2] - length + start
        whole = flow.sum(1).abs_()
        layer[0] += whole.sum((1, 2))
        layer[1] += _flow_into(whole[:, None], env, rows)[:, 0]
        flow = flow.abs_()
        on_itself = flow[..., first : first + rows.stop - rows.start].diagonal(dim1=2, dim2=3)
        diagonal = on_itself.clone()
        sums[0] += diagonal.sum(-1)
        on_itself.zero_()  # summed apart, not subtracted: what is left may be far smaller
        sums[1] += flow.sum((2, 3))
        sums[2] += _flow_into(flow, env, rows)
        sums[3] += _flow_into(flow, null, rows)
        if env[:, rows].any():
            inside = env[:, None, rows, None].to(flow)
            even = _even_flow(trace, gradient, values, rows)
            sums[4] += _flow_into(even, env, rows)
            sums[5] += ((even - flow) * inside).sum((2, 3)) - (diagonal * inside[..., 0]).sum(-1)
    total = sums[0] + sums[1]
    return TotalFlow(total, sums[1], sums[2], sums[3], sums[4], total + sums[5], layer[0], layer[1])


def _block(trace: Trace, gradient: Tensor, values: Tensor, rows: slice, skip_on_diagonal: bool) -> Tensor:
    """Return [B, H, r, keys]: signed flow into some query rows, from the keys that they may see."""
    keys = values.shape[2] if trace.bidirectional else values.shape[2] - gradient.shape[2] + rows.stop
    flow = trace.weights(rows, keys)
    if skip_on_diagonal and trace.skip is not None:
        flow[..., keys - (rows.stop - rows.start) :].diagonal(dim1=2, dim2=3).add_(trace.skip[:, None])
    return flow.mul_(gradient[:, :, rows].float() @ values[:, :, :keys].transpose(2, 3))


def _even_flow(trace: Trace, gradient: Tensor, values: Tensor, rows: slice) -> Tensor:
    """[B, H, r, keys]: |flow| into some query rows if each spread its weights evenly over the keys that it may see."""
    keys = values.shape[2] if trace.bidirectional else values.shape[2] - gradient.shape[2] + rows.stop
    weights = trace.weights(rows, keys).abs()
    n = rows.stop - rows.start
    seen = torch.ones(n, keys, device=weights.device)
    if not trace.bidirectional:
        seen = seen.tril_(keys - n)
    mean = weights.sum(-1, keepdim=True) / seen.sum(-1)[:, None]
    return (mean * seen * (gradient[:, :, rows].float() @ values[:, :, :keys].transpose(2, 3))).abs_()


def _flow_into(flow: Tensor, span: Tensor, rows: slice) -> Tensor:
    """Return [B, H]: what flows into a span's tokens from tokens outside it; flow [B, H, r, keys]."""
    inside = span[:, rows]
    if not inside.any():
        return flow.new_zeros(flow.shape[:2])
    outside = ~span[:, : flow.shape[-1]]
    return torch.einsum("bhqk,bq,bk->bh", flow, inside.to(flow), outside.to(flow))
