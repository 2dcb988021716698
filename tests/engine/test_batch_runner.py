"""One runner for everything that is read of contexts: what does not fit into memory is halved, wherever it is read."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.lens_testbed import WordTestbed, contexts_of
from helpers.tiny_models import tiny_adapter
from helpers.tolerances import tolerance

from groundbench.api.adapter import Encoded
from groundbench.api.errors import GroundbenchError, NonFiniteLogitsError
from groundbench.engine.batch_runner import ByContext, Kept, in_halves
from groundbench.engine.batching import Batch, make_plan
from groundbench.engine.contexts import matched_prompts
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import surprisals
from groundbench.integrations.lm_eval.loglikelihood import Pair, log_likelihoods
from groundbench.measures.ablation.head_edits import mean_outputs, resampled_outputs
from groundbench.measures.heads.saliency import matched_items, measure_saliency
from groundbench.measures.heads.single_heads import sweep_heads
from groundbench.measures.lens.options import LensOptions
from groundbench.measures.lens.reading import read_lens
from groundbench.measures.lens.training import hidden_states
from groundbench.screening.lens_entropy import lens_entropy

PAIRS = [Pair(f"w1 w{k} w5", f" w{n}", f"pair {k} {n}") for k in range(10, 16) for n in (30, 31)]


def scored(adapter: Any) -> np.ndarray:
    return np.concatenate(list(surprisals(adapter, contexts_of(adapter)).values()))


def lens_read(adapter: Any) -> np.ndarray:
    return read_lens(adapter, contexts_of(adapter), None, (1, 2)).tables[0].surprisal


def entropies(adapter: Any) -> np.ndarray:
    return lens_entropy(adapter, contexts_of(adapter))


def lm_eval_pairs(adapter: Any) -> np.ndarray:
    return np.array([value for value, _ in log_likelihoods(adapter, PAIRS, batch_tokens=4096)])


def saliency(adapter: Any) -> np.ndarray:
    return measure_saliency(adapter, matched_items(contexts_of(adapter))).edge


def single_heads(adapter: Any) -> np.ndarray:
    return sweep_heads(adapter, matched_items(contexts_of(adapter)))


def lens_states(adapter: Any) -> np.ndarray:
    rows = [Encoded(tuple(range(k, k + 6))) for k in range(1, 20)]
    return hidden_states(adapter, rows, (1, 2), LensOptions()).numpy()


def resampled(adapter: Any) -> np.ndarray:
    return torch.cat([o.flatten(1) for o in resampled_outputs(adapter, contexts_of(adapter), 0, 4096)], 1).numpy()


def means(adapter: Any) -> np.ndarray:
    contexts = contexts_of(adapter)
    every = np.arange(len(matched_prompts(contexts)[0]))
    return torch.cat([m.flatten(1) for m in mean_outputs(adapter, contexts, every, 4096)], 1).numpy()


READERS = [scored, lens_read, entropies, lm_eval_pairs, saliency, single_heads, lens_states, resampled, means]


def limited(adapter: Any, rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Passes of more rows run out of memory; returns the sizes of those that did not."""
    sizes: list[int] = []

    def small(run: Callable[..., Any]) -> Callable[..., Any]:
        def call(batch: Any, *args: Any, **more: Any) -> Any:
            if len(batch) > rows:
                raise torch.OutOfMemoryError("no room")
            sizes.append(len(batch))
            return run(batch, *args, **more)

        return call

    for method in ("forward", "prefill"):
        monkeypatch.setattr(adapter, method, small(getattr(adapter, method)))
    return sizes


