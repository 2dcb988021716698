"""Saliency against full autograd: A * dL/dA from eager attention, where the model itself keeps T x T weights."""

from __future__ import annotations

import pytest
import torch
from helpers.autograd_oracle import autograd_flow
from helpers.tiny_models import BY_ITSELF, INTERFACE, random_items, tiny_adapter

from groundbench.measures.heads.saliency_flow import gradients, row_flow, target_loss, total_flow
from groundbench.measures.heads.spans import env_mask, null_mask

TOLERANCE = 1e-5
ATTENTION = INTERFACE + BY_ITSELF


def even_flow(trace, gradient):
    """[B, H, T, T]: |dL/dA| times the mean weight of each row over the keys up to its own position."""
    weights = trace.weights(slice(None)).abs()
    slope = (gradient.float() @ trace.values.float().transpose(2, 3)).abs()
    length = weights.shape[2]
    mean = weights.sum(-1, keepdim=True) / torch.arange(1, length + 1)[:, None]
    return (mean * slope).tril()


@pytest.mark.parametrize("family", ATTENTION)
def test_rows_and_totals_equal_autograd(family):
    items = random_items(3)
    adapter = tiny_adapter(family)
    out = adapter.forward([i.row for i in items], trace=True)
    grads = gradients(target_loss(out.logits, [i.target[0] for i in items]).sum(), out.traces)
    rows = [i.row for i in items]
    env, null = env_mask(rows), null_mask(rows)
    expected = autograd_flow(family, items)
    assert len(expected) == len(out.traces)
    for trace, gradient, oracle in zip(out.traces, grads, expected, strict=True):
        last = gradient.shape[2] - 1
        row, theirs = row_flow(trace, gradient, last), oracle[:, :, last]
        assert ((row - theirs).abs() / theirs.abs().amax(-1, keepdim=True)).max() < TOLERANCE
        for query in range(last):  # other rows may cancel to almost nothing: against the head's largest entry
            row, theirs = row_flow(trace, gradient, query), oracle[:, :, query]
            assert ((row - theirs[..., : row.shape[2]]).abs() / oracle.abs().amax((2, 3))[..., None]).max() < TOLERANCE
        whole = total_flow(trace, gradient, env, null)
        size = oracle.abs()
        total = size.sum((2, 3))
        off = total - size.diagonal(dim1=2, dim2=3).sum(-1)
        torch.testing.assert_close(whole.total, total, rtol=TOLERANCE, atol=1e-9)
        torch.testing.assert_close(whole.offdiagonal, off, rtol=1e-4, atol=1e-8)
        into = (size * env[:, None, :, None] * ~env[:, None, None, :]).sum((2, 3))
        torch.testing.assert_close(whole.gathered, into, rtol=1e-4, atol=1e-8)
        evenly = even_flow(trace, gradient)
        inside, outside = env[:, None, :, None], ~env[:, None, None, :]
        torch.testing.assert_close(whole.even_gathered, (evenly * inside * outside).sum((2, 3)), rtol=1e-4, atol=1e-8)
        mixed = torch.where(inside, evenly, size).sum((2, 3))
        torch.testing.assert_close(whole.even_total, mixed, rtol=1e-4, atol=1e-8)
        torch.testing.assert_close(whole.layer_total, oracle.sum(1).abs().sum((1, 2)), rtol=1e-4, atol=1e-8)
