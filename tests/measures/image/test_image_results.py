"""The image's part measured on the tiny vision-language models: patches swapped, pixels ignored, images kept."""

from __future__ import annotations

import pytest
import torch
from helpers.image_bed import COLOURS, ImageBed
from helpers.plain_calls import adapter_of
from helpers.tiny_models import tiny_adapter as text_adapter
from helpers.tiny_vlms import FAMILIES, tiny_adapter

from groundbench.api.adapter import ImagePatchable
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, Frame, text_prompt
from groundbench.engine.contexts import build_contexts
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.heads.spans import patch_positions
from groundbench.measures.image.examples import FINE
from groundbench.report.from_directory import page_of
from groundbench.results.image_examples import ImageExamples

OPTIONS = {"heads": HeadOptions(denominator="row")}
TILED = {"llava_next", "llava_onevision", "idefics3", "smolvlm"}


def two_rows(adapter):
    """The rows of two nouns in the first frame, and the positions of all patches."""
    bed = ImageBed(frames=1)
    a, b, *_ = build_contexts(adapter, bed, bed.form("image")).rows
    return a, b, patch_positions(a)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_all_features_swapped_a_row_is_the_other_one(family):
    adapter = adapter_of(family)
    assert isinstance(adapter, ImagePatchable)
    a, b, _ = two_rows(adapter)
    every = range(len(a))
    swapped = adapter.patch_images(a, b, every)
    assert swapped.images != a.images
    assert swapped.ids == a.ids
    ours, donor = (adapter.forward([row]).logits for row in (swapped, b))
    assert torch.allclose(ours, donor, atol=1e-6)
    assert not torch.allclose(ours, adapter.forward([a]).logits, atol=1e-4)


@pytest.mark.parametrize("family", ["llava", "llava_next", "qwen2_5_vl", "idefics3"])
def test_only_the_patches_named_are_swapped_and_come_back(family):
    adapter = adapter_of(family)
    a, b, patches = two_rows(adapter)
    box = [p for p in patches if p in set(a.env_positions)]
    places = [i for i, token in enumerate(a.ids) if token == adapter.placeholder]
    own, donor = (adapter.inputs._new_features(row) for row in (a, b))
    mixed = adapter.patch_images(a, b, box)
    found = adapter.inputs._new_features(mixed)
    for place, ours, other, now in zip(places, own, donor, found, strict=True):
        assert torch.equal(now, other if place in box else ours)
    back = adapter.patch_images(mixed, a, box)
    assert torch.equal(adapter.inputs._new_features(back), own)
    assert adapter.patch_images(a, b, []) == a


def test_swapped_features_are_made_again_after_they_were_let_go():
    adapter = tiny_adapter("llava")
    a, b, patches = two_rows(adapter)
    mixed = adapter.patch_images(a, b, patches[:3])
    before = adapter.inputs._new_features(mixed)
    adapter.features._kept.clear()
    assert torch.equal(adapter.inputs._new_features(mixed), before)


@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_a_run_keeps_its_pictures_with_a_map_for_each_list_of_heads(family, tmp_path):
    result = evaluate(adapter_of(family), ImageBed(), out=tmp_path, **OPTIONS)
    record = result.image
    assert record.env_form == "image"
    assert (record.rows is None) == (family in TILED)
    assert 0 < record.n_box < record.n_patches
    assert [r.heads for r in record.reading] == ["all", "crossfit"]
    whole = record.reading[0]
    assert whole.n_items == 16
    assert 0 < whole.share < 1
    assert record.swap.n_items == 16
    kept = ImageExamples.load(tmp_path)
    assert len(kept.items) == 4
    for picture in kept.items:
        every = next(m for m in picture.maps if m.heads == "all")
        assert (every.rows, every.columns) == ((FINE, FINE) if family in TILED else (4, 4))
        assert sum(every.values) == pytest.approx(1, abs=1e-3)
    assert page_of(tmp_path).count("data:image/webp;base64,") == 4


def test_a_model_whose_projector_ignores_the_pixels_has_a_gain_of_exactly_0():
    adapter = tiny_adapter("llava")
    with torch.no_grad():
        for parameter in adapter.model.model.multi_modal_projector.parameters():
            parameter.zero_()
    bed = ImageBed()
    contexts = build_contexts(adapter, bed, bed.form("image"))
    assert len(contexts.distinct) == len(COLOURS) * 4  # the model is given every image
    result = evaluate(adapter, bed, **OPTIONS)
    assert result.gain.mean == result.gain.ci_low == result.gain.ci_high == 0.0
    assert result.image.swap.gain_swapped == 0.0


class ImageLadder(ImageBed):
    """Words, which images joined."""

    name = "pictured-ladder"
    forms = (EnvForm("word"),)
    image_forms = (EnvForm("image", modality="image"),)
    default_form = "word"
    ladder = True

    def prompt(self, frame, env, form):
        if form.name == "image":
            return super().prompt(frame, env, form)
        shown = f"w{30 + self.nouns.index(env)}"
        return text_prompt(Frame(frame.id, "w14 {env} " + frame.template), env, form.name, shown)


def test_a_ladder_of_a_model_that_reads_pictures_has_their_form():
    ladder = ImageLadder()
    result = evaluate(adapter_of("llava"), ladder, measures=("gain", "image"), **OPTIONS)
    assert [f.env_form for f in result.forms] == ["word", "image"]
    assert result.testbed.env_form == "word"
    assert result.testbed.hash == ladder.digest()
    assert result.forms[0].image is None
    assert result.image == result.forms[1].image
    assert result.image.hash == ladder.form_digest(ladder.image_forms[0])
    assert "skipped" not in result.protocol


def test_a_ladder_of_a_model_that_reads_text_only_says_what_it_left_out():
    model = text_adapter("gpt2")
    result = evaluate(model, TextLadder(), measures=("gain",), **OPTIONS)
    assert [f.env_form for f in result.forms] == ["word"]
    assert result.testbed.env_form == "word"
    assert "reads text only" in result.protocol["skipped"]["image"]
    with pytest.raises(BadInputError, match="reads text only"):
        evaluate(model, TextLadder(), forms=("image",), measures=("gain",), **OPTIONS)


class TextLadder(ImageLadder):
    """The same for a model with fewer words."""

    def target(self, noun):
        return f"w{40 + self.nouns.index(noun)}"
