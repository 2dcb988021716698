"""Pairs of prompts of equal length, drawn within cross-fit cells; and what cannot be measured, in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from helpers.planted import NOUNS, PlantedTestbed, vocabulary
from helpers.tiny_models import tiny, word_tokenizer
from helpers.tolerances import nats, tolerance

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.engine.contexts import FormContext, FormContexts, build_contexts, matched_prompts
from groundbench.engine.scoring import score
from groundbench.engine.subject import Subject
from groundbench.measures.causal.measure import measure
from groundbench.measures.causal.options import SCORES, CausalOptions
from groundbench.measures.causal.pairs import make_pairs
from groundbench.measures.causal.setting import Setting

ALL = CausalOptions(
    scores=SCORES,
    nouns="all",
    frames="all",
    draws=4,
    random_pairs="all",
    control_pairs="all",
    same_pairs=True,
    exact_pairs="all",
    knockout_pairs="all",
    windows=16,
)


@pytest.fixture(scope="module")
def adapter() -> HFCausal:
    return HFCausal(tiny("gpt2", vocab_size=len(vocabulary())), word_tokenizer(vocabulary()), name="tiny")


@pytest.fixture(scope="module")
def contexts(adapter: HFCausal) -> FormContexts:
    testbed = PlantedTestbed()
    return build_contexts(adapter, testbed, testbed.form("token"))


def test_pairs_show_two_nouns_in_one_frame_at_one_length(contexts: FormContexts) -> None:
    cells = make_pairs(contexts, ALL, seed=3)
    assert len(cells) == 4
    assert sum(len(c.pairs) for c in cells) == len(matched_prompts(contexts)[0])
    for cell in cells:
        for p in cell.pairs:
            assert contexts.env[p.clean] == p.noun != p.other == contexts.env[p.corrupt]
            assert contexts.frame[p.clean] == contexts.frame[p.corrupt] == p.frame
            assert len(contexts[p.clean].row) == len(contexts[p.corrupt].row)
            assert {p.noun, p.other} <= set(cell.cell.nouns.tolist())
        for p in cell.same_category:
            assert contexts.nouns[p.noun].category == contexts.nouns[p.other].category


def test_the_opposite_cell_shares_no_noun_and_no_frame(contexts: FormContexts) -> None:
    cells = make_pairs(contexts, ALL, seed=3)
    for i, cell in enumerate(cells):
        other = cells[-1 - i]
        assert not {n for p in cell.pairs for n in (p.noun, p.other)} & {
            n for p in other.pairs for n in (p.noun, p.other)
        }
        assert not {p.frame for p in cell.pairs} & {p.frame for p in other.pairs}


def test_pairs_depend_on_the_seed_alone(contexts: FormContexts) -> None:
    first, again, other = (make_pairs(contexts, ALL, seed=s) for s in (3, 3, 4))
    assert [c.pairs for c in first] == [c.pairs for c in again]
    assert [c.pairs for c in first] != [c.pairs for c in other]


def test_a_sample_of_nouns_and_frames(contexts: FormContexts) -> None:
    cells = make_pairs(contexts, replace(ALL, nouns=8, frames=1), seed=0)
    assert len(cells) == 2
    assert [len(c.pairs) for c in cells] == [4, 4]


def with_ids(contexts: FormContexts, ids: Callable[[FormContext], Iterable[int]]) -> FormContexts:
    """Return the contexts with other token ids in their prompts."""
    return replace(contexts, rows=tuple(replace(c.row, ids=tuple(ids(c))) for c in contexts))


def _lengthened(contexts: FormContexts, kept: set[int]) -> FormContexts:
    """The same contexts, each noun's prompt longer than the last one's by a token, except for some nouns."""
    return with_ids(contexts, lambda c: c.row.ids if c.env in kept else c.row.ids[:1] * (1 + 2 * c.env) + c.row.ids)


def test_items_without_a_partner_of_equal_length_are_left_out_and_counted(contexts: FormContexts) -> None:
    cells = make_pairs(_lengthened(contexts, set(range(1, 12))), ALL, seed=0)
    assert sum(c.left_out for c in cells) == len(contexts.frames)
    assert 0 not in {p.noun for c in cells for p in c.pairs}


def test_no_pair_at_all_is_said_with_the_nearest_lengths(contexts: FormContexts) -> None:
    with pytest.raises(BadInputError, match=r"form 'token': .*the nearest lengths are \d+ and \d+ tokens, in frame"):
        make_pairs(_lengthened(contexts, set()), ALL, seed=0)


def test_too_few_nouns_are_said(adapter: Adapter) -> None:
    testbed = PlantedTestbed()
    few = build_contexts(adapter, testbed, testbed.form("token"), nouns=list(NOUNS[:6]))
    with pytest.raises(BadInputError, match=re.escape("a half of the 6 nouns has 3")):
        make_pairs(few, ALL)


def test_a_model_without_heads_is_refused() -> None:
    adapter = HFCausal(
        tiny("groundbench_lstm", vocab_size=len(vocabulary())), word_tokenizer(vocabulary()), name="lstm"
    )
    testbed = PlantedTestbed()
    contexts = build_contexts(adapter, testbed, testbed.form("token"))
    with pytest.raises(UnsupportedModelError, match="lstm: no heads can be interchanged"):
        measure(Subject(adapter, contexts, score(adapter, contexts)), ALL)


def test_a_blind_model_recovers_nothing(contexts: FormContexts, adapter: HFCausal) -> None:
    """Every noun is shown as the same token: no gain, so every share is null and nothing is called carried."""
    first = contexts[0].row
    token = first.ids[first.env[0][0]]
    blind = with_ids(contexts, lambda c: [token if p in c.row.env_positions else t for p, t in enumerate(c.row.ids)])
    table = score(adapter, contexts)
    record = measure(Subject(adapter, blind, table), replace(ALL, scores=("contrast",), frames=1))
    headline = record.headline
    assert headline is not None
    assert record.pairs.gain.value == nats(0.0, table.surprisal, depth=64)
    assert headline.recovered.value is None
    assert headline.same_answer.value is None
    assert headline.p_rank is None
    assert max(abs(s.contrast or 0) for s in record.scores) < tolerance(table.surprisal, depth=64)


def test_random_weights_have_no_headline_beyond_random_sets(contexts: FormContexts, adapter: HFCausal) -> None:
    """Their gain cannot be told from 0, so that there is nothing to recover: shares and tests are null, never a hit."""
    table = score(adapter, contexts)
    options = replace(ALL, scores=("contrast",), frames=1, draws=19, random_orders=1, knockout=True)
    for seed in range(3):
        record = measure(Subject(adapter, contexts, table, seed=seed), options)
        gain, headline = record.pairs.gain, record.headline
        assert gain.ci_low is not None
        assert gain.ci_high is not None
        assert gain.ci_low <= 0 <= gain.ci_high
        assert headline is not None
        assert (headline.n_draws, headline.random_recovered, record.curves, record.knockout) == (0, (), (), ())
        assert record.note is not None
        assert "cannot be told from 0" in record.note
        for share in (headline.recovered, headline.lost, headline.same_answer):
            assert share.value is None
        assert (headline.p_rank, headline.p_draws) == (None, None)


def test_a_setting_has_the_pairs_of_all_cells_and_the_layer_of_each_head(
    contexts: FormContexts, adapter: HFCausal
) -> None:
    setting = Setting.of(Subject(adapter, contexts, score(adapter, contexts)), ALL)
    assert len(setting.noun) == sum(p.stop - p.start for p in setting.parts)
    assert np.array_equal(setting.layer, np.repeat([1, 2, 3], 4))
