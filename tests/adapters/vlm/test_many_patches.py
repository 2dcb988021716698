"""An image of 2,916 patches: every measurement fits, and no matrix of all tokens by all tokens is ever made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_vlms
from helpers.image_bed import ImageBed
from helpers.tolerances import assert_same
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.models.llava.processing_llava import LlavaProcessor

from groundbench.adapters.vlm.adapter import VisionLanguage
from groundbench.api.adapter import HeadEdit
from groundbench.engine.contexts import FormContexts, build_contexts
from groundbench.engine.scoring import dry_plan, score, surprisals
from groundbench.measures.heads.saliency import matched_items, measure_saliency

SIDE, PATCH = 432, 8
PATCHES = (SIDE // PATCH) ** 2


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes, in bytes of its own storage."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes, self.where = 0, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().nbytes() > self.nbytes:
                self.nbytes, self.where = tensor.untyped_storage().nbytes(), f"{func} {tuple(tensor.shape)}"
        return made


@dataclass
class Work:
    """A model, its contexts, and what every measurement's largest tensor is held against."""

    adapter: VisionLanguage
    contexts: FormContexts
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = max(len(row) for row in self.contexts.rows)

    @contextmanager
    def without_a_matrix(self) -> Iterator[None]:
        """No tensor is as large as one byte for each pair of tokens."""
        with Largest() as largest:
            yield
        assert 0 < largest.nbytes < self.tokens**2, largest.where


@pytest.fixture(scope="module")
def work() -> Work:
    config, processor = tiny_vlms._llava()
    config["text_config"] = {**config["text_config"], "max_position_embeddings": 4096}
    config["vision_config"] = {**config["vision_config"], "image_size": SIDE, "num_hidden_layers": 1}
    square = {"height": SIDE, "width": SIDE}
    pixels = tiny_vlms._clip(size={"shortest_edge": SIDE}, crop_size=square)
    large = LlavaProcessor(pixels, processor.tokenizer, PATCH, "default", num_additional_image_tokens=1)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(AutoConfig.for_model("llava", **config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3.0)
    adapter = VisionLanguage(model, large, name="many patches")
    bed = ImageBed(frames=2, size=(SIDE, SIDE))
    contexts = build_contexts(adapter, bed, bed.form("image"), nouns=["noun0", "noun1"])
    score(adapter, contexts)  # the vision tower, which is not measured, has seen its images
    return Work(adapter, contexts)


def test_a_prompt_holds_every_patch(work: Work) -> None:
    assert all(len(r.image_spans) == 1 and r.grids[0].rows * r.grids[0].columns == PATCHES for r in work.contexts.rows)
    assert work.tokens > PATCHES == 2916


def test_frames_of_a_picture_share_it_and_score_as_they_do_alone(work: Work) -> None:
    plan = dry_plan(work.adapter, work.contexts)
    assert plan.tokens < sum(len(r) for r in work.contexts.rows) / 1.9  # two frames on each of two images
    with work.without_a_matrix():
        shared = score(work.adapter, work.contexts).surprisal
    with torch.no_grad():
        alone = [work.adapter.forward([row]).logits[0].double().log_softmax(-1) for row in work.contexts.rows]
    wanted = [
        -float(logp[target[0]]) for logp, own in zip(alone, work.contexts, strict=True) for target in own.targets.tokens
    ]
    assert_same(shared, wanted, depth=64)
    assert np.ptp(wanted) > 0.1


def test_saliency_rows_are_read_on_every_patch(work: Work) -> None:
    items = matched_items(work.contexts)
    with work.without_a_matrix():
        found = measure_saliency(work.adapter, items)
    assert found.image_span is not None
    assert (found.image_span == PATCHES).all()
    assert (found.row_sum > 0).all()
    assert found.image_edge is not None
    assert ((found.edge <= found.image_edge * (1 + 1e-5)) & (found.image_edge <= found.row_sum * (1 + 1e-5))).all()


def test_heads_are_cut(work: Work) -> None:
    scale = torch.ones(1, work.adapter.info.n_heads)
    scale[0, 0] = 0.0
    with work.without_a_matrix():
        cut = surprisals(work.adapter, work.contexts, edit=HeadEdit(scale))
    plain = surprisals(work.adapter, work.contexts)
    assert max(np.abs(cut[i] - plain[i]).max() for i in plain) > 1e-4


def test_a_matrix_would_be_seen(work: Work) -> None:
    with pytest.raises(AssertionError, match="empty"), work.without_a_matrix():
        torch.empty(work.tokens, work.tokens, dtype=torch.bool)