@pytest.mark.parametrize("read", READERS, ids=lambda r: r.__name__)
def test_what_does_not_fit_is_halved_to_the_same_numbers(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = tiny_adapter("gpt2")
    whole = read(adapter)
    # a head's effect is a difference of surprisals and inherits their rounding
    size = scored(adapter) if read is single_heads else whole
    sizes = limited(adapter, 2, monkeypatch)
    found = read(adapter)
    assert max(sizes) == 2
    np.testing.assert_allclose(found, whole, atol=tolerance(size), rtol=2e-4)


@pytest.mark.parametrize("read", READERS, ids=lambda r: r.__name__)
def test_one_context_that_does_not_fit_is_named(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = tiny_adapter("gpt2")
    read(adapter)  # what the model can do at these lengths is tried now
    limited(adapter, 0, monkeypatch)
    with pytest.raises((GroundbenchError, torch.OutOfMemoryError)) as error:
        read(adapter)
    assert "one context alone does not fit into memory" in str(error.value)


@pytest.mark.parametrize("read", READERS[:4], ids=lambda r: r.__name__)
def test_numbers_that_are_none_are_an_error_that_names_the_prompt(read: Any) -> None:
    adapter = tiny_adapter("gpt2")
    read(adapter)
    with torch.no_grad():
        adapter.model.get_output_embeddings().weight[:] = torch.nan
    with pytest.raises(NonFiniteLogitsError, match=r"frame 'f\d'|pair \d+ \d+"):
        read(adapter)


def test_a_halving_is_noted_in_the_run_directory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = tiny_adapter("gpt2")
    scored(adapter)
    limited(adapter, 2, monkeypatch)
    store = RunStore(tmp_path, {"k": 1})
    surprisals(adapter, contexts_of(adapter, WordTestbed()), store=store, stage="scores/word")
    noted = store._manifest["halvings"]
    assert noted
    assert all(h["stage"] == "scores/word" and h["rows"] > 2 for h in noted)  # type: ignore[attr-defined]


def test_errors_that_are_not_of_memory_are_raised_at_once() -> None:
    calls = []

    def run(members: Any) -> None:
        calls.append(len(members))
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        in_halves(run, [1, 2, 3], name=str)
    assert calls == [3]


def test_a_prefix_is_computed_once_for_the_batches_that_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = tiny_adapter("gpt2")
    contexts = contexts_of(adapter)
    made: list[int] = []
    prefill = adapter.prefill

    def counted(rows: Any, *args: Any, **more: Any) -> Any:
        made.append(len(rows[0]))
        return prefill(rows, *args, **more)

    monkeypatch.setattr(adapter, "prefill", counted)
    surprisals(adapter, contexts, batch_tokens=4)
    assert made
    assert len(made) == len(set(made))
    monkeypatch.setattr(adapter, "info", replace(adapter.info, capabilities=adapter.info.capabilities - {"prefix"}))
    made.clear()
    surprisals(adapter, contexts, batch_tokens=4)
    assert made == []


def test_finished_batches_stand_in_one_block_and_travel_without_it():
    kept = Kept(n_rows=1000)
    arrays = [np.arange(k, k + 6, dtype=np.float32).reshape(2, 3) for k in range(5)]
    copies = [kept.copy(array) for array in arrays]
    assert len({id(c.block) for c in copies}) == 1
    for array, copied in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(copied.array(), array)
        sent = pickle.dumps(copied)
        assert len(sent) < 1000 < copied.block.nbytes
        np.testing.assert_array_equal(pickle.loads(sent).array(), array)
    wide = np.ones((2, 5000), dtype=np.float32)
    np.testing.assert_array_equal(kept.copy(wide).array(), wide)


def test_numbers_by_context_are_those_of_its_batch():
    batches = [Batch((4, 1), 0), Batch((0,), 0)]
    kept = Kept(3)
    found = ByContext(
        batches, [kept.copy(np.array([[1.0], [2.0]], np.float32)), kept.copy(np.array([[3.0]], np.float32))]
    )
    assert {i: float(v[0]) for i, v in found.items()} == {4: 1.0, 1: 2.0, 0: 3.0}
    assert len(found) == 3
    for absent in (2, 3, 5, -1):
        assert absent not in found


def test_a_plan_is_known_by_all_that_its_batches_hold():
    adapter = tiny_adapter("gpt2")
    contexts = contexts_of(adapter)
    plan = make_plan(contexts, budget=64, vocab_size=adapter.info.vocab_size, cached=0)
    number = {t: k for k, t in enumerate(dict.fromkeys(contexts.targets(i) for i in range(len(contexts))))}
    whole = [[b.start, [[contexts.rows[i].ids, number[contexts.targets(i)]] for i in b.contexts]] for b in plan.batches]
    text = json.dumps([whole, [t.tokens for t in number], 64])
    assert plan.digest == hashlib.sha256(text.encode()).hexdigest()[:16]
