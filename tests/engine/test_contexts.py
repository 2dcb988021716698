"""Contexts as objects: equal ones run once, whatever objects they are made of; parts of them keep their numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.small_models import Home, tiny_llama

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded
from groundbench.api.errors import UnencodableError
from groundbench.api.testbed import Prompt, TextSegment
from groundbench.engine.contexts import (
    EmptyFormError,
    FormContexts,
    TargetSet,
    build_contexts,
    matched_prompts,
    of_frames,
    of_pairs,
    of_prompts,
)
from groundbench.engine.scoring import dry_plan, score, surprisals

BED = Home()


@pytest.fixture(scope="module")
def adapter() -> HFCausal:
    return tiny_llama()


@pytest.fixture(scope="module")
def contexts(adapter: HFCausal) -> FormContexts:
    return build_contexts(adapter, BED, BED.form("word"))


def copied(targets: TargetSet) -> TargetSet:
    return TargetSet(tuple((*t,) for t in targets.tokens), (*targets.nouns,))


def test_sets_of_the_same_tokens_are_equal_whatever_their_nouns() -> None:
    a, b = TargetSet(((1, 2), (3,)), (4, 7)), TargetSet(((1, 2), (3,)), (0, 1))
    assert a == b
    assert hash(a) == hash(b)
    assert a != TargetSet(((3,), (1, 2)), (4, 7))
    assert a.of_noun(7) == (3,)
    assert (a.longest, len(a), TargetSet(()).longest) == (2, 2, 0)
    assert a.only({7}).tokens == ((3,),)
    assert a.only({7}).nouns == (7,)
    with pytest.raises(ValueError, match="not in tuple"):
        a.of_noun(0)


def test_equal_contexts_run_once_and_nothing_rests_on_which_objects_they_are(
    adapter: HFCausal, contexts: FormContexts
) -> None:
    others = replace(contexts, target_sets=tuple(map(copied, contexts.target_sets)))
    n = len(contexts)
    twice = contexts.pick(np.tile(np.arange(n), 2))
    sets = len(contexts.target_sets)
    of_copies = np.repeat([0, sets], n)
    twice = replace(
        twice,
        rows=tuple(replace(row) for row in twice.rows),
        target_sets=(*contexts.target_sets, *others.target_sets),
        target_set=twice.target_set + of_copies,
    )
    assert (twice.unique == np.tile(contexts.unique, 2)).all()
    assert dry_plan(adapter, others) == dry_plan(adapter, contexts)
    assert (score(adapter, others).surprisal == score(adapter, contexts).surprisal).all()


def test_contexts_with_other_targets_are_not_merged() -> None:
    prompt = Prompt("f", "", "text", (TextSegment("a"),))
    rows, targets = [Encoded((1,))] * 4, [((2,),), ((3,),), ((2,),), ((2,), (3,))]
    made = of_prompts([prompt] * 4, rows, targets)
    assert made.unique.tolist() == [0, 1, 0, 3]
    assert made.distinct.tolist() == [0, 1, 3]
    assert replace(made, merged=False).distinct.tolist() == [0, 1, 2, 3]


def test_columns_of_other_lengths_are_refused(contexts: FormContexts) -> None:
    prompt = Prompt("f", "", "text", (TextSegment("a"),))
    with pytest.raises(ValueError, match="there are 1 rows, but prompts has 2"):
        of_prompts([prompt] * 2, [Encoded((1,))], [((2,),)])
    with pytest.raises(ValueError, match="but env has 1"):
        replace(contexts, env=contexts.env[:1])


def test_blocks_change_nothing(adapter: HFCausal, contexts: FormContexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundbench.engine.contexts.BLOCK", 3)
    monkeypatch.setattr("groundbench.engine.scoring.BLOCK", 3)
    parts = build_contexts(adapter, BED, BED.form("word"))
    assert list(parts) == list(contexts)
    assert [t.nouns for t in parts.target_sets] == [t.nouns for t in contexts.target_sets]
    np.testing.assert_array_equal(score(adapter, parts).surprisal, score(adapter, contexts).surprisal)
    for seed in (0, 1):
        sampled = build_contexts(adapter, BED, BED.form("word"), mismatches=1, seed=seed).keep
        monkeypatch.setattr("groundbench.engine.contexts.BLOCK", 1000)
        np.testing.assert_array_equal(
            sampled, build_contexts(adapter, BED, BED.form("word"), mismatches=1, seed=seed).keep
        )
        monkeypatch.setattr("groundbench.engine.contexts.BLOCK", 3)


def test_faults_of_all_blocks_are_told_in_the_order_of_the_prompts(
    adapter: HFCausal, contexts: FormContexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundbench.engine.contexts.BLOCK", 2)
    encode, bad = adapter.encoder.encode, [n.word for n in contexts.nouns[1:]]

    def fail(prompts: list[Prompt]) -> list[Encoded]:
        faults = {i: f"{p.where} is merged" for i, p in enumerate(prompts) if p.env in bad}
        if faults:
            raise UnencodableError(faults)
        return encode(prompts)

    monkeypatch.setattr(adapter.encoder, "encode", fail)
    with pytest.raises(EmptyFormError, match=rf"1 nouns are left.*{bad[0]}.* is merged") as raised:
        build_contexts(adapter, BED, BED.form("word"))
    assert list(raised.value.left_out) == bad
    first = contexts.frames[0].id
    assert all(repr(first) in why for why in raised.value.left_out.values())


def test_an_adapter_that_loses_a_prompt_is_refused(adapter: HFCausal, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = adapter.encoder.encode
    monkeypatch.setattr(adapter.encoder, "encode", lambda prompts: encode(prompts)[1:])
    with pytest.raises(ValueError, match=r"encoded \d+ of \d+ prompts"):
        build_contexts(adapter, BED, BED.form("word"))


def test_parts_keep_the_numbers_of_nouns_and_frames(contexts: FormContexts) -> None:
    frame, nouns = np.array([1]), np.array([0, 2])
    part = of_frames(contexts, frame, nouns)
    assert {(c.frame, c.env) for c in part} == {(1, 0), (1, 2)}
    for c in part:
        whole = contexts[contexts.place[c.frame, c.env]].targets
        assert c.targets.nouns == (0, 2)
        assert c.targets.tokens == (whole.of_noun(0), whole.of_noun(2))
    index, noun = matched_prompts(contexts)
    pairs = of_pairs(contexts, np.repeat(index, 2), np.repeat(noun, 2))
    assert len(pairs.distinct) == len(pairs) == 2 * len(index)
    assert [c.targets.nouns for c in pairs] == [(v,) for v in np.repeat(noun, 2).tolist()]


def test_single_prompts_have_the_surprisals_of_the_form_they_come_from(
    adapter: HFCausal, contexts: FormContexts
) -> None:
    single = of_prompts([c.prompt for c in contexts], contexts.rows, [c.targets.tokens for c in contexts])
    found = surprisals(adapter, single)
    by_context = [found[i] for i in single.unique.tolist()]
    table = score(adapter, contexts)
    np.testing.assert_allclose(np.concatenate(by_context), table.surprisal, rtol=2e-5)
