"""The signals of images: by hand on states that are planted, and against transformers' own states and attention."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.tiny_vlms import tiny_adapter
from PIL import Image

from groundbench.api.adapter import Encoded, Forward, ImageGrid
from groundbench.api.testbed import ImageSegment, Prompt, TextSegment
from groundbench.measures.heads.spans import patch_positions
from groundbench.screening.answer_reading import GivenAnswer, image_measures, read_answer
from groundbench.screening.answer_signals import Watched, glsim, internal_confidence, svar
from groundbench.screening.lens_entropy import middle_layers


class OneHot:
    """A model whose unembedding is the identity: a state is its own logits."""

    info = SimpleNamespace(n_layers=2)

    def unembed(self, hidden: torch.Tensor, *, normed: bool) -> torch.Tensor:
        return hidden


def test_planted_states_have_the_confidence_and_similarity_of_their_hand_computation() -> None:
    """Two patches, then a word, then an answer of one token (entry 2 of four); patch 0 shows it half way through."""
    first = torch.tensor([[0.0, 0, 4, 0], [0, 0, 0, 9], [1, 0, 0, 0], [0, 1, 0, 0]])
    last = torch.tensor([[0.0, 3, 0, 4], [0, 0, 1, 0], [2, 0, 0, 0], [1, 0, 1, 0]])
    row = Encoded((7, 7, 1), images=("a",), image_spans=((0, 2),), grids=(ImageGrid(0, 1, 2),))
    out = Forward(torch.zeros(1, 4), {1: first[None], 2: last[None]})
    found = image_measures(OneHot(), out, GivenAnswer("here", row, (2,)))  # type: ignore[arg-type]
    best = max(float(np.exp(4) / (np.exp(4) + 3)), float(np.e / (np.e + 3)))
    assert float(found["image_lens"][0]) == pytest.approx(best, rel=1e-5)
    own = np.array([1, 0, 1, 0]) / np.sqrt(2)
    whole = float(own @ [1, 0, 0, 0])
    parts = np.mean([own @ (np.array(p) / np.linalg.norm(p)) for p in ([0, 3, 0, 4], [0, 0, 1, 0])])
    assert float(found["image_similarity"][0]) == pytest.approx(0.6 * whole + 0.4 * parts, rel=1e-5)


class Colours:
    """An image of four corners."""

    key = "corners"

    def load(self) -> Image.Image:
        image = Image.new("RGB", (32, 32), (200, 30, 30))
        image.paste((30, 30, 200), (16, 0, 32, 32))
        return image


def test_a_models_image_signals_are_those_of_its_own_states_and_attention() -> None:
    adapter = tiny_adapter("llava")
    prompt = Prompt("here", "r", "image", (ImageSegment(Colours()), TextSegment(" w1 w2 w5")), " ")
    (row,) = adapter.encode([prompt])
    (target,) = adapter.encode_targets(["w31 w32"], prompt)
    n, patches = len(target), patch_positions(row)
    assert patches
    reading = read_answer(adapter, GivenAnswer("here", row, target))
    watched = Watched(adapter.info, *(np.zeros(adapter.info.n_heads, bool),) * 2)

    adapter = tiny_adapter("llava")
    adapter.encode([prompt])
    inputs = adapter.inputs.of([Encoded((*row.ids, *target), images=row.images, image_spans=row.image_spans)])
    adapter.model.set_attn_implementation("eager")
    with torch.no_grad():
        out = adapter.model(**inputs, output_hidden_states=True, output_attentions=True)
    head, norm = adapter.model.lm_head, adapter.model.model.language_model.norm
    lenses = [head(norm(h))[0, patches].softmax(-1) for h in out.hidden_states[1:-1]]
    lenses.append(head(out.hidden_states[-1])[0, patches].softmax(-1))  # the last one is normed already
    confidence = torch.stack([x[:, list(target)] for x in lenses]).amax((0, 1))
    rows = torch.stack([w[0, :, len(row) - 1 : -1][..., patches].sum(-1) for w in out.attentions])  # [layers, H, T]
    middle = [k - 1 for k in middle_layers(adapter.info)]
    for found, expected in (
        (internal_confidence(reading, watched), -confidence),
        (svar(reading, watched), -rows[middle].mean((0, 1))),
    ):
        assert found is not None
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=2e-3, atol=1e-7)
    similar = glsim(reading, watched)
    assert similar is not None
    assert len(similar) == n
    assert (np.abs(similar) <= 1 + 1e-6).all()
