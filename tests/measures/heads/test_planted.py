"""Detection finds exactly the planted heads, and they are what carries the gain (protocol §14 C)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.planted import HEAD_WIDTH, PLANTED, PlantedTestbed, matched_items

from groundbench.adapters.huggingface import open_causal
from groundbench.api.adapter import HeadEdit
from groundbench.measures.heads.heads import HeadRule, describe_heads, detect_heads, headline_rule
from groundbench.measures.heads.saliency import SaliencyOptions, measure_saliency

MATTERS = HeadRule(ranking="magnitude")
RULES = {
    "row": MATTERS,
    "total": HeadRule(denominator="total", ranking="magnitude"),
    "row, no diagonal": HeadRule(diagonal=False, ranking="magnitude"),
}


@pytest.fixture(scope="module", params=sorted(PLANTED))
def case(request, tmp_path_factory):
    planted = PLANTED[request.param](tmp_path_factory.mktemp("planted") / request.param)
    adapter = open_causal(str(planted.folder))
    items = matched_items(adapter, PlantedTestbed())
    saliency = measure_saliency(adapter, items, SaliencyOptions(denominator="total"))
    return planted, adapter, saliency


def found_in(saliency, rule):
    """Heads by (layer, head) found in every item; fails where items disagree."""
    hits = detect_heads(saliency, rule)
    assert set(np.unique(hits.mean(0))) <= {0.0, 1.0}
    return {
        (int(a), int(b)) for a, b, h in zip(saliency.head_layer, saliency.head_number, hits.all(0), strict=True) if h
    }


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_exactly_the_planted_heads_aggregate(case, rule):
    planted, _, saliency = case
    assert found_in(saliency, rule) == planted.aggregate


def test_exactly_the_planted_heads_gather(case):
    planted, _, saliency = case
    assert found_in(saliency, HeadRule("gather", "total")) == planted.gather


def test_a_bare_share_finds_a_distractor_that_the_floor_parts(case):
    planted, _, saliency = case
    assert found_in(saliency, HeadRule(floor=0.0)) == planted.aggregate | planted.distractors
    assert found_in(saliency, HeadRule()) == planted.aggregate


def test_the_record_says_what_was_found(case):
    planted, _, saliency = case
    record = describe_heads(saliency, MATTERS, untrained=saliency)
    assert record.mean_count == record.untrained_count == len(planted.aggregate)
    assert (record.ci_low, record.ci_high) == (len(planted.aggregate),) * 2
    (layer,) = {layer for layer, _ in planted.aggregate}
    assert record.mean_layer == record.mean_layer_ci_low == record.mean_layer_ci_high == layer
    assert record.null_count < 0.2
    assert record.n_items == len(saliency)
    assert {(h.layer, h.head) for h in record.by_head if h.rate == 1.0} == planted.aggregate
    assert [s.threshold for s in record.stability] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert {s.mean_count for s in record.stability} == {float(len(planted.aggregate))}
    assert headline_rule(saliency).ranking == ("magnitude" if saliency.span.min() > 1 else "share")


def scores(adapter, heads=None, positions="all"):
    """S[frame, shown, target] in nats, with some heads zeroed."""
    testbed = PlantedTestbed()
    form = testbed.forms[0]
    names = adapter.info.head_index
    edit = None
    if heads is not None:
        edit = HeadEdit(torch.tensor([[0.0 if h in heads else 1.0 for h in names]]), positions=positions)
    targets = [adapter.tokenizer.convert_tokens_to_ids(testbed.target(n)) for n in testbed.nouns]
    table = []
    for frame in testbed.frames(form):
        rows = adapter.encode([testbed.prompt(frame, n, form) for n in testbed.nouns])
        table.append(-adapter.forward(rows, edit=edit).logits.log_softmax(-1)[:, targets])
    return torch.stack(table).double().numpy()


def gain(s):
    v = s.shape[-1]
    matched = np.einsum("nvv->nv", s)
    return ((s.sum(1) - matched) / (v - 1) - matched).mean()


def test_ablating_the_planted_heads_removes_the_gain_and_ablating_others_does_not(case):
    planted, adapter, _ = case
    others = set(adapter.info.head_index) - planted.aggregate - planted.gather
    whole = gain(scores(adapter))
    assert whole > 3
    assert abs(gain(scores(adapter, planted.aggregate))) < 1e-3
    assert np.abs(scores(adapter, others) - scores(adapter)).max() < 1e-3
    if planted.gather:  # without the mark nothing is read
        assert abs(gain(scores(adapter, planted.gather))) < 1e-3


def test_the_prediction_position_is_where_aggregate_heads_act(case):
    planted, adapter, _ = case
    assert abs(gain(scores(adapter, planted.aggregate, "last"))) < 1e-3
    if planted.gather:
        assert abs(gain(scores(adapter, planted.gather, "last")) - gain(scores(adapter))) < 1e-3


def test_saved_saliency_comes_back(case, tmp_path: Path):
    _, _, saliency = case
    saliency.save(tmp_path / "s.npz")
    again = type(saliency).load(tmp_path / "s.npz")
    assert again.mixers == saliency.mixers
    assert again.nouns == saliency.nouns
    np.testing.assert_array_equal(again.edge, saliency.edge)
    np.testing.assert_array_equal(again.null_gathered, saliency.null_gathered)


@pytest.mark.parametrize(("name", "elsewhere"), [("single_head", set()), ("with_distractor", {(1, 3)})])
def test_a_removed_head_is_found_elsewhere_or_nowhere(name, elsewhere, tmp_path: Path):
    adapter = open_causal(str(PLANTED[name](tmp_path / name).folder))
    with torch.no_grad():
        adapter.model.transformer.h[1].attn.c_proj.weight[HEAD_WIDTH : 2 * HEAD_WIDTH] = 0.0  # head (2, 1)
    saliency = measure_saliency(adapter, matched_items(adapter, PlantedTestbed()), SaliencyOptions("total"))
    assert found_in(saliency, MATTERS) == elsewhere  # what is left of the model is all there is to compare with
    assert abs(gain(scores(adapter))) < 1e-3


def test_gather_heads_of_noise_are_shown_by_even_attention_and_parted_by_the_floor(tmp_path: Path):
    planted = PLANTED["gather_then_aggregate"](tmp_path)
    adapter = open_causal(str(planted.folder))
    torch.manual_seed(0)
    with torch.no_grad():
        for block in adapter.model.transformer.h:
            for weight in (block.attn.c_attn.weight, block.attn.c_proj.weight):
                weight += 0.01 * torch.randn_like(weight)
    saliency = measure_saliency(adapter, matched_items(adapter, PlantedTestbed()), SaliencyOptions("total"))
    bare, floored = (describe_heads(saliency, HeadRule("gather", "total", floor=f)) for f in (0.0, None))
    noise = bare.mean_count - len(planted.gather)
    assert noise > 1
    assert bare.null_count < 0.2  # nothing reads the other span: its null does not show them
    assert bare.even_count > noise / 2
    assert {(h.layer, h.head) for h in floored.by_head if h.rate > 0.5} == planted.gather
    assert floored.even_count <= floored.mean_count < bare.even_count + len(planted.gather)
    assert describe_heads(saliency, MATTERS).even_count is None
