"""log P(word | image, dialogue) against two oracles: a plain call's sum over tokens, and minicons' VLMScorer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_bed import COLOURS, PictureBed, Square
from plain_calls import log_probability
from tiny_vlms import WORDS, tiny_vlm

from groundbench.adapters.architectures.llava import build_llava
from groundbench.adapters.vlm.model import VisionLanguage
from groundbench.adapters.vlm.opening import open_vlm
from groundbench.contexts import build_contexts
from groundbench.scoring import score

LIKE_OURS = {
    "text_config": {
        "model_type": "llama",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
    },
    "vision_config": {
        "model_type": "dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    },
    "vision_feature_layer": -1,
    "projector_hidden_act": "linear",
}


def tiny_llava(_: Path) -> VisionLanguage:
    return VisionLanguage(*tiny_vlm("llava"), name="llava")


def trained_here(folder: Path) -> VisionLanguage:
    """The architecture of our own presets (patches of a DINOv2, a word-level decoder), through a folder."""
    torch.manual_seed(0)
    model, processor = build_llava(LIKE_OURS, pixels=28, vision=None, language=None, words=WORDS)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    opened = open_vlm(str(folder))
    assert isinstance(opened, VisionLanguage)
    return opened


@pytest.fixture(scope="module", params=[tiny_llava, trained_here], ids=lambda f: f.__name__)
def adapter(request: Any, tmp_path_factory: pytest.TempPathFactory) -> VisionLanguage:
    return request.param(tmp_path_factory.mktemp("model"))


def ours_and_questions(adapter: VisionLanguage) -> tuple[np.ndarray, list[tuple[Square, str, str]]]:
    bed = PictureBed(frames=3, targets=2)
    contexts = build_contexts(adapter, bed, bed.form("image"))
    asked = [
        (Square(COLOURS[shown]), " " + bed._frames[f].template, bed.target(noun))
        for shown, f in zip(contexts.env, contexts.frame, strict=True)
        for noun in bed.nouns
    ]
    return -score(adapter, contexts).surprisal, asked


def test_ours_is_the_sum_over_tokens_of_a_plain_call(adapter):
    ours, asked = ours_and_questions(adapter)
    theirs = [log_probability("llava", adapter, *question) for question in asked]
    assert np.abs(ours - theirs).max() < 1e-5
    assert np.ptp(theirs) > 0.1


def test_ours_is_what_minicons_gives(adapter):
    scorers = pytest.importorskip("minicons.scorer", reason="minicons (pip install --no-deps) is not installed")
    adapter.processor.vocab_size = len(adapter.tokenizer)  # minicons 0.3.39 asks its tokenizer, here the processor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scorer = scorers.VLMScorer(adapter.model, "cpu", tokenizer=adapter.processor)
    ours, asked = ours_and_questions(adapter)
    asked, ours = asked[::5], ours[::5]
    theirs = scorer.conditional_score(
        [f"<image>{text}" for _, text, _ in asked],
        [word for _, _, word in asked],
        image=[picture.load() for picture, _, _ in asked],
        reduction=lambda x: x.sum().item(),
    )
    assert np.abs(ours - theirs).max() < 1e-4
