"""Mamba-2's scan as sum_k W_qk x_k + D x_q, against a recurrence written out step by step."""

from __future__ import annotations

import sys

import pytest
import torch
from helpers.tiny_models import SSD, random_items, tiny, tiny_adapter
from torch.nn import functional as F

from groundbench.adapters.model_structure import layer_list
from groundbench.api.adapter import HeadEdit
from groundbench.measures.heads.saliency import SaliencyOptions, measure_saliency
from groundbench.measures.heads.saliency_flow import gradients, row_flow, target_loss, total_flow
from groundbench.measures.heads.spans import env_mask, null_mask

LENGTH = 11


def recurrence(mixer, hidden):
    """y [B, T, H, P] of one Mamba-2 mixer, by h_t = exp(dt A) h_{t-1} + dt B x, y_t = C h_t + D x (no chunks)."""
    width, states, heads = mixer.intermediate_size, mixer.ssm_state_size, mixer.num_heads
    _, mixed, dt = mixer.in_proj(hidden).split([width, mixer.conv_dim, heads], dim=-1)
    padded = F.pad(mixed.transpose(1, 2), (mixer.conv_kernel_size - 1, 0))
    mixed = F.silu(F.conv1d(padded, mixer.conv1d.weight, mixer.conv1d.bias, groups=mixer.conv_dim)).transpose(1, 2)
    x, b, c = mixed.split([width, mixer.n_groups * states, mixer.n_groups * states], dim=-1)
    x = x.unflatten(-1, (heads, -1))
    b, c = (t.unflatten(-1, (mixer.n_groups, -1)).repeat_interleave(heads // mixer.n_groups, 2) for t in (b, c))
    dt = F.softplus(dt + mixer.dt_bias).clamp(*mixer.time_step_limit)
    state = hidden.new_zeros(*x.shape[:1], *x.shape[2:], states)
    outputs = []
    for t in range(hidden.shape[1]):
        decay = torch.exp(dt[:, t] * -torch.exp(mixer.A_log))[..., None, None]
        state = decay * state + dt[:, t, :, None, None] * x[:, t, :, :, None] * b[:, t, :, None]
        outputs.append((state * c[:, t, :, None]).sum(-1) + mixer.D[:, None] * x[:, t])
    return torch.stack(outputs, 1)


def test_the_rebuilt_weights_give_the_recurrences_output():
    adapter = tiny_adapter("mamba2")
    inputs = []
    for layer in layer_list(adapter.model):
        layer.mixer.register_forward_pre_hook(
            lambda _, args, kwargs: inputs.append((*args, *kwargs.values())[0]), with_kwargs=True
        )
    out = adapter.forward([i.row for i in random_items(2, LENGTH)], trace=True)
    for layer, hidden, trace in zip(layer_list(adapter.model), inputs, out.traces, strict=True):
        rebuilt = trace.weights(slice(None)) @ trace.values + trace.skip[:, None, None] * trace.values
        expected = recurrence(layer.mixer, hidden).transpose(1, 2).detach()
        assert (rebuilt - expected).abs().max() < 1e-5 * expected.abs().max()
        assert (trace.output.detach() - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("family", SSD)
def test_rebuilt_weights_equal_the_mixer(family):
    out = tiny_adapter(family).forward([i.row for i in random_items(2, LENGTH)], trace=True)
    traces = [t for t in out.traces if t.mixer.kind == "ssd"]
    assert traces
    for trace in traces:
        rebuilt = trace.weights(slice(None)) @ trace.values + trace.skip[:, None, None] * trace.values
        output = trace.output.detach()
        assert (rebuilt - output).abs().max() < 1e-5 * output.abs().max()
        assert trace.smear == 3


def dense_autograd(family, items):
    """[B, H, T, T] for each scan: W * dL/dW, with every scan replaced by its dense matrix product."""
    model = tiny(family)
    module = sys.modules[type(layer_list(model)[0].mixer).__module__]
    scan, matrices = module.mamba2_chunk_scan, []

    def dense(x, dt, A, B, C, chunk_size, D=None, dt_bias=None, dt_limit=(0.0, float("inf")), **_):
        dt = F.softplus(dt + dt_bias).clamp(*dt_limit)
        heads = x.shape[2]
        steps = (dt * A).transpose(1, 2)
        length = steps.shape[-1]
        between = torch.stack(
            [
                steps[..., k + 1 : q + 1].sum(-1) if k <= q else steps.new_full(steps.shape[:-1], -torch.inf)
                for q in range(length)
                for k in range(length)
            ],
            -1,
        ).unflatten(-1, (length, length))
        B, C = (t.repeat_interleave(heads // t.shape[2], 2) for t in (B, C))
        W = between.exp() * torch.einsum("bqhn,bkhn->bhqk", C, B) * dt.transpose(1, 2)[:, :, None]
        W.retain_grad()
        matrices.append(W)
        return (W @ x.transpose(1, 2)).transpose(1, 2) + D[:, None] * x

    module.mamba2_chunk_scan = dense
    try:
        logits = model(input_ids=torch.tensor([i.row.ids for i in items]), use_cache=False).logits
    finally:
        module.mamba2_chunk_scan = scan
    target_loss(logits[:, -1], [i.target[0] for i in items]).sum().backward()
    return [W.detach() * W.grad for W in matrices]


def test_saliency_equals_autograd_through_dense_matrices():
    items = random_items(3, LENGTH)
    rows = [i.row for i in items]
    expected = dense_autograd("mamba2", items)
    adapter = tiny_adapter("mamba2")
    out = adapter.forward(rows, trace=True)
    grads = gradients(target_loss(out.logits, [i.target[0] for i in items]).sum(), out.traces)
    for trace, gradient, last_block in zip(out.traces, grads, expected, strict=True):
        row, theirs = row_flow(trace, gradient, LENGTH - 1), last_block[:, :, -1]
        assert ((row - theirs).abs() / theirs.abs().amax(-1, keepdim=True)).max() < 1e-5
        whole = total_flow(trace, gradient, env_mask(rows, trace.smear), null_mask(rows, trace.smear))
        torch.testing.assert_close(whole.total, last_block.abs().sum((2, 3)), rtol=1e-4, atol=1e-8)


def test_d_on_the_diagonal_is_an_option():
    items = random_items(2, LENGTH)
    adapter = tiny_adapter("mamba2")
    without, with_d = (
        measure_saliency(adapter, items, SaliencyOptions("total", skip_on_diagonal=flag)) for flag in (False, True)
    )
    torch.testing.assert_close(without.edge, with_d.edge)
    torch.testing.assert_close(without.row_offdiagonal, with_d.row_offdiagonal)
    torch.testing.assert_close(without.total_offdiagonal, with_d.total_offdiagonal)
    assert abs(without.row_sum - with_d.row_sum).max() > 1e-4 * without.row_sum.max()
    out = adapter.forward([items[0].row], trace=True)
    grads = gradients(target_loss(out.logits, items[0].target).sum(), out.traces)
    whole = torch.cat(
        [(g[:, :, -1] * t.output.detach()[:, :, -1]).sum(-1) for g, t in zip(grads, out.traces, strict=True)], 1
    )
    torch.testing.assert_close(torch.tensor(with_d.signed_row[0]), whole[0], rtol=1e-4, atol=1e-6)  # <dL/do, o>


def test_the_convolutions_smear_counts_as_env():
    items = random_items(6, LENGTH)
    saliency = measure_saliency(tiny_adapter("falcon_h1"), items)
    kinds = [m.kind for m in saliency.mixers]
    for item, span in zip(items, saliency.span, strict=True):
        first, stop = item.row.env[0]
        assert {s for s, k in zip(span, kinds, strict=True) if k == "attention"} == {2}
        assert {s for s, k in zip(span, kinds, strict=True) if k == "ssd"} == {min(stop + 3, LENGTH - 1) - first}


def test_a_cached_state_is_traced_over_the_whole_prompt_and_can_be_edited():
    adapter = tiny_adapter("mamba2")
    rows = [i.row for i in random_items(2, LENGTH)]
    prefix = adapter.prefill([type(r)(r.ids[:-1]) for r in rows])
    whole = adapter.forward(rows, trace=True)
    found = adapter.forward([r.after(LENGTH - 1) for r in rows], prefix=prefix, trace=True)
    for one, other in zip(found.traces, whole.traces, strict=True):
        torch.testing.assert_close(one.output, other.output, rtol=0, atol=1e-4)
    scale = torch.zeros(1, adapter.info.n_heads)
    last = HeadEdit(scale, positions="last")
    again = adapter.forward([r.after(LENGTH - 1) for r in rows], prefix=prefix, edit=last).logits
    torch.testing.assert_close(again, adapter.forward(rows, edit=last).logits, rtol=0, atol=1e-4)


def test_scaling_one_head_leaves_the_others_as_they_are():
    adapter = tiny_adapter("mamba2")
    rows = [i.row for i in random_items(2, LENGTH)]
    scale = torch.ones(1, adapter.info.n_heads)
    scale[0, 2] = 3.0
    caught = []
    first = layer_list(adapter.model)[0].mixer.out_proj
    handle = first.register_forward_hook(lambda _, args, out: caught.append(args[0]))
    adapter.forward(rows)
    adapter.forward(rows, edit=HeadEdit(scale))
    handle.remove()
    plain, edited = (c.unflatten(-1, (8, 8)) for c in caught)
    torch.testing.assert_close(edited[..., 2, :], 3 * plain[..., 2, :])
    others = [h for h in range(8) if h != 2]
    assert torch.equal(edited[..., others, :], plain[..., others, :])
