"""Every family: the same logits as a plain call, patches found where they are, heads as full autograd has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.image_bed import BOX, Square
from helpers.plain_calls import PLACEHOLDER, adapter_of, eager_flow, plain, planted, prompt, without_mixing
from helpers.tiny_vlms import FAMILIES

from groundbench.api.testbed import ImageSegment, Prompt, TextSegment
from groundbench.measures.heads import saliency_flow as flow
from groundbench.measures.heads.saliency_flow import gradients, row_flow, target_loss, total_flow
from groundbench.measures.heads.spans import env_mask, null_mask

SIZES = ((64, 64), (90, 50), (40, 70))


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_a_plain_call_on_the_processors_own_inputs(family):
    adapter = adapter_of(family)
    assert adapter.encoder.fault is None
    assert adapter.info.family == family
    assert {"prefix", "hidden", "hooks", "start_at_layer"} <= adapter.info.capabilities
    for size in SIZES:
        pictures = [Square((250, 10, 10), size=size), Square((10, 10, 250), size=size)]
        rows = adapter.encode([prompt(p) for p in pictures])
        ours = adapter.forward(rows).logits
        for k, picture in enumerate(pictures):
            inputs = plain(family, adapter.processor, picture)
            assert list(rows[k].ids) == inputs["input_ids"][0].tolist()
            with torch.no_grad():
                wanted = adapter.model(**inputs, use_cache=False, return_dict=True).logits[0, -1]
            torch.testing.assert_close(ours[k], wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))
        assert (ours[0] - ours[1]).abs().max() > 1e-3, "the image makes no difference"
        cut = rows[0].image_spans[0][1]
        gone_on = adapter.forward([r.after(cut) for r in rows], prefix=adapter.prefill([r.upto(cut) for r in rows]))
        torch.testing.assert_close(gone_on.logits, ours, rtol=0, atol=1e-5 * float(ours.abs().max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bright_patch_is_found_where_the_box_says(family):
    adapter = without_mixing(family)
    for size, box in (((128, 128), (0.53, 0.28, 0.72, 0.47)), ((160, 96), (0.55, 0.3, 0.7, 0.45))):
        row, change = planted(adapter, Square((255, 255, 255), box, size))
        placeholders = [i for i, t in enumerate(row.ids) if t == adapter.placeholder]
        moved = {placeholders[i] for i in (change > 0.3 * change.max()).nonzero()[:, 0].tolist()}
        assert moved <= set(row.env_positions)
        assert placeholders[int(change.argmax())] in row.env_positions
        assert len(row.env_positions) < len(placeholders)
        silent = change[[placeholders.index(p) for p in set(placeholders) - set(row.env_positions)]]
        assert float(silent.max()) < 0.3 * float(change.max())
        for grid in row.grids:
            inside = {p for a, b in grid.spans(*grid.patches_touching(box)) for p in range(a, b)}
            assert inside <= set(placeholders)
            assert not inside or inside & moved


@pytest.mark.parametrize("family", FAMILIES)
def test_saliency_of_an_image_prompt_equals_full_autograd(family, monkeypatch):
    monkeypatch.setattr(flow, "BLOCK_BYTES", 1)  # a row at a time: image tokens see beyond it
    adapter = adapter_of(family)
    picture = Square((250, 10, 10))
    (row,) = adapter.encode([prompt(picture)])
    env, null = env_mask([row]), null_mask([row])
    out = adapter.forward([row], trace=True)
    grads = gradients(target_loss(out.logits, [60]).sum(), out.traces)
    oracle = eager_flow(family, picture, 60)
    assert len(oracle) == len(out.traces) == adapter.info.n_layers
    for trace, gradient, theirs in zip(out.traces, grads, oracle, strict=True):
        last = row_flow(trace, gradient, gradient.shape[2] - 1)[0]
        assert float((last - theirs[:, -1]).abs().max()) < 2e-5 * float(theirs[:, -1].abs().max())
        whole = total_flow(trace, gradient, env, null)
        torch.testing.assert_close(whole.total[0], theirs.abs().sum((1, 2)), rtol=1e-4, atol=1e-8)
        off = theirs.abs().sum((1, 2)) - theirs.abs().diagonal(dim1=1, dim2=2).sum(-1)
        torch.testing.assert_close(whole.offdiagonal[0], off, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_null_box_is_as_large_and_elsewhere(family):
    adapter = adapter_of(family)
    (row,) = adapter.encode([prompt(Square((250, 10, 10), (0.1, 0.1, 0.2, 0.2), (128, 128)))])
    patches = {i for i, t in enumerate(row.ids) if t == adapter.placeholder}
    for seed in range(5):
        chosen = set(np.flatnonzero(null_mask([row], seed=seed)[0].numpy()).tolist())
        if not chosen:  # so few patches that every equal box touches the object's
            assert family == "gemma3"
            continue
        assert chosen <= patches
        assert len(chosen) == len(row.env_positions)
        assert not chosen & set(row.env_positions)
    (whole,) = adapter.encode([prompt(Square((250, 10, 10)), boxed=False)])
    assert set(whole.env_positions) == patches if len(whole) == len(row) else whole.env_positions
    assert not null_mask([whole]).any()


@pytest.mark.parametrize("family", ["llava", "gemma3", "qwen2_vl", "idefics3"])
def test_two_images_in_one_prompt(family):
    adapter = adapter_of(family)
    first, second = Square((250, 10, 10)), Square((10, 10, 250))
    parts = (ImageSegment(first, BOX), TextSegment(" w1 w2"), ImageSegment(second, BOX), TextSegment(" w3 w4"))
    (row,) = adapter.encode([Prompt("f", "noun", "image", parts)])
    token = PLACEHOLDER.get(family, "<image>")
    made = adapter.processor(
        images=[first.load(), second.load()], text=[f"{token} w1 w2{token} w3 w4"], return_tensors="pt"
    )
    assert list(row.ids) == made["input_ids"][0].tolist()
    with torch.no_grad():
        wanted = adapter.model(**made, use_cache=False, return_dict=True).logits[0, -1]
    ours = adapter.forward([row]).logits[0]
    torch.testing.assert_close(ours, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))
    assert {g.image for g in row.grids} == {0, 1}
    for cut in (row.image_spans[0][1], row.image_spans[1][1]):
        gone_on = adapter.forward([row.after(cut)], prefix=adapter.prefill([row.upto(cut)])).logits[0]
        torch.testing.assert_close(gone_on, ours, rtol=0, atol=1e-5 * float(ours.abs().max()))
    swapped = replace(row, images=row.images[::-1])
    assert (adapter.forward([swapped]).logits[0] - ours).abs().max() > 1e-4
