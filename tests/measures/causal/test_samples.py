"""Samples of pairs and of items: what is measured on all of them stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.planted import PlantedTestbed
from helpers.planted_circuits import CIRCUITS

from groundbench.adapters.huggingface import open_causal
from groundbench.engine.contexts import build_contexts, matched_prompts
from groundbench.engine.scoring import score
from groundbench.engine.subject import Subject
from groundbench.evaluation.defaults import resolve_causal, resolve_heads
from groundbench.measures.causal import head_sets
from groundbench.measures.causal.curve import by_noun, ratio
from groundbench.measures.causal.head_ranking import score_heads
from groundbench.measures.causal.head_sets import NONE, Surprisals, _interchange_record, _Job
from groundbench.measures.causal.measure import measure
from groundbench.measures.causal.options import CausalOptions
from groundbench.measures.causal.setting import Setting
from groundbench.measures.heads.heads import headline_rule, shares
from groundbench.measures.heads.measure import read_saliency
from groundbench.measures.heads.options import HeadOptions
from groundbench.results.causal import Interval

BRIEF = CausalOptions(scores=("contrast",), frames=1, draws=3, random_orders=2, knockout=False)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    adapter = open_causal(str(CIRCUITS["copy"](tmp_path_factory.mktemp("copy")).folder))
    assert adapter is not None
    testbed = PlantedTestbed()
    contexts = build_contexts(adapter, testbed, testbed.form("token"))
    return Subject(adapter, contexts, score(adapter, contexts))


def test_a_sample_for_random_sets_changes_no_ranked_set(subject: Subject) -> None:
    info = subject.adapter.info
    whole, brief = (
        measure(subject, resolve_causal(replace(BRIEF, random_pairs=most, same_pairs=True), info))
        for most in ("all", 8)
    )
    assert whole.pairs == brief.pairs
    for a, b in zip(whole.interchange, brief.interchange, strict=True):
        for name in ("recovered", "lost", "transfer", "same_answer", "same_category"):
            assert getattr(a, name).value == pytest.approx(getattr(b, name).value, abs=1e-5)
    for c, d in zip(whole.curves, brief.curves, strict=True):
        if c.ranking != "random":
            assert [p.f for p in c.points] == pytest.approx([p.f for p in d.points], abs=1e-5)
    head = brief.headline
    assert head is not None
    assert head.n_random_pairs == 8
    assert len(head.random_recovered) == 3
    assert all(p.f is not None for c in brief.curves for p in c.points)
    assert whole.headline is not None
    assert whole.headline.n_random_pairs == whole.pairs.n


def test_random_sets_on_few_pairs_are_shares_of_the_gain_of_all(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample's own gain may be too small to divide by: here it cannot be told from 0, that of all pairs can."""
    setting = Setting.of(subject, resolve_causal(replace(BRIEF, random_pairs=4), subject.adapter.info))
    sample = setting.sample(4, 85)
    n = len(setting.noun)
    gain = np.where(np.isin(np.arange(n), sample[:2]), -1.0, 1.0)
    table = Surprisals(np.zeros((n, 4, 2)), np.zeros((n, 4, 2)))
    table.into_corrupt[:, NONE, 0] = gain  # clean prompts have the surprisal 0
    table.into_corrupt[:, 2, 0] = gain / 2  # two random sets: a half of the gain, and nothing of it
    table.into_corrupt[:, 3, 0] = gain
    none = np.zeros(subject.adapter.info.n_heads, dtype=bool)
    job = _Job("contrast", 1, True, [none] * len(setting.cells), 1, 1, True, ((2, 2), (3, 3)))
    for name in ("_same_answer", "_same_category"):
        monkeypatch.setattr(head_sets, name, lambda *_: Interval())
    monkeypatch.setattr(head_sets, "_same_answer", lambda *_: (Interval(), 0))
    record = _interchange_record(setting, job, table, sample)
    whole = by_noun(setting.noun, gain).mean()
    half = by_noun(setting.noun[sample], gain[sample] / 2).mean() / whole
    assert ratio(setting.noun[sample], gain[sample], gain[sample], 0).value is None
    assert record.random_recovered == pytest.approx((half, 0.0))


def test_a_sample_for_controls_changes_nothing_else_and_says_its_size(subject: Subject) -> None:
    info = subject.adapter.info
    whole, brief = (
        measure(subject, resolve_causal(replace(BRIEF, frames="all", random_pairs="all", control_pairs=most), info))
        for most in ("all", 8)
    )
    assert whole.headline is not None
    assert brief.headline is not None
    # two of each of four cells; in two cells no other frame has a prompt of the same length
    assert (brief.pairs.n_same_category, brief.headline.n_same_answer) == (8, 4)
    assert (whole.pairs.n_same_category, whole.headline.n_same_answer) == (48, 24)
    assert brief.headline.same_answer.value is not None
    unchanged = {"same_answer", "same_category", "n_same_answer"}
    assert brief.headline.model_dump(exclude=unchanged) == whole.headline.model_dump(exclude=unchanged)
    assert brief.curves == whole.curves


def test_only_the_headline_is_measured_on_its_own_pairs_where_not_asked(subject: Subject) -> None:
    record = measure(subject, resolve_causal(replace(BRIEF, same_pairs=False), subject.adapter.info))
    assert sum(not i.crossfit for i in record.interchange) == 1
    assert all(c.crossfit for c in record.curves)


def test_shares_of_sampled_items_are_ranked_in_the_half_they_belong_to(subject: Subject) -> None:
    info = subject.adapter.info
    saliency = read_saliency(subject, resolve_heads(HeadOptions(items=30), info))
    assert len(saliency) == 30
    options = resolve_causal(replace(BRIEF, scores=("share", "contrast")), info)
    setting = Setting.of(subject, options)
    scores = score_heads(setting, saliency)
    share = shares(saliency, headline_rule(saliency)).share
    contexts = subject.contexts
    index, noun = matched_prompts(contexts)
    for number, cell in enumerate(setting.cells):
        fit = {
            (contexts.nouns[v].word, contexts.frames[f].id)
            for v, f in zip(noun[cell.cell.fit], contexts.frame[index][cell.cell.fit], strict=True)
        }
        own = [name in fit for name in zip(saliency.nouns, saliency.frames, strict=True)]
        assert 0 < sum(own) < 30
        np.testing.assert_allclose(scores.mean("share", setting, number), np.nanmean(share[own], 0))
