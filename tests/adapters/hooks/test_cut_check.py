"""Heads that cannot be cut alone are read and not edited; heads of two mixers in one layer have names of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.lens_testbed import contexts_of
from helpers.tiny_models import EXPERTS, GQA, SPECIAL, random_items, tiny, tiny_adapter, word_tokenizer

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import HeadEdit, Mixer
from groundbench.api.errors import UnsupportedModelError
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.heads.heads import HeadRule, describe_heads
from groundbench.measures.heads.saliency import measure_saliency
from groundbench.measures.heads.single_heads import sweep_heads

BEFORE_A_NORM = {"bitnet": dict(**GQA, **SPECIAL), "diffllama": dict(**GQA, **SPECIAL)}
GATED = {
    "qwen3_next": dict(
        **GQA, **EXPERTS, head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
        linear_value_head_dim=8, shared_expert_intermediate_size=16,
        layer_types=["linear_attention", "full_attention", "full_attention"],
    ),
}  # fmt: skip


def opened(family: str, config: dict) -> HFCausal:
    return HFCausal(tiny(family, config=config), word_tokenizer(), name=family)


@pytest.mark.parametrize("family", BEFORE_A_NORM)
def test_heads_cut_before_a_norm_are_refused_and_their_saliency_is_kept(family):
    adapter = opened(family, BEFORE_A_NORM[family])
    assert "hooks" in adapter.info.capabilities
    assert not adapter.info.can_edit
    row = random_items(1)[0].row
    with pytest.raises(UnsupportedModelError, match=f"{family}: heads can be read, not edited"):
        adapter.forward([row], edit=HeadEdit(torch.zeros(1, adapter.info.n_heads)))
    with pytest.raises(UnsupportedModelError, match="single heads cannot be swept"):
        sweep_heads(adapter, random_items(1))
    assert measure_saliency(adapter, random_items(2)).row_sum.max() > 0


@pytest.mark.parametrize("family", ["llama", "gemma2", "deepseek_v3", "qwen3_next"])
def test_gates_and_wide_values_are_no_norm(family):
    adapter = opened(family, GATED[family]) if family in GATED else tiny_adapter(family)
    assert adapter.info.can_edit


@pytest.mark.parametrize("family", ["falcon_h1", "zamba2"])
def test_two_mixers_of_a_layer_share_no_name_and_no_effect(family):
    adapter = tiny_adapter(family)
    index = adapter.info.head_index
    assert len(set(index)) == adapter.info.n_heads
    saliency = measure_saliency(adapter, random_items(3))
    record = describe_heads(saliency, HeadRule(threshold=0.0))
    kinds = {(m.layer, h): m.kind for m in adapter.info.mixers for h in m.heads}
    assert {(c.layer, c.head): c.kind for c in record.by_head} == kinds
    assert len(set(kinds.values())) == 2


def test_the_effect_of_each_head_is_its_own():
    adapter = tiny_adapter("falcon_h1", lm_head_multiplier=0.5)
    assert {"hidden", "start_at_layer"} <= adapter.info.capabilities
    from helpers.lens_testbed import WordTestbed

    result = evaluate(adapter, WordTestbed(), measures=("gain", "heads"))
    from groundbench.measures.heads.saliency import matched_items

    items = matched_items(contexts_of(adapter))
    wanted = dict(zip(adapter.info.head_index, sweep_heads(adapter, items).mean(0), strict=True))
    found = {(c.layer, c.head): c.effect for c in result.heads[0].by_head}
    assert len(found) == len(wanted)
    assert max(abs(found[n] - wanted[n]) for n in found) < 1e-5 * max(map(abs, wanted.values()))
    assert np.ptp(list(wanted.values())) > 0


def test_two_mixers_with_the_same_names_are_no_model():
    info = tiny_adapter("llama").info
    from dataclasses import replace

    with pytest.raises(ValueError, match="name the same head"):
        replace(info, mixers=(Mixer(1, "attention", 4, 8), Mixer(1, "ssd", 4, 8)))
