"""The measurements on image prompts: exact log-probabilities, shared prefixes, heads, ablation, lens; text as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.image_bed import COLOURS, ImageBed, Square
from helpers.lens_testbed import WordTestbed
from helpers.plain_calls import adapter_of, log_probability, plain, prompt
from helpers.tiny_vlms import tiny_adapter, tiny_vlm
from helpers.tolerances import assert_same, nats

from groundbench.adapters.vlm.adapter import VisionLanguage
from groundbench.adapters.vlm.image_features import Features
from groundbench.api.adapter import Encoded, HeadEdit
from groundbench.api.testbed import ImageSegment, Prompt, TextSegment
from groundbench.engine.batching import common_prefix
from groundbench.engine.contexts import FormContexts, build_contexts
from groundbench.engine.scoring import dry_plan, score
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.heads.saliency import SaliencyOptions, matched_items, measure_saliency
from groundbench.measures.lens.options import LensOptions

SEVERAL = ("llava", "llava_onevision", "qwen2_vl", "qwen2_5_vl", "idefics3", "paligemma", "gemma3")


def contexts_of(adapter: VisionLanguage, bed: ImageBed, form: str = "image") -> FormContexts:
    return build_contexts(adapter, bed, bed.form(form))


@contextmanager
def no_prefix(adapter: VisionLanguage) -> Iterator[VisionLanguage]:
    """The adapter as if it had no cache: every context runs whole."""
    info = adapter.info
    adapter.info = replace(info, capabilities=info.capabilities - {"prefix"})
    try:
        yield adapter
    finally:
        adapter.info = info


@pytest.mark.parametrize("family", SEVERAL)
@pytest.mark.parametrize("tokens", [1, 2])
def test_surprisals_are_the_sum_over_tokens_of_plain_calls_with_and_without_sharing(family, tokens):
    adapter, bed = adapter_of(family), ImageBed(frames=3, targets=tokens)
    contexts = contexts_of(adapter, bed)
    table = score(adapter, contexts)
    expected = []
    for shown, f in zip(contexts.env, contexts.frame, strict=True):
        text = " " + bed._frames[f].template
        expected += [
            -log_probability(family, adapter, Square(COLOURS[shown]), text, bed.target(noun)) for noun in bed.nouns
        ]
    assert_same(table.surprisal, expected)
    with no_prefix(adapter):
        assert_same(table.surprisal, score(adapter, contexts).surprisal)


def test_contexts_of_one_image_share_it_and_those_of_two_share_nothing():
    adapter, bed = tiny_adapter("llava"), ImageBed(frames=6)
    contexts = contexts_of(adapter, bed)
    adapter.features.computed = 0
    plan = dry_plan(adapter, contexts)
    prefixes = [contexts[b.contexts[0]].row.upto(b.start) for b in plan.batches]
    assert len(set(prefixes)) == len(bed.nouns)
    changes = sum(a != b for a, b in pairwise(prefixes))
    assert changes == len(bed.nouns) - 1, "batches of one image do not stand together"
    for batch in plan.batches:
        assert len({contexts[i].row.images for i in batch.contexts}) == 1
    every = sum(len(r) for r in contexts.rows)
    assert plan.tokens < every / 2
    score(adapter, contexts)
    assert adapter.features.computed == len(bed.nouns)


def test_rows_with_equal_tokens_and_other_images_are_not_the_same_context():
    adapter = adapter_of("llava")
    one, two = (adapter.encode([prompt(Square(c))])[0] for c in COLOURS[:2])
    assert one.ids == two.ids
    assert one != two
    assert common_prefix([one, two]) == one.image_spans[0][0]
    assert common_prefix([one, one]) >= one.image_spans[0][1]
    contexts = contexts_of(adapter, ImageBed(frames=1))
    assert len(contexts.distinct) == 4


def test_a_prefix_is_never_cut_inside_an_image():
    adapter = adapter_of("llava")
    picture = ImageSegment(Square(COLOURS[0]))
    long = Prompt("f", "n", "image", (picture, TextSegment(" w1")))
    text = Encoded(adapter.encode([long])[0].ids[:9])
    assert common_prefix([adapter.encode([long])[0], text]) <= 1


@pytest.mark.parametrize("family", ["llava", "qwen2_vl", "idefics3"])
def test_every_measurement_works_on_images(family):
    measures = ("gain", "heads", "ablation", "lens")
    result = evaluate(
        adapter_of(family),
        ImageBed(),
        forms=("all",),
        measures=measures,
        lens=LensOptions(steps=10),
        ablation=AblationOptions(draws=3),
    )
    assert result.failures == ()
    assert [f.env_form for f in result.forms] == ["image", "image-all"]
    boxed, whole = result.forms
    assert boxed.gain.mean == nats(whole.gain.mean, whole.gain.mismatched)
    assert boxed.heads[0].untrained_count is not None
    assert boxed.heads[0].null_count is not None
    assert whole.heads[0].null_count is None
    assert boxed.ablations
    assert boxed.lens is not None


@pytest.mark.parametrize("denominator", ["row", "total"])
@pytest.mark.parametrize("family", ["llava", "paligemma", "gemma3"])
def test_saliency_in_batches_is_that_of_each_item(family, denominator):
    adapter = adapter_of(family)
    items = matched_items(contexts_of(adapter, ImageBed(frames=3)))
    options = SaliencyOptions(denominator)
    together = measure_saliency(adapter, items, options)
    alone = [measure_saliency(adapter, [item], options) for item in items]
    for name in ("edge", "row_sum", "null_edge"):
        singly = np.concatenate([getattr(one, name) for one in alone])
        np.testing.assert_allclose(getattr(together, name), singly, rtol=1e-3, atol=1e-6)
    assert together.edge.max() > 0


def test_an_edited_head_is_its_part_of_the_output_projection_zeroed():
    adapter = adapter_of("llava")
    (row,) = adapter.encode([prompt(Square(COLOURS[0]))])
    heads, width = adapter.info.n_heads, adapter.info.mixers[0].d_head
    edited = adapter.forward([row] * heads, edit=HeadEdit(1 - torch.eye(heads))).logits
    for layer, head in adapter.info.head_index:
        model, processor = tiny_vlm("llava")
        projection = model.model.language_model.layers[layer - 1].self_attn.o_proj
        with torch.no_grad():
            projection.weight[:, head * width : (head + 1) * width] = 0
            wanted = model(**plain("llava", processor, Square(COLOURS[0]))).logits[0, -1]
        ours = edited[adapter.info.head_index.index((layer, head))]
        torch.testing.assert_close(ours, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("family", ["llava", "qwen2_vl", "qwen2_5_vl", "paligemma", "gemma3", "smolvlm"])
def test_text_alone_is_read_as_the_language_model_reads_it(family):
    adapter, bed = adapter_of(family), WordTestbed()
    adapter.forward(adapter.encode([prompt(Square(COLOURS[0]))]))  # Qwen-VL remembers an image's positions
    contexts = build_contexts(adapter, bed, bed.form("word"))
    table = score(adapter, contexts)
    with no_prefix(adapter):
        assert_same(table.surprisal, score(adapter, contexts).surprisal)
    fresh, processor = tiny_vlm(family)
    row = contexts[0].row
    ids = torch.tensor([processor.tokenizer(contexts[0].prompt.text)["input_ids"]])
    causal = {"token_type_ids": torch.ones_like(ids)} if family == "paligemma" else {}
    if family == "paligemma":
        ids = torch.cat([torch.tensor([[processor.tokenizer.bos_token_id]]), ids], 1)
        causal = {"token_type_ids": torch.ones_like(ids)}
    assert list(row.ids) == ids[0].tolist()
    with torch.no_grad():
        logp = fresh(input_ids=ids, **causal).logits[0, -1].log_softmax(-1)
    target = processor.tokenizer.convert_tokens_to_ids(bed.target(contexts.nouns[0]))
    assert table.surprisal[0] == nats(-float(logp[target]))


def test_few_features_are_kept_and_the_numbers_stay():
    adapter = tiny_adapter("llava")
    one = adapter.features.of(_known(adapter, Square(COLOURS[0])))
    small = Features(adapter.model, adapter.inputs.images, most_bytes=2 * one.nbytes)
    keys = [_known(adapter, Square(c)) for c in COLOURS]
    found = {key: small.of(key) for key in keys * 2}
    assert small.computed == 8
    assert len(small._kept) == 2
    for key, features in found.items():
        assert torch.equal(features, adapter.features.of(key))
    small.of(keys[-1])
    assert small.computed == 8


def _known(adapter: VisionLanguage, picture: Square) -> str:
    adapter.encode([prompt(picture)])
    return picture.key


def test_an_untrained_model_reads_the_same_rows():
    adapter = adapter_of("llava")
    other = adapter.untrained(1)
    assert isinstance(other, VisionLanguage)
    assert other.info.fingerprint != adapter.info.fingerprint
    row = adapter.encode([prompt(Square(COLOURS[0]))])
    assert not torch.allclose(other.forward(row).logits, adapter.forward(row).logits)


def test_half_precision():
    model, processor = tiny_vlm("llava")
    adapter = VisionLanguage(model.to(torch.bfloat16), processor, name="llava")
    assert adapter.encoder.fault is None
    assert {"prefix", "hooks"} <= adapter.info.capabilities
    assert adapter.info.dtype == "bfloat16"
