"""Cutting the planted heads removes the gain, cutting others does not; controls, folds, edits (protocol §11, §14 C)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.planted import PLANTED, PlantedTestbed
from helpers.salient import Salient, cut
from helpers.tolerances import nats

from groundbench.adapters.huggingface import open_causal
from groundbench.api.errors import BadInputError
from groundbench.engine.contexts import build_contexts, matched_prompts
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import score
from groundbench.evaluation.defaults import resolve_heads
from groundbench.measures.ablation.control_heads import draw_control
from groundbench.measures.ablation.crossfit import (
    STRONGEST,
    control_lists,
    crossfit,
    crossfit_lists,
)
from groundbench.measures.ablation.folds import make_cells
from groundbench.measures.ablation.head_edits import (
    EditStyle,
    constant_edit,
    mean_edit,
    mean_outputs,
    resample_edit,
    resampled_outputs,
)
from groundbench.measures.ablation.instance import instance
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.heads.heads import HeadRule
from groundbench.measures.heads.measure import read_saliency
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.heads.saliency import SaliencyOptions, matched_items, measure_saliency

BED = PlantedTestbed()
RULE = HeadRule(ranking="magnitude")


@pytest.fixture(scope="module", params=sorted(PLANTED))
def case(request, tmp_path_factory):
    planted = PLANTED[request.param](tmp_path_factory.mktemp("planted") / request.param)
    adapter = open_causal(str(planted.folder))
    contexts = build_contexts(adapter, BED, BED.form("token"))
    saliency = measure_saliency(adapter, matched_items(contexts), SaliencyOptions(denominator="total"))
    return planted, Salient(adapter, contexts, score(adapter, contexts), saliency=saliency)


def mask_of(subject, heads):
    index = subject.adapter.info.head_index
    return np.array([h in heads for h in index])


def gain_under(subject, edit):
    return measure_gain(score(subject.adapter, subject.contexts, edit=edit)).mean


def test_crossfit_finds_the_planted_heads_in_every_cell_and_cutting_them_removes_the_gain(case):
    planted, subject = case
    _, lists = crossfit_lists(subject, subject.saliency, RULE)
    assert all((m == mask_of(subject, planted.aggregate)).all() for m in lists)
    records = crossfit(subject, subject.saliency, cut(rule=RULE, draws=20))
    assert [r.control for r in records] == ["layer", "uniform", "saliency"]
    for record in records:
        assert record.gain_original > 1
        assert abs(record.gain_ablated) < 1e-3
        assert record.gain_removed == pytest.approx(1, abs=1e-3)
        assert record.n_heads == 1
        assert record.n_no_head == 0
        assert record.ablated > record.original + 1


def test_cutting_heads_that_are_not_planted_changes_nothing(case):
    planted, subject = case
    others = mask_of(subject, planted.aggregate | planted.gather)
    free = constant_edit(~others, EditStyle())
    assert abs(gain_under(subject, free) - measure_gain(subject.table).mean) < 1e-3


def test_cutting_the_gather_head_stops_the_pair(case):
    planted, subject = case
    if not planted.gather:
        pytest.skip("this model has no gather head")
    assert abs(gain_under(subject, constant_edit(mask_of(subject, planted.gather), EditStyle()))) < 1e-3


def test_gather_heads_are_cut_by_crossfit_and_where_there_is_none_the_strongest(case):
    planted, subject = case
    rule = HeadRule("gather", "total")
    (record,) = crossfit(subject, subject.saliency, cut(rule=rule, draws=2, controls=("layer",)))
    assert (record.kind, record.denominator, record.n_heads) == ("gather", "total", 1)
    if planted.gather:
        assert STRONGEST not in (record.note or "")
        assert abs(record.gain_ablated) < 1e-3
    else:
        assert STRONGEST in record.note
    assert instance(subject, subject.saliency, cut(rule=rule, draws=1)).kind == "gather"


def test_the_instance_selection_removes_the_gain_and_says_that_it_is_biased(case):
    _, subject = case
    record = instance(subject, subject.saliency, cut(rule=RULE, draws=4))
    assert abs(record.gain_ablated) < 1e-3
    assert record.n_heads == 1
    assert record.n_no_head == 0
    assert "selection-biased" in record.note
    assert record.gain_control == pytest.approx(record.gain_original, abs=0.2 * record.gain_original)


def test_p_rank_is_at_its_floor(case):
    planted, subject = case
    if planted.gather:
        pytest.skip("a control that hits the gather head does as much harm")
    record = crossfit(subject, subject.saliency, cut(rule=RULE, draws=19, controls=("uniform",)))[0]
    assert record.p_rank == pytest.approx(1 / (1 + record.n_draws))
    assert record.p_cluster < 0.01
    assert record.p_draws < 0.01


def test_no_control_set_is_counted_twice(case):
    """One head is detected: of its layer, or of all others, there are only so many different ones."""
    planted, subject = case
    layer, uniform, strongest = crossfit(subject, subject.saliency, cut(rule=RULE, draws=99))
    heads = subject.adapter.info.head_index
    (one,) = planted.aggregate
    own = [h for h in heads if h[0] == one[0] and h != one]
    assert (layer.n_draws, uniform.n_draws, strongest.n_draws) == (len(own), len(heads) - 1, 1)
    few = f"p_draws rests on {len(own)} draws: none below 0.001 is given"
    assert layer.note == f"there are only {len(own)} different control sets; {few}"
    assert layer.p_draws >= 0.001
    assert strongest.note is None
    assert strongest.p_rank is None


def test_scale_one_is_the_model_and_mean_and_resample_cut_the_noun(case):
    planted, subject = case
    chosen = mask_of(subject, planted.aggregate)
    untouched = gain_under(subject, constant_edit(chosen, EditStyle(mode="scale", factor=1.0)))
    assert untouched == nats(measure_gain(subject.table).mean, subject.table.surprisal)
    items = np.arange(len(matched_prompts(subject.contexts)[0]))
    means = mean_outputs(subject.adapter, subject.contexts, items, 4096)
    for positions in ("all", "last"):
        edit = mean_edit(chosen, means, subject.contexts.rows, positions)
        assert abs(gain_under(subject, edit)) < 1e-3
    other = resampled_outputs(subject.adapter, subject.contexts, 0, 4096)
    assert gain_under(subject, resample_edit(chosen, other)) < 1e-3


def test_strengthening_the_planted_head_raises_the_gain(case):
    planted, subject = case
    more = constant_edit(mask_of(subject, planted.aggregate), EditStyle(mode="scale", factor=1.5))
    assert gain_under(subject, more) > measure_gain(subject.table).mean + 0.1


def test_modes_that_instance_cannot_do_are_refused_and_not_replaced(case):
    _, subject = case
    with pytest.raises(BadInputError, match="cannot mean heads"):
        instance(subject, subject.saliency, cut(rule=RULE, edit=EditStyle(mode="mean")))
    with pytest.raises(BadInputError, match="resample needs positions 'last'"):
        EditStyle(mode="resample")


def test_where_nothing_is_detected_nothing_is_cut(case):
    _, subject = case
    records = crossfit(subject, subject.saliency, cut(rule=HeadRule(threshold=1.01), draws=5))
    for record in records:
        assert record.n_heads == 0
        assert record.gain_ablated is None
        assert record.gain_removed is None
        assert record.p_rank is None
        assert record.n_no_head == len(subject.saliency)
        assert "no head" in record.note


def test_cells_cover_every_item_once_and_fit_on_other_nouns_and_frames(case):
    _, subject = case
    nouns = np.array([n.word for n in subject.contexts.nouns])
    frames = np.array([f.id for f in subject.contexts.frames])
    item_noun = np.array([int(np.flatnonzero(nouns == n)[0]) for n in subject.saliency.nouns])
    item_frame = np.array([int(np.flatnonzero(frames == f)[0]) for f in subject.saliency.frames])
    covered = np.zeros(len(item_noun), int)
    for cell in make_cells(subject.contexts, item_noun, item_frame, seed=3):
        covered += np.isin(item_noun, cell.nouns) & np.isin(item_frame, cell.frames)
        assert cell.fit.any()
        assert not np.isin(item_noun[cell.fit], cell.nouns).any()
        assert not np.isin(item_frame[cell.fit], cell.frames).any()
    assert (covered == 1).all()


def test_a_store_gives_the_same_ablation_without_scoring_again(case, tmp_path, monkeypatch):
    _, subject = case
    options = cut(rule=RULE, draws=3)
    first = crossfit(replace(subject, store=RunStore(tmp_path, {"k": 1})), subject.saliency, options)
    monkeypatch.setattr(subject.adapter, "forward", None)  # any pass would fail
    monkeypatch.setattr(subject.adapter, "prefill", None)
    assert crossfit(replace(subject, store=RunStore(tmp_path, {"k": 1})), subject.saliency, options) == first


def test_saliency_is_kept_in_the_run_directory(case, tmp_path, monkeypatch):
    _, subject = case
    store = RunStore(tmp_path, {"k": 1})
    subject, options = replace(subject, store=store), resolve_heads(HeadOptions(), subject.adapter.info)
    first = read_saliency(subject, options)
    monkeypatch.setattr(subject.adapter, "forward", None)
    again = read_saliency(subject, options)
    assert (again.edge == first.edge).all()


LAYER = np.repeat(np.arange(1, 5), 4)


def test_layer_matched_controls_have_as_many_heads_in_each_layer_and_none_of_the_chosen():
    chosen = np.zeros(16, bool)
    chosen[[1, 5, 6]] = True
    for seed in range(50):
        picked, borrowed = draw_control("layer", chosen, LAYER, np.zeros(16), np.random.default_rng(seed))
        assert borrowed == 0
        assert not (picked & chosen).any()
        assert (np.bincount(LAYER[picked], minlength=5) == np.bincount(LAYER[chosen], minlength=5)).all()


def test_a_layer_that_is_full_borrows_from_its_neighbours_and_says_how_often():
    chosen = LAYER == 2
    chosen[0] = True
    picked, borrowed = draw_control("layer", chosen, LAYER, np.zeros(16), np.random.default_rng(0))
    assert borrowed == 4
    assert picked.sum() == 5
    assert set(LAYER[picked]) <= {1, 3}


def test_the_saliency_matched_control_is_the_strongest_of_the_others():
    chosen = np.zeros(16, bool)
    chosen[15] = True
    picked, _ = draw_control("saliency", chosen, LAYER, np.arange(16.0), np.random.default_rng(0))
    assert np.flatnonzero(picked).tolist() == [14]


def test_cells_with_the_same_heads_share_their_control(case):
    _, subject = case
    cells, lists = crossfit_lists(subject, subject.saliency, RULE)
    sets, _ = control_lists("uniform", lists, cells, subject.saliency, seed=5)
    assert all((s == sets[0]).all() for s in sets)
