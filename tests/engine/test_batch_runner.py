"""One runner for everything that is read of contexts: what does not fit into memory is halved, wherever it is read."""

from __future__ import annotations

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
from groundbench.engine.batch_runner import in_halves
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
