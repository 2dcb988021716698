"""Beginnings that prompts share: run once, chosen by the set alone, and without a trace in what is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny_adapter
from hypothesis import given as drawn
from hypothesis import strategies as st

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded
from groundbench.screening import shared_beginnings
from groundbench.screening.answer_reading import GivenAnswer, Wanted
from groundbench.screening.given_answers import read_set
from groundbench.screening.shared_beginnings import SharedBeginnings, in_order

TARGET = (5, 9, 3)
EVIDENCE = tuple(tuple(int(x) for x in np.random.default_rng(n).integers(1, 30, 9)) for n in range(4))
FAMILIES = ("gpt2", "llama", "gemma2", "gpt_neox", "mamba")


@pytest.fixture(autouse=True)
def _short_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_beginnings, "MIN_SHARED", 4)


def prompt(evidence: tuple[int, ...], question: int) -> Encoded:
    return Encoded((2, *evidence, question, 4, 6), ((1, 1 + len(evidence)),))


def answers() -> list[GivenAnswer]:
    """Four records, each compared with the evidence of the one two further on."""
    return [
        GivenAnswer(
            f"record {n}",
            prompt(own, 10 + n),
            TARGET,
            Encoded((2, 10 + n, 4, 6)),
            prompt(EVIDENCE[(n + 2) % 4], 10 + n),
        )
        for n, own in enumerate(EVIDENCE)
    ]


def tokens_run(adapter: HFCausal, made: list[GivenAnswer]) -> int:
    """Tokens that go through the model while these answers are read."""
    counted: Counter[str] = Counter()

    def count(_: object, args: tuple[torch.Tensor, ...], more: dict[str, torch.Tensor]) -> None:
        counted["tokens"] += (more.get("input_ids") if "input_ids" in more else args[0]).numel()  # type: ignore[union-attr]

    hook = adapter.model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        read_set(adapter, made, Wanted(), None)
    finally:
        hook.remove()
    return counted["tokens"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reading_is_the_same_with_and_without_shared_beginnings(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, made = tiny_adapter(family), answers()
    shared = read_set(adapter, made, Wanted(), None)
    monkeypatch.setattr(shared_beginnings, "MIN_SHARED", 10**6)
    alone = read_set(adapter, made, Wanted(), None)
    for one, other in zip(shared, alone, strict=True):
        for f in fields(one):
            found, expected = getattr(one, f.name), getattr(other, f.name)
            assert (found is None) == (expected is None), f.name
            if expected is not None:
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_evidence_is_run_once_for_its_record_and_for_those_compared_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, made = tiny_adapter("llama"), answers()
    adapter.unembed(torch.zeros(1, adapter.info.d_model), normed=False)  # its first call tries the model
    shared = tokens_run(adapter, made)
    monkeypatch.setattr(shared_beginnings, "MIN_SHARED", 10**6)
    assert tokens_run(adapter, made) - shared == len(made) * (1 + len(EVIDENCE[0]))


def test_a_row_is_cut_where_its_evidence_ends_and_only_where_another_row_begins_like_it() -> None:
    adapter, made = tiny_adapter("llama"), answers()
    rows = [row for given in made for row in given.prompts]
    found = SharedBeginnings.of(adapter, rows)
    assert [len(found.key(g.row)) for g in made] == [10] * 4
    assert [len(found.key(g.without)) for g in made if g.without is not None] == [0] * 4
    alone = SharedBeginnings.of(adapter, [g.row for g in made])
    assert [alone.key(g.row) for g in made] == [()] * 4


def test_the_same_prompt_with_several_answers_is_run_once_but_for_its_last_token() -> None:
    row = prompt(EVIDENCE[0], 7)
    found = SharedBeginnings.of(tiny_adapter("llama"), [row, row, prompt(EVIDENCE[1], 7)])
    assert found.key(row) == row.ids[:-1]


def test_models_without_a_cache_and_rows_with_images_share_nothing() -> None:
    rows = [prompt(EVIDENCE[0], 7), prompt(EVIDENCE[0], 8)]
    assert SharedBeginnings.of(tiny_adapter("mamba"), rows).lengths == {}
    pictured = [replace(r, images=("x",), image_spans=((1, 10),)) for r in rows]
    assert SharedBeginnings.of(tiny_adapter("llama"), pictured).lengths == {}


def test_few_beginnings_stay_in_memory() -> None:
    adapter = tiny_adapter("llama")
    many = [tuple(int(x) for x in np.random.default_rng(n).integers(1, 30, 9)) for n in range(20)]
    rows = [prompt(evidence, question) for evidence in many for question in (7, 8)]
    found = SharedBeginnings.of(adapter, rows)
    for row in rows:
        begun = found.begin(adapter, row)
        assert begun is not None
        assert begun.prefix.length == begun.states.shape[1] == 10
    assert len(found._kept) == shared_beginnings.MOST_KEPT


@drawn(st.lists(st.lists(st.integers(0, 6), max_size=3), max_size=30))
def test_every_answer_is_read_once_and_those_of_one_beginning_together(numbers: list[list[int]]) -> None:
    keys = [[(n,) if n else () for n in own] for own in numbers]
    assert sorted(in_order(keys)) == list(range(len(keys)))
    pairs = [[(n // 2,)] for n in range(20)]
    mixed = [pairs[(7 * k) % 20] for k in range(20)]
    seen = [mixed[i] for i in in_order(mixed)]
    assert all(seen[k] == seen[k + 1] for k in range(0, 20, 2))
