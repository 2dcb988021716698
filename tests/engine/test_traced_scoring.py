"""The numeric path on which heads are read, and how far it is from the scoring path (protocol §8)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.planted import PLANTED, PlantedTestbed
from helpers.tiny_models import random_items, tiny, word_tokenizer
from helpers.tolerances import assert_same, nats

from groundbench import evaluate
from groundbench.adapters.huggingface import HFCausal, open_causal
from groundbench.engine.contexts import build_contexts, of_frames
from groundbench.engine.scoring import score
from groundbench.engine.traced_scoring import Traced, probe_table
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.gain.pairing import pair_rows

BED = PlantedTestbed()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return PLANTED["single_head"](tmp_path_factory.mktemp("probe") / "model").folder


def test_the_probe_is_a_traced_pass_and_agrees_in_fp32(folder):
    adapter = open_causal(str(folder))
    contexts = build_contexts(adapter, BED, BED.form("token"))
    probed = probe_table(adapter, contexts)
    scored = score(adapter, of_frames(contexts, np.array([0])))
    assert_same(probed.surprisal, scored.surprisal, depth=64)
    gap = measure_gain(score(adapter, contexts), probe=probed).probe_gap
    assert gap == nats(0.0, scored.surprisal, depth=64)


def test_a_sample_of_nouns_is_a_part_of_the_whole(folder):
    adapter = open_causal(str(folder), dtype="bfloat16")
    contexts = build_contexts(adapter, BED, BED.form("token"))
    whole, some = probe_table(adapter, contexts), probe_table(adapter, contexts, nouns=3, seed=1)
    assert set(some.env) == set(some.target)
    assert len(set(some.env)) == 3
    assert set(some.env) != set(probe_table(adapter, contexts, nouns=3, seed=5).env)
    part, again = pair_rows(whole, some)
    assert len(part.surprisal) == len(some.surprisal) == 9
    assert_same(part.surprisal, again.surprisal, depth=64)
    gap = measure_gain(score(adapter, contexts), probe=some).probe_gap
    own = measure_gain(pair_rows(score(adapter, contexts), some)[0], n_resamples=10).mean
    assert gap == pytest.approx(measure_gain(some, n_resamples=10).mean - own, abs=1e-9)


def test_in_bf16_the_two_paths_differ():
    model = tiny("llama").to(torch.bfloat16)
    adapter = HFCausal(model, word_tokenizer(), name="tiny")
    rows = [item.row for item in random_items(3)]
    scored = adapter.forward(rows).logits
    probed = Traced(adapter).forward(rows).logits
    assert not probed.requires_grad
    assert 0 < (probed - scored).abs().max() < 0.1 * scored.abs().max()


def test_the_gap_is_of_the_probed_frame_in_a_result(folder):
    adapter = open_causal(str(folder), dtype="bfloat16")
    contexts = build_contexts(adapter, BED, BED.form("token"))
    probed, scored = probe_table(adapter, contexts), score(adapter, of_frames(contexts, np.array([0])))
    gap = measure_gain(probed, n_resamples=10).mean - measure_gain(scored, n_resamples=10).mean
    assert evaluate(adapter, BED, measures=["heads"]).gain.probe_gap == pytest.approx(gap, abs=1e-9)


def test_traced_attention_is_in_fp32_whatever_the_weights_are(folder):
    adapter = open_causal(str(folder), dtype="bfloat16")
    contexts = build_contexts(adapter, BED, BED.form("token"))
    trace = adapter.forward(contexts.rows[:2], trace=True).traces[-1]
    exact = trace.weights(slice(0, None)) @ trace.values.float()
    assert torch.equal(trace.output.float(), exact.to(torch.bfloat16).float()) or (
        (trace.output.float() - exact).abs().max() <= exact.abs().max() * 2**-8
    )


def test_the_traced_path_keeps_no_prefix(folder):
    traced = Traced(open_causal(str(folder)))
    assert "prefix" not in traced.info.capabilities
    with pytest.raises(ValueError, match="whole prompts"):
        traced.prefill([])
