"""log P(word | image, dialogue) against two oracles: a plain call's sum over tokens, and minicons' VLMScorer.

On tiny random models; and on a checkpoint of yours, such as a trained vlm-mini, where the environment names its folder:

    pip install --no-deps minicons wonderwords
    GROUNDBENCH_VLM=runs/vlm/seed-42/step-002000 pytest tests/vlm/test_vlm_oracle.py

Its family must put an image where a prompt says `<image>` (LLaVA's do); its words are those of `image-dialogue`.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.image_bed import ImageBed
from helpers.plain_calls import log_probability
from helpers.tiny_vlms import WORDS, tiny_vlm
from helpers.tolerances import assert_same, tolerance

from groundbench.adapters.architectures.llava import build_llava
from groundbench.adapters.vlm.adapter import VisionLanguage
from groundbench.adapters.vlm.loading import open_vlm
from groundbench.api.testbed import ImageSegment, Testbed, TextSegment
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score
from groundbench.tasks.image_dialogue.testbed import ImageDialogue

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


def of_yours(_: Path) -> VisionLanguage:
    """The checkpoint that GROUNDBENCH_VLM names."""
    folder = os.environ.get("GROUNDBENCH_VLM")
    if folder is None:
        pytest.skip("GROUNDBENCH_VLM names no checkpoint")
    opened = open_vlm(folder)
    assert isinstance(opened, VisionLanguage)
    return opened


@pytest.fixture(scope="module", params=[tiny_llava, trained_here, of_yours], ids=lambda f: f.__name__)
def adapter(request: Any, tmp_path_factory: pytest.TempPathFactory) -> VisionLanguage:
    return request.param(tmp_path_factory.mktemp("model"))


def ours_and_questions(adapter: VisionLanguage) -> tuple[np.ndarray, list[tuple[Any, str, str]]]:
    """Log-probabilities by our engine, and (image, text after it, word) for each; of a checkpoint of yours a sample.

    All of them are scored together, as in a run: images share prefixes, and words share passes.
    """
    yours = "w1" not in adapter.tokenizer.get_vocab()
    bed: Testbed = ImageDialogue() if yours else ImageBed(frames=3, targets=2)
    nouns = [n.word for n in bed.nouns_of(bed.form("image"))[:4]]
    contexts = build_contexts(adapter, bed, bed.form("image"), nouns=nouns)
    asked = []
    for prompt in (c.prompt for c in contexts):
        picture, text = prompt.segments
        assert isinstance(picture, ImageSegment)
        assert isinstance(text, TextSegment)
        asked += [(picture.image, text.text, bed.target(noun)) for noun in contexts.nouns]
    step = 17 if yours else 1
    return -score(adapter, contexts).surprisal[::step], asked[::step]


def test_ours_is_the_sum_over_tokens_of_a_plain_call(adapter):
    ours, asked = ours_and_questions(adapter)
    theirs = [log_probability("llava", adapter, *question) for question in asked]
    assert np.abs(ours - theirs).max() < tolerance(ours, theirs, depth=64)
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
    assert_same(ours, theirs, depth=64)
