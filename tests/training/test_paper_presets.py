"""The paper's models: its names, its schedule, and as many parameters as their layers must have (protocol §6)."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from groundbench.training.presets import load_preset, preset_names

VOCABULARY = 89_057  # CHILDES, as the paper's authors count it
D = 768


def gpt2(layers: int) -> int:
    attention = (D * 3 * D + 3 * D) + (D * D + D)
    feed_forward = (D * 4 * D + 4 * D) + (4 * D * D + D)
    return 1024 * D + layers * (attention + feed_forward + 2 * 2 * D) + 2 * D


def mamba2(layers: int) -> int:
    inner, state, heads = 2 * D, 128, 24
    convolved = inner + 2 * state
    mixer = D * (inner + convolved + heads) + convolved * (4 + 1) + 3 * heads + inner + inner * D
    return layers * (mixer + D) + D


def lstm(layers: int) -> int:
    return layers * (4 * D * (D + D) + 2 * 4 * D)


BEYOND_EMBEDDINGS = {
    "gpt2-4l": gpt2(4),
    "gpt2-12l": gpt2(12),
    "gpt2-18l": gpt2(18),
    "mamba2-4l": mamba2(4),
    "mamba2-12l": mamba2(12),
    "lstm-4l": lstm(4),
    "lstm-1l": lstm(1),
    "lstm-4l-residual": lstm(4) + VOCABULARY * D,  # not tied
}
MINI = {"gpt2-mini", "mamba2-mini", "lstm-4l-mini", "lstm-1l-mini", "lstm-4l-residual-mini"}


def test_all_are_there_and_in_mini() -> None:
    assert MINI | set(BEYOND_EMBEDDINGS) <= set(preset_names())


@pytest.mark.parametrize("name", BEYOND_EMBEDDINGS)
def test_it_has_the_parameters_of_its_layers(name: str) -> None:
    preset = load_preset(name)
    config = AutoConfig.for_model(preset.architecture, vocab_size=VOCABULARY, **preset.config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        model.tie_weights()
    assert sum(p.numel() for p in model.parameters()) == VOCABULARY * D + BEYOND_EMBEDDINGS[name]


def test_gpt2_12l_is_the_size_of_gpt2_small() -> None:
    assert gpt2(12) + 50257 * D == 124_439_808


@pytest.mark.parametrize("name", BEYOND_EMBEDDINGS)
def test_it_is_trained_on_the_papers_schedule(name: str) -> None:
    preset = load_preset(name)
    assert (preset.batch_size, preset.length, preset.precision, preset.compile) == (16, 512, "fp32", False)
    assert preset.checkpoint_steps() == (0, 150, 300, *range(500, 20001, 500))
    how = preset.optimisation
    assert (how.lr, how.warmup_steps, how.schedule) == (5e-5, 1000, "linear")
    assert (how.betas, how.weight_decay, how.clip) == ((0.9, 0.999), 0.0, 1.0)


@pytest.mark.parametrize("name", [n for n in BEYOND_EMBEDDINGS if not n.startswith("gpt2-12l")])
def test_what_the_paper_does_not_give_is_called_ours(name: str) -> None:
    said = load_preset(name).description
    assert "ours" in said or "as in its 12 layers" in said
