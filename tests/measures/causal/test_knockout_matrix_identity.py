"""Edge knockout, the cross-form matrix and the identity of heads on circuits set by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.planted import PlantedTestbed, state_space
from helpers.planted_circuits import CIRCUITS
from helpers.tiny_backends import english
from helpers.tiny_models import random_items, tiny, tiny_adapter
from helpers.tolerances import tolerance

from groundbench.adapters.huggingface import HFCausal, open_causal
from groundbench.api.adapter import Encoded, Forward
from groundbench.engine.contexts import build_contexts
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import score
from groundbench.engine.subject import Subject
from groundbench.measures.causal.cross_form import LastOutputs, cross_form
from groundbench.measures.causal.edge_knockout import STEPS, Asked, Cut, knock_out, windows
from groundbench.measures.causal.head_identity import head_identity
from groundbench.measures.causal.measure import CausalRun, run_causal
from groundbench.measures.causal.options import CausalOptions
from groundbench.registry import load_testbed

OPTIONS = CausalOptions(
    scores=("contrast",),
    nouns="all",
    frames=1,
    draws=4,
    exact_pairs=4,
    random_orders=1,
    random_pairs="all",
    control_pairs="all",
    same_pairs=True,
    knockout_pairs=64,
    matrix_pairs="all",
    windows=16,
)


def _run(folder: Path) -> CausalRun:
    adapter = open_causal(str(folder))
    assert adapter is not None
    testbed = PlantedTestbed()
    contexts = build_contexts(adapter, testbed, testbed.form("token"))
    return run_causal(Subject(adapter, contexts, score(adapter, contexts)), OPTIONS)


def _lost(run: CausalRun, step: str, layer: int) -> float:
    found = next(
        k.lost.value
        for k in run.record.knockout
        if (k.step, k.heads, k.first_layer, k.last_layer) == (step, "all", layer, layer)
    )
    assert found is not None
    return found


def test_a_copy_head_loses_its_edge_in_its_layer_alone(tmp_path: Path) -> None:
    run = _run(CIRCUITS["copy"](tmp_path).folder)
    assert _lost(run, "direct", 2) == pytest.approx(1, abs=1e-3)
    for step, layer in (("direct", 1), ("direct", 3), ("read", 2), ("write", 2)):
        assert _lost(run, step, layer) == pytest.approx(0, abs=1e-3)
    headline = next(k for k in run.record.knockout if k.heads == "headline")
    assert headline.lost.value == pytest.approx(1, abs=1e-3)


def test_a_relay_is_cut_in_two_steps(tmp_path: Path) -> None:
    run = _run(CIRCUITS["relay"](tmp_path).folder)
    assert _lost(run, "write", 1) == pytest.approx(1, abs=1e-3)
    assert _lost(run, "read", 2) > 0.7
    for step, layer in (("direct", 1), ("direct", 2), ("write", 2), ("read", 1)):
        assert _lost(run, step, layer) == pytest.approx(0, abs=1e-3)


def test_a_state_space_head_loses_its_edge(tmp_path: Path) -> None:
    run = _run(state_space(tmp_path).folder)
    assert _lost(run, "direct", 1) == pytest.approx(1, abs=1e-3)
    assert _lost(run, "direct", 2) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "mamba2"])
def test_cuts_that_start_at_their_layer_are_those_of_whole_passes(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = tiny_adapter(family)
    info = adapter.info
    layer = np.array([layer for layer, _ in info.head_index])
    asked = [Asked(item.row, item.target[0], "") for item in random_items(3, length=12)]
    heads = [layer == last for last in range(1, info.n_layers + 1)] + [layer >= 1, np.arange(len(layer)) == 2]
    cuts = [Cut(step, chosen) for step in STEPS for chosen in heads]
    entered: list[int] = []
    start = adapter.start_at_layer

    def spy(rows: Any, residual: Any, at: int, **more: Any) -> torch.Tensor:
        entered.append(at)
        return start(rows, residual, at, **more)

    monkeypatch.setattr(adapter, "start_at_layer", spy)
    found = knock_out(adapter, asked, cuts, 64)
    assert info.n_layers in entered
    adapter.info = replace(info, capabilities=info.capabilities - {"start_at_layer"})
    entered.clear()
    whole = knock_out(adapter, asked, cuts, 64)
    assert not entered
    np.testing.assert_allclose(found, whole, atol=tolerance(whole))


def test_windows_are_a_quarter_of_the_depth_and_few() -> None:
    assert windows([1, 2, 3, 4], 16) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    many = windows(list(range(1, 31)), 16)
    assert all(b - a == 7 for a, b in many)
    assert many[0] == (1, 8)
    assert many[-1] == (23, 30)
    assert len(windows(list(range(1, 121)), 16)) <= 18
    assert windows([4, 8, 8, 12], 16)[-1] == (12, 12)


def test_a_head_that_carries_the_noun_transfers_between_forms(tmp_path: Path) -> None:
    run = _run(CIRCUITS["copy"](tmp_path).folder)
    for record in cross_form([run, run]):
        for cell in record.matrix:
            assert cell.recovered.value == pytest.approx(1, abs=1e-3)
            assert cell.n_pairs == run.record.pairs.n
    assert cross_form([run])[0].matrix == ()


def test_a_matrix_on_a_sample_of_the_pairs_says_how_many(tmp_path: Path) -> None:
    run = _run(CIRCUITS["copy"](tmp_path).folder)
    setting = replace(run.setting, options=replace(OPTIONS, matrix_pairs=8))
    for record in cross_form([replace(run, setting=setting)] * 2):
        for cell in record.matrix:
            assert cell.n_pairs == 8 < run.record.pairs.n
            assert cell.recovered.value == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("family", ["llama", "mamba2", "mistral"])
def test_outputs_behind_a_cached_beginning_are_those_of_whole_prompts(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = english()
    testbed = load_testbed("ladder")
    model = tiny(family, vocab_size=len(tokenizer), max_position_embeddings=256)
    adapter = HFCausal(model, tokenizer, name=family)
    contexts = build_contexts(adapter, testbed, testbed.form("gloss"))
    subject = Subject(adapter, contexts, score(adapter, contexts))
    donor = LastOutputs(SimpleNamespace(setting=SimpleNamespace(subject=subject)))  # type: ignore[arg-type]
    some = [0, 3, len(contexts) - 1, len(contexts) // 2]
    prefilled: list[int] = []
    prefill = adapter.prefill
    monkeypatch.setattr(adapter, "prefill", lambda rows, *a, **k: prefilled.append(len(rows)) or prefill(rows, *a, **k))
    donor.of(some)
    assert bool(prefilled) == (family != "mamba2")
    for k, found in enumerate(donor.of(some)):
        for j, context in enumerate(some):
            whole = adapter.forward([contexts[context].row], trace=True).traces[k].site.detach()[:, :, -1]
            assert torch.allclose(found[j, 0], whole[0], rtol=0, atol=tolerance(whole, depth=64))


def test_a_matrix_is_kept_in_the_run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(CIRCUITS["copy"](tmp_path / "model").folder)
    store = RunStore(tmp_path / "run", {"model": "copy"})
    kept = replace(run.setting, subject=replace(run.setting.subject, store=store))
    run = replace(run, setting=kept)
    first = cross_form([run, run])
    monkeypatch.setattr(
        "groundbench.measures.causal.cross_form._patch_and_score", lambda *_: pytest.fail("it was measured again")
    )
    assert cross_form([run, run]) == first


def test_a_matrix_is_read_in_halves_where_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(CIRCUITS["copy"](tmp_path).folder)
    whole = cross_form([run, run])
    adapter, refused = run.setting.subject.adapter, []
    forward = adapter.forward

    def small(rows: Sequence[Encoded], **options: Any) -> Forward:
        if len(rows) > 2:
            refused.append(len(rows))
            raise torch.OutOfMemoryError("out of memory")
        return forward(rows, **options)

    monkeypatch.setattr(adapter, "forward", small)
    for halved, record in zip(cross_form([run, run]), whole, strict=True):
        for cell, other in zip(halved.matrix, record.matrix, strict=True):
            assert cell.n_pairs == other.n_pairs
            assert cell.recovered.value == pytest.approx(other.recovered.value, rel=1e-5)
    assert refused


def test_a_previous_token_head_is_known_for_one(tmp_path: Path) -> None:
    adapter = open_causal(str(CIRCUITS["induction"](tmp_path).folder))
    assert adapter is not None
    found = {(h.layer, h.head): h for h in head_identity(adapter)}
    assert found[1, 1].previous == pytest.approx(1, abs=1e-3)
    assert found[1, 1].induction == pytest.approx(0, abs=1e-3)
    assert all((h.previous or 0) < 0.2 for place, h in found.items() if place != (1, 1))


@pytest.mark.parametrize("family", ["llama", "mistral", "mamba2", "bloom"])
def test_identity_is_a_share_of_attention(family: str) -> None:
    for head in head_identity(tiny_adapter(family)):
        for share in (head.induction, head.previous, head.duplicate, head.sink):
            assert share is not None
            assert -1e-6 <= share <= 1 + 1e-6
