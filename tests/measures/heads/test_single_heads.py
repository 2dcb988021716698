"""A sweep of single heads equals a loop that zeroes one head at a time, layer by layer, family by family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.lens_testbed import WordTestbed
from helpers.planted import HEAD_WIDTH, PLANTED, PlantedTestbed
from helpers.planted import matched_items as planted_items
from helpers.planted_circuits import CIRCUITS
from helpers.tiny_models import random_items, tiny_adapter
from helpers.tolerances import nats

from groundbench.adapters.huggingface import open_causal
from groundbench.api.adapter import HeadEdit
from groundbench.api.errors import UnsupportedModelError
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score
from groundbench.engine.subject import Subject
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.heads.measure import single_head_effects
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.heads.saliency import matched_items, mismatched_items
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
            assert swept[i, h] == nats(float(before - cut.log_softmax(-1)[0, item.target[0]]), -before)


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
    effect = sweep_heads(adapter, planted_items(adapter, PlantedTestbed())).mean(0)
    assert adapter.info.head_index[int(np.argmax(effect))] in planted.aggregate
    others = [e for e, h in zip(effect, adapter.info.head_index, strict=True) if h not in planted.aggregate]
    assert np.abs(others).max() < 1e-3


def test_a_model_that_cannot_be_restarted_is_refused(monkeypatch):
    adapter = tiny_adapter("llama")
    monkeypatch.setattr(adapter, "info", replace(adapter.info, capabilities=frozenset()))
    with pytest.raises(UnsupportedModelError, match="cannot be swept"):
        sweep_heads(adapter, random_items(1))


def test_a_head_that_helps_whatever_is_shown_takes_no_gain(tmp_path):
    circuit = CIRCUITS["traffic"](tmp_path)
    adapter = open_causal(str(circuit.folder))
    (traffic,) = circuit.traffic
    with torch.no_grad():  # the head that carries the noun, (2, 1), writes nothing: what is left grounds nothing
        adapter.model.transformer.h[1].attn.c_proj.weight[HEAD_WIDTH : 2 * HEAD_WIDTH] = 0.0
    result = evaluate(adapter, PlantedTestbed(), measures=("gain", "heads"))
    (found,) = (h for h in result.heads[0].by_head if (h.layer, h.head) == traffic)
    assert found.rate == 1.0
    assert found.effect > 0.01
    assert found.gain_effect == nats(0.0, result.gain.mismatched)


def test_the_gain_that_a_head_takes_is_that_of_whole_tables(tmp_path):
    """Of two nouns each item has one mismatch, so the column is the gain with each head less the gain without it."""
    circuit = CIRCUITS["redundant"](tmp_path)
    adapter, testbed = open_causal(str(circuit.folder)), PlantedTestbed()
    nouns = [n.word for n in testbed.nouns[:2]]
    contexts = build_contexts(adapter, testbed, testbed.forms[0], nouns=nouns)
    subject = Subject(adapter, contexts, score(adapter, contexts))
    found = single_head_effects(subject, HeadOptions(swept_items=len(contexts)))
    assert found is not None
    whole = measure_gain(subject.table)
    for column, head in enumerate(adapter.info.head_index):
        scale = torch.ones(1, adapter.info.n_heads)
        scale[0, column] = 0.0
        table = score(adapter, contexts, edit=HeadEdit(scale, positions="last"))
        cut = measure_gain(table)
        assert found[head]["gain_effect"] == nats(whole.mean - cut.mean, table.surprisal)
        assert found[head]["effect"] == nats(cut.matched - whole.matched, table.surprisal)


def test_the_mismatch_of_an_item_is_one_that_the_table_holds():
    adapter = tiny_adapter("llama")
    testbed = WordTestbed(per_noun=True)
    contexts = build_contexts(adapter, testbed, testbed.form("word"), mismatches=1)
    every = matched_items(contexts)
    others = mismatched_items(contexts, range(len(every)), seed=3)
    assert None not in others
    for own, other in zip(every, others, strict=True):
        assert (own.frame, own.noun, own.target) == (other.frame, other.noun, other.target)
        assert own.row != other.row
        assert other.row in contexts.rows
    assert mismatched_items(contexts, [2, 0], seed=3) == [others[2], others[0]]
    alone = replace(contexts, keep=np.zeros_like(contexts.keep))
    assert mismatched_items(alone, [0, 1], seed=3) == [None, None]
