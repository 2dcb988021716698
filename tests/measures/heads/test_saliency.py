"""Measuring many items: cached rows, batches, losses, spans, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.tiny_models import random_items, tiny, tiny_adapter
from hypothesis import given
from hypothesis import strategies as st

from groundbench.api.adapter import Encoded
from groundbench.api.errors import BadInputError, NonFiniteLogitsError, UnsupportedModelError
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.saliency import SaliencyOptions, flow_matrices, measure_saliency
from groundbench.measures.heads.saliency_flow import target_loss
from groundbench.measures.heads.spans import env_mask, null_mask

CACHED = ("gpt2", "llama", "gemma2", "mistral", "gpt_oss", "deepseek_v3", "bloom", "gpt_neo")
ROW_FIELDS = ("edge", "row_sum", "row_offdiagonal", "signed_edge", "signed_row", "layer_edge", "layer_row", "surprisal")


def assert_same(a: HeadSaliency, b: HeadSaliency, fields=ROW_FIELDS) -> None:
    assert (a.nouns, a.frames, a.mixers) == (b.nouns, b.frames, b.mixers)
    for name in fields:
        one, other = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.nanmax(np.abs(other)), err_msg=name)


@pytest.mark.parametrize("family", CACHED)
def test_rows_on_a_cached_prefix_equal_rows_of_the_whole_prompt(family):
    adapter = tiny_adapter(family)
    assert "prefix" in adapter.info.capabilities
    items = random_items(4) + random_items(3, length=8, seed=1)
    assert_same(measure_saliency(adapter, items), measure_saliency(adapter, items, SaliencyOptions("total")))


@pytest.mark.parametrize("family", ["mamba2", "jamba", "falcon_h1"])
def test_where_states_are_cached_the_whole_prompt_is_run(family):
    adapter = tiny_adapter(family)
    items = random_items(3)
    assert_same(measure_saliency(adapter, items), measure_saliency(adapter, items, SaliencyOptions("total")))


def test_only_the_last_token_is_traced_on_a_cached_prefix(monkeypatch):
    adapter = tiny_adapter("llama")
    lengths = []
    forward = adapter.forward

    def spied(rows, **options):
        out = forward(rows, **options)
        lengths.extend(t.output.shape[2] for t in out.traces)
        return out

    monkeypatch.setattr(adapter, "forward", spied)
    measure_saliency(adapter, random_items(3))
    assert set(lengths) == {1}


@pytest.mark.parametrize("denominator", ["row", "total"])
def test_neither_batches_nor_order_change_anything(denominator):
    adapter = tiny_adapter("llama")
    items = random_items(5) + random_items(4, length=7, seed=2)
    options = SaliencyOptions(denominator)
    whole = measure_saliency(adapter, items, options)
    assert whole.nouns == tuple(i.noun for i in items)
    assert whole.length.tolist() == [len(i.row) for i in items]
    assert_same(whole, measure_saliency(adapter, items, options, batch_tokens=1), (*ROW_FIELDS, "null_edge"))
    backwards = measure_saliency(adapter, items[::-1], options).select(range(len(items))[::-1])
    assert_same(whole, backwards, (*ROW_FIELDS, "null_edge"))


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    adapter = tiny_adapter("gpt2")
    sizes, forward = [], adapter.forward

    def small(rows, **options):
        if len(rows) > 2:
            raise torch.OutOfMemoryError("no room")
        sizes.append(len(rows))
        return forward(rows, **options)

    items = random_items(5)
    whole = measure_saliency(adapter, items)
    monkeypatch.setattr(adapter, "forward", small)
    told = []
    assert_same(measure_saliency(adapter, items, advance=told.append), whole)
    assert sizes == [2, 1, 2]
    assert told == [5]
    assert sum(told) == 5


@pytest.mark.parametrize("denominator", ["row", "total"])
def test_the_loss_over_all_target_tokens_is_their_sum(denominator):
    items = random_items(3, tokens=3)
    model = tiny("llama")
    model.set_attn_implementation("eager")
    ids = torch.tensor([(*i.row.ids, *i.target[:2]) for i in items])
    out = model(input_ids=ids, output_attentions=True, use_cache=False)
    for attention in out.attentions:
        attention.retain_grad()
    length = len(items[0].row)
    loss = sum(target_loss(out.logits[:, length - 1 + j], [i.target[j] for i in items]).sum() for j in range(3))
    loss.backward()
    rows = [(a.detach() * a.grad)[:, :, length - 1, :length] for a in out.attentions]
    expected = torch.cat([r.abs().sum(2) for r in rows], 1).numpy()
    options = SaliencyOptions(denominator, loss="all")
    measured = measure_saliency(tiny_adapter("llama"), items, options)
    np.testing.assert_allclose(measured.row_sum, expected, rtol=0, atol=1e-5 * expected.max())
    one = measure_saliency(tiny_adapter("llama"), items, SaliencyOptions(denominator))
    assert abs(one.row_sum - expected).max() > 0.01 * expected.max()


def test_flow_matrices_are_the_layers_sum_over_heads():
    item = random_items(1)[0]
    adapter = tiny_adapter("llama")
    total = measure_saliency(adapter, [item], SaliencyOptions("total"))
    matrices, _ = flow_matrices(adapter, item)
    assert [layer for layer, _ in matrices] == [1, 2, 3]
    start, stop = item.row.env[0]
    for i, (_, matrix) in enumerate(matrices):
        assert matrix.shape == (len(item.row),) * 2
        assert not matrix.triu(1).any()
        assert float(matrix[-1].sum()) == pytest.approx(total.layer_row[0, i], rel=1e-4)
        assert float(matrix[-1, start:stop].sum()) == pytest.approx(total.layer_edge[0, i], rel=1e-4)
        assert float(matrix.sum()) == pytest.approx(total.layer_total[0, i], rel=1e-4)
        into = matrix[start:stop, :start].sum()
        assert float(into) == pytest.approx(total.layer_gathered[0, i], rel=1e-4, abs=1e-9)


def test_an_env_token_beyond_a_sliding_window_has_no_edge():
    adapter = tiny_adapter("mistral")  # a window of 4
    (near, far) = (
        replace(i, row=replace(i.row, env=((start, start + 1),)))
        for i, start in zip(random_items(2), (8, 2), strict=True)
    )
    for denominator in ("row", "total"):
        edge = measure_saliency(adapter, [near, far], SaliencyOptions(denominator)).edge
        assert (edge[0] > 0).all()
        assert (edge[1] == 0).all()


def test_minus_the_signed_row_is_the_first_order_effect_of_shrinking_a_head():
    from groundbench.api.adapter import HeadEdit

    adapter = tiny_adapter("llama")
    item = random_items(1)[0]
    signed = measure_saliency(adapter, [item]).signed_row[0]
    base = float(target_loss(adapter.forward([item.row]).logits, item.target))
    step = 1e-2
    for column in range(adapter.info.n_heads):
        losses = []
        for sign in (-1, 1):
            scale = torch.ones(1, adapter.info.n_heads)
            scale[0, column] += sign * step
            edit = HeadEdit(scale, positions="last")
            losses.append(float(target_loss(adapter.forward([item.row], edit=edit).logits, item.target)))
        assert (losses[1] - losses[0]) / (2 * step) == pytest.approx(float(signed[column]), rel=2e-2, abs=2e-3)
        assert min(losses) < base + 1


def test_a_model_without_heads_is_refused():
    with pytest.raises(UnsupportedModelError, match="mamba: it has no heads"):
        measure_saliency(tiny_adapter("mamba"), random_items(1))


def test_nothing_to_measure_is_refused():
    with pytest.raises(BadInputError, match="at least one matched prompt"):
        measure_saliency(tiny_adapter("gpt2"), [])
    bare = replace(random_items(1)[0], row=Encoded((2, 3, 4, 5)))
    with pytest.raises(BadInputError, match="no ENV token before the prediction position"):
        measure_saliency(tiny_adapter("gpt2"), [bare])


def test_nan_logits_name_the_prompt():
    adapter = tiny_adapter("gpt2")
    adapter.model.lm_head.weight.data[7] = float("nan")
    with pytest.raises(NonFiniteLogitsError, match="frame 'frame0' with 'noun0' shown"):
        measure_saliency(adapter, random_items(2))


@given(length=st.integers(2, 20), smear=st.integers(0, 4), data=st.data())
def test_null_spans_are_as_long_clear_of_env_and_of_the_prediction(length, smear, data):
    start = data.draw(st.integers(0, length - 2))
    stop = data.draw(st.integers(start + 1, length - 1))
    row = Encoded(tuple(data.draw(st.lists(st.integers(0, 9), min_size=length, max_size=length))), ((start, stop),))
    env, null = env_mask([row], smear)[0], null_mask([row], smear)[0]
    assert torch.equal(null, null_mask([row, row], smear)[1])
    assert not (env & null).any()
    assert not env[-1]
    assert not null[-1]
    assert env[start:stop].all()
    if null.any():
        assert int(null.sum()) == stop - start + smear
    else:  # there was really no room: no free run of that length on either side
        width = stop - start + smear
        after = min(stop + smear, length - 1)
        assert start < width
        assert length - 1 - after < width


def test_other_seeds_choose_other_null_spans():
    rows = [i.row for i in random_items(20, length=15)]
    assert torch.equal(null_mask(rows, seed=1), null_mask(rows, seed=1))
    assert not torch.equal(null_mask(rows, seed=1), null_mask(rows, seed=2))
