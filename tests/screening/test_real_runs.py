"""Runs of a real model: one live answer has its cost, and the same seed gives the same card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from helpers.fake_models import scene_questions
from helpers.small_models import tiny_gpt2

from groundbench import Screener, screen
from groundbench.adapters.huggingface import HFCausal
from groundbench.api.testbed import Prompt
from groundbench.screening.screen import ScreenOptions
from groundbench.screening.signals import HEADS_COST, SIGNALS
from groundbench.screening.strengthening import StrengthenOptions

COST = {s.name: s.cost for s in SIGNALS}
SCENES = scene_questions()
ANSWER, OTHER = "ball", "the"


@dataclass
class Counted:
    """A count of what a model was run on: the new positions of each forward pass, and the passes backward."""

    positions: list[int] = field(default_factory=list)
    backward: int = 0


@contextmanager
def counting(adapter: HFCausal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Count at the model itself, below everything that may call it."""
    found, plain = Counted(), torch.autograd.grad

    def before(module: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, torch.Tensor]) -> None:
        found.positions.append(kwargs["input_ids"].numel())

    def backward(*args: object, **kwargs: object) -> object:
        found.backward += 1
        return plain(*args, **kwargs)  # type: ignore[arg-type]

    handle = adapter.model.register_forward_pre_hook(before, with_kwargs=True)
    monkeypatch.setattr(torch.autograd, "grad", backward)
    try:
        yield found
    finally:
        handle.remove()
        monkeypatch.setattr(torch.autograd, "grad", plain)


@pytest.fixture(scope="module")
def model() -> HFCausal:
    return tiny_gpt2()


def length(model: HFCausal, prompt: Prompt) -> int:
    return len(model.encode([prompt])[0])


def test_heads_cost_one_pass_forward_and_one_backward_through_the_last_position(
    model: HFCausal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every position runs once: those before the last without a graph, so that the way back is through it alone."""
    question = SCENES[0]
    screener = Screener(model, heads=[(1, 0), (2, 3)])
    screener.risk(question.prompt, ANSWER, signals=("heads",))  # a length that is met first is tried first
    with counting(model, monkeypatch) as found:
        risk = screener.risk(question.prompt, ANSWER, signals=("heads",))
    assert found.positions == [length(model, question.prompt) - 1, 1]
    assert found.backward == 1
    assert {s.cost for s in risk.signals} == {HEADS_COST} == {"1 forward + 1 backward through the last position"}


@pytest.mark.parametrize(("without", "others"), [(True, 0), (False, 2), (True, 2)])
def test_gain_costs_a_forward_pass_and_one_for_each_comparison(
    model: HFCausal, monkeypatch: pytest.MonkeyPatch, without: bool, others: int
) -> None:
    """The answer is one token, read after each prompt: no prompt runs twice, and nothing runs back."""
    question = next(q for q in SCENES if len(q.mismatched) == 2)
    compared = ([question.without] if without and question.without else []) + list(question.mismatched[:others])
    prompts = [question.prompt, *compared]
    assert [len(t) for t in model.encode_targets([ANSWER, OTHER], question.prompt)] == [1, 1]
    with counting(model, monkeypatch) as found:
        risk = Screener(model).risk(
            question.prompt,
            ANSWER,
            signals=("gain",),
            without=question.without if without else None,
            mismatched=question.mismatched[:others],
        )
    assert sum(found.positions) <= sum(length(model, p) for p in prompts)
    assert sum(found.positions) > max(length(model, p) for p in prompts)
    assert found.backward == 0
    said = {s.name: s.cost for s in risk.signals}
    assert said == {n: COST[n] for n, wanted in (("gain", without), ("gain-mismatched", others)) if wanted}
    assert COST["gain"] == "2 forwards"
    assert COST["gain-mismatched"] == "1 + k forwards"


def test_probability_costs_one_forward_pass(model: HFCausal, monkeypatch: pytest.MonkeyPatch) -> None:
    with counting(model, monkeypatch) as found:
        Screener(model).risk(SCENES[0].prompt, ANSWER, signals=("probability", "entropy"), candidates=(OTHER,))
    assert (sum(found.positions), found.backward) == (length(model, SCENES[0].prompt), 0)


def run(out: Path, seed: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The card of a model made anew, without its time; and the split of every question."""
    options = ScreenOptions(seed=seed, signals=("gain", "heads", "probability"))
    screen(tiny_gpt2(), SCENES[:40], options, out=out)
    card = json.loads((out / "card.json").read_text())
    card["environment"].pop("seconds")
    return card, {r["id"]: r["split"] for r in pq.read_table(out / "answers.parquet").to_pylist()}


def test_the_same_seed_gives_the_same_card_of_a_model_that_runs(tmp_path: Path) -> None:
    one, again, other = (run(tmp_path / name, seed) for name, seed in (("one", 0), ("again", 0), ("other", 1)))
    assert one == again
    assert (tmp_path / "one" / "answers.parquet").read_bytes() == (tmp_path / "again" / "answers.parquet").read_bytes()
    assert one[0]["heads"]["heads"]
    assert one[1] != other[1]
    assert one[0]["signals"] != other[0]["signals"]
    first, second = ([e["error"]["value"] for e in card["errors"]] for card, _ in (one, other))
    assert first == second  # no seed decides an answer


def test_a_context_shorter_than_the_texts_paragraphs_leaves_perplexity_unmeasured() -> None:
    options = ScreenOptions(signals=("probability",), heads=((1, 0),), strengthen=StrengthenOptions((1.5,), draws=1))
    card = screen(tiny_gpt2(), SCENES[:24], options)
    assert card.strengthen is not None
    assert card.strengthen.perplexity_before is None
    assert "tokens do not fit" in (card.strengthen.note or "")
