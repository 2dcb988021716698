"""A sweep of single heads equals a loop that zeroes one head at a time, layer by layer, family by family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.planted import PLANTED, PlantedTestbed, matched_items
from helpers.tiny_models import random_items, tiny_adapter

from groundbench.adapters.huggingface import open_causal
from groundbench.api.adapter import HeadEdit
from groundbench.api.errors import UnsupportedModelError
from groundbench.measures.heads.single_heads import sweep_heads

FAMILIES = ("gpt2", "llama", "gpt_neox", "opt", "gemma2", "mistral", "mamba2")


@pytest.mark.parametrize("positions", ["last", "all"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_sweep_equals_a_loop_over_heads(family, positions):
    adapter = tiny_adapter(family)
    items = [*random_items(3, length=9), *random_items(2, length=6, seed=1)]
    swept = sweep_heads(adapter, items, positions=positions, batch_tokens=200)
    for i, item in enumerate(items):
        before = adapter.forward([item.row]).logits.log_softmax(-1)[0, item.target[0]]
        for h in range(adapter.info.n_heads):
            scale = torch.ones(1, adapter.info.n_heads)
            scale[0, h] = 0.0
            cut = adapter.forward([item.row], edit=HeadEdit(scale, None, positions)).logits
            assert swept[i, h] == pytest.approx(float(before - cut.log_softmax(-1)[0, item.target[0]]), abs=2e-5)


def test_the_model_is_whole_again_after_a_sweep():
    adapter = tiny_adapter("llama")
    items = random_items(2)
    before = adapter.forward([i.row for i in items]).logits
    sweep_heads(adapter, items)
    assert torch.equal(adapter.forward([i.row for i in items]).logits, before)
    assert not any("SteppedOver" in type(m).__name__ for m in adapter.model.modules())


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_the_planted_head_has_the_largest_effect(name, tmp_path):
    planted = PLANTED[name](tmp_path)
    adapter = open_causal(str(planted.folder))
    effect = sweep_heads(adapter, matched_items(adapter, PlantedTestbed())).mean(0)
    assert adapter.info.head_index[int(np.argmax(effect))] in planted.aggregate
    others = [e for e, h in zip(effect, adapter.info.head_index, strict=True) if h not in planted.aggregate]
    assert np.abs(others).max() < 1e-3


def test_a_model_that_cannot_be_restarted_is_refused(monkeypatch):
    adapter = tiny_adapter("llama")
    from dataclasses import replace

    monkeypatch.setattr(adapter, "info", replace(adapter.info, capabilities=frozenset()))
    with pytest.raises(UnsupportedModelError, match="cannot be swept"):
        sweep_heads(adapter, random_items(1))
