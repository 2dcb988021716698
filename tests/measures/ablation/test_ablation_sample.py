"""Cross-fitted ablation on a seeded sample of nouns: the same heads, fewer nouns to test them on, and it is said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.planted import PlantedTestbed, single_head
from helpers.salient import Salient, cut
from helpers.tolerances import assert_same

from groundbench.adapters.huggingface import open_causal
from groundbench.api.errors import BadInputError
from groundbench.engine.contexts import build_contexts, of_frames
from groundbench.engine.scoring import score
from groundbench.evaluation.defaults import resolve_ablation
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.ablation.crossfit import crossfit, crossfit_lists, within_cells
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.gain.measure import gain_items, noun_means
from groundbench.measures.heads.heads import HeadRule
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.heads.saliency import SaliencyOptions, matched_items, measure_saliency

BED = PlantedTestbed()
RULE = HeadRule(ranking="magnitude")
CUT = AblationOptions(selections=("crossfit",), controls=("layer",), draws=2)
QUICK = {"heads": HeadOptions(denominator="row"), "ablation": CUT}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    return open_causal(str(single_head(tmp_path_factory.mktemp("planted") / "model").folder))


@pytest.fixture(scope="module")
def subject(adapter):
    contexts = build_contexts(adapter, BED, BED.form("token"))
    saliency = measure_saliency(adapter, matched_items(contexts), SaliencyOptions(denominator="row"))
    return Salient(adapter, contexts, score(adapter, contexts), saliency=saliency)


def test_the_heads_are_those_of_all_items_and_only_the_sample_is_tested(subject):
    whole, lists = crossfit_lists(replace(subject, seed=3), subject.saliency, RULE)
    cells, again = crossfit_lists(replace(subject, seed=3), subject.saliency, RULE, 6)
    assert len(cells) == 2
    for cell, full, a, b in zip(cells, (whole[0], whole[3]), (lists[0], lists[3]), again, strict=True):
        assert (a == b).all()
        assert len(cell.nouns) == 3
        assert set(cell.nouns) <= set(full.nouns)
        assert (cell.fit == full.fit).all()
        assert (cell.frames == full.frames).all()
    assert not set(cells[0].frames) & set(cells[1].frames)


def test_the_record_is_that_of_the_sample_and_names_it(subject):
    options = cut(rule=RULE, draws=3, controls=("layer",), nouns=6)
    (record,) = crossfit(replace(subject, seed=3), subject.saliency, options)
    cells, _ = crossfit_lists(replace(subject, seed=3), subject.saliency, RULE, 6)
    words = [n.word for n in subject.contexts.nouns]
    assert set(record.nouns) == {words[i] for c in cells for i in c.nouns}
    assert len(record.nouns) == 6
    sampled, few = (record.note or "").split("; ")
    assert sampled == "tested on 6 of 12 nouns and 12 of 48 items, drawn by seed 3"
    assert few == "p_draws rests on 3 draws: none below 0.001 is given"
    untouched = gain_items(within_cells(subject.table, cells)).gain
    assert (~np.isnan(untouched)).sum() == 12
    assert record.gain_original == pytest.approx(np.nanmean(noun_means(untouched)))
    assert abs(record.gain_ablated) < 1e-3
    assert record.gain_removed == pytest.approx(1, abs=1e-3)
    assert record.p_cluster is not None


def test_another_seed_draws_other_nouns_and_more_nouns_than_there_are_draw_all(subject):
    def tested(seed=0, **more):
        options = cut(rule=RULE, draws=1, controls=("layer",), **more)
        (record,) = crossfit(replace(subject, seed=seed), subject.saliency, options)
        return record.nouns, record.note

    assert tested(nouns=6, seed=0) != tested(nouns=6, seed=1)
    assert tested(nouns=6, seed=0) == tested(nouns=6, seed=0)
    assert tested(nouns=40) == tested(nouns=12)
    assert tested(nouns=12)[1] == "tested on 12 of 12 nouns and 24 of 48 items, drawn by seed 0"
    assert tested() == ((), None)


def test_the_sample_is_said_where_nothing_was_cut(subject):
    options = cut(rule=replace(RULE, threshold=1.01), controls=("layer",), nouns=6)
    assert crossfit(subject, subject.saliency, options)[0].note == (
        "tested on 6 of 12 nouns and 12 of 48 items, drawn by seed 0; "
        "no head was detected in half of the items: nothing to cut"
    )


def test_a_cell_is_scored_on_its_own_targets_only_and_gives_the_tables_numbers(subject):
    frames, nouns = np.array([1, 3]), np.array([0, 4, 7])
    few = of_frames(subject.contexts, frames, nouns)
    assert {noun for c in few for noun in c.targets.nouns} == {0, 4, 7}
    table = score(subject.adapter, few)
    assert len(table.surprisal) == 2 * 3 * 3
    expected = subject.table.dense()[np.ix_(frames, nouns, nouns)]
    assert_same(table.dense()[np.ix_(frames, nouns, nouns)], expected)


@pytest.mark.parametrize(("parameters", "expected"), [(1_000_000, None), (135_000_000, 40)])
def test_large_models_are_sampled_by_default(parameters, expected):
    model = SimpleNamespace(info=SimpleNamespace(parameters=parameters))
    assert resolve_ablation(AblationOptions(), model.info).n_nouns == expected
    assert resolve_ablation(AblationOptions(nouns="all"), model.info).n_nouns is None
    assert resolve_ablation(AblationOptions(nouns=8), model.info).n_nouns == 8


def test_too_small_a_sample_is_refused():
    with pytest.raises(BadInputError, match="ablation_nouns is 3; expected at least 4 or all"):
        AblationOptions(nouns=3)


def test_the_protocol_says_it(adapter):
    result = evaluate(adapter, BED, measures=["ablation"], **{**QUICK, "ablation": replace(CUT, nouns=6)})
    assert result.protocol["ablation_nouns"] == 6
    assert len(result.ablations[0].nouns) == 6
    assert evaluate(adapter, BED, measures=["ablation"], **QUICK).protocol["ablation_nouns"] == "all"
