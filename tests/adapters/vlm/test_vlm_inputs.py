"""Prompts that cannot be read, models that cannot be opened: one sentence each."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.image_bed import BOX, COLOURS, ImageBed, Square
from helpers.plain_calls import adapter_of, plain, prompt
from helpers.tiny_models import tiny_adapter as text_adapter
from helpers.tiny_vlms import tiny_vlm
from helpers.tolerances import assert_same, tolerance
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from groundbench.adapters.huggingface import open_causal
from groundbench.adapters.vlm import families
from groundbench.adapters.vlm import model_inputs as vlm_model
from groundbench.adapters.vlm.adapter import VisionLanguage
from groundbench.adapters.vlm.loading import open_vlm
from groundbench.api.adapter import ImageGrid
from groundbench.api.errors import BadInputError, UnencodableError, UnsupportedModelError
from groundbench.api.testbed import ImageSegment, Prompt, TextSegment
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score
from groundbench.registry import open_model

CHAT = (
    "{% for m in messages %}{% if m['role'] == 'user' %}w1 {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }}{% endif %}{% endfor %} w2 "
    "{% else %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endif %}{% endfor %}"
)
LLAVA_FOLDER = "llava"


@dataclass(frozen=True)
class Broken:
    """An image whose file is damaged, missing, or of another kind."""

    key: str
    found: bytes | Path | Image.Image

    def load(self) -> Image.Image:
        if isinstance(self.found, Path):
            return Image.open(self.found).convert("RGB")
        if isinstance(self.found, bytes):
            return Image.open(io.BytesIO(self.found)).convert("RGB")
        return self.found


def png() -> bytes:
    data = io.BytesIO()
    Square(COLOURS[0]).load().save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (Broken("cut.png", png()[:90]), "frame 'f' with 'noun' shown as 'image': the image cut.png cannot be read: "),
        (Broken("text.png", b"no image at all"), "the image text.png cannot be read: cannot identify"),
        (Broken("gone.png", Path("nowhere/gone.png")), "the image gone.png cannot be read: .*No such file"),
        (Broken("cmyk", Image.new("CMYK", (64, 64))), "the image cmyk is CMYK, expected an image in RGB"),
        (Broken("thin", Image.new("RGB", (400, 1))), "refuses an image of 400 x 1"),
    ],
    ids=lambda v: getattr(v, "key", ""),
)
def test_damaged_images(source, sentence):
    with pytest.raises(BadInputError, match=sentence):
        adapter_of("qwen2_vl").encode([Prompt("f", "noun", "image", (ImageSegment(source), TextSegment(" w1")))])


def test_text_that_stands_for_an_image():
    with pytest.raises(BadInputError, match=r"its text holds '<image>', .* besides its 1 image\(s\)"):
        adapter_of("llava").encode([prompt(Square(COLOURS[0]), " w1 <image> w2")])
    with pytest.raises(BadInputError, match=r"besides its 0 image\(s\)"):
        adapter_of("llava").encode([Prompt("f", "noun", "word", (TextSegment("w1 <image>"),))])


def test_a_text_model_refuses_pictures():
    bed = ImageBed()
    with pytest.raises(BadInputError, match=r"reads text only, but frame 'f0' with 'noun0' .* holds an image"):
        build_contexts(text_adapter("llama"), bed, bed.form("image"))


@pytest.mark.parametrize("family", ["paligemma", "llava_onevision"])
def test_families_that_read_one_image(family):
    image = ImageSegment(Square(COLOURS[0]))
    with pytest.raises(UnsupportedModelError, match=rf"holds 2 images, .* \({family}\) of which one image"):
        adapter_of(family).encode([Prompt("f", "noun", "image", (image, image, TextSegment(" w1")))])


def test_paligemma_reads_images_before_text():
    parts = (TextSegment("w1 "), ImageSegment(Square(COLOURS[0])), TextSegment(" w2"))
    with pytest.raises(UnsupportedModelError, match=r"paligemma.* reads images before any text"):
        adapter_of("paligemma").encode([Prompt("f", "noun", "image", parts)])


def test_a_box_that_the_processor_crops_away():
    outside = Square(COLOURS[0], (0.0, 0.2, 0.1, 0.4), (200, 50))
    with pytest.raises(UnencodableError, match=r"lies outside of what llava's processor keeps"):
        adapter_of("llava").encode([prompt(outside)])
    assert adapter_of("qwen2_vl").encode([prompt(outside)])[0].env


def test_an_unknown_family_is_read_whole_and_refuses_boxes(monkeypatch):
    monkeypatch.setattr(vlm_model, "family_of", lambda _: families.Family())
    model, processor = tiny_vlm("llava")
    adapter = VisionLanguage(model, processor, name="newcomer")
    picture = Square(COLOURS[0])
    (row,) = adapter.encode([prompt(picture, boxed=False)])
    with torch.no_grad():
        wanted = model(**plain("llava", processor, picture)).logits[0, -1]
    torch.testing.assert_close(adapter.forward([row]).logits[0], wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))
    assert len(row.env_positions) == 16
    assert not row.grids
    with pytest.raises(UnsupportedModelError, match=r"where the patches of a llava image stand .* is not known"):
        adapter.encode([prompt(picture)])


def test_families_that_see_ahead_are_not_read_as_if_they_did_not(monkeypatch):
    monkeypatch.setattr(vlm_model, "family_of", lambda _: families.Family(families.one_grid))
    model, processor = tiny_vlm("gemma3")
    adapter = VisionLanguage(model, processor, name="gemma3")
    assert "gemma3: with an image its logits differ by" in (adapter.encoder.fault or "")
    assert adapter.encoder.fault in adapter.info.notes
    with pytest.raises(UnsupportedModelError, match=r"gemma3: with an image its logits differ"):
        adapter.encode([prompt(Square(COLOURS[0]))])


def test_a_processor_of_another_model():
    model, processor = tiny_vlm("llava")
    processor.patch_size = 4
    adapter = VisionLanguage(model, processor, name="llava")
    with pytest.raises(UnsupportedModelError, match=r"gives the image .* 64 tokens, but the model 16 features"):
        adapter.encode([prompt(Square(COLOURS[0]))])


def test_a_chat_template_puts_the_image_into_the_users_turn():
    model, processor = tiny_vlm("llava")
    processor.chat_template = CHAT
    adapter = VisionLanguage(model, processor, name="llava", chat=True)
    assert adapter.encoder.fault is None
    picture = Square(COLOURS[0])
    row, text = adapter.encode([prompt(picture, "w3 w4"), Prompt("f", "n", "word", (TextSegment("w3 w4"),))])
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Continue the text."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "w3 w4"}]},
    ]
    rendered = processor.apply_chat_template(turns, tokenize=False, continue_final_message=True)
    made = processor(images=[picture.load()], text=[rendered], return_tensors="pt", add_special_tokens=False)
    assert list(row.ids) == made["input_ids"][0].tolist()
    assert text.ids == tuple(t for t in row.ids if t != adapter.placeholder)
    assert {row.ids[p] for p in row.env_positions} == {adapter.placeholder}


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "--chat was asked for, but its processor has no chat template"),
        (CHAT.replace("<image> ", "w9 "), r"puts 0 image\(s\) into a turn that holds 1"),
        ("{{ nothing.of['this'] }}", "its chat template cannot be used"),
    ],
)
def test_chat_templates_that_cannot_be_used(template, sentence):
    model, processor = tiny_vlm("llava")
    processor.chat_template = template
    with pytest.raises(BadInputError, match=sentence):
        VisionLanguage(model, processor, name="llava", chat=True).encode([prompt(Square(COLOURS[0]))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llava")
    model, processor = tiny_vlm("llava")
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def test_a_folder_is_opened_by_the_registry(folder):
    assert open_causal(str(folder)) is None
    opened = open_model(str(folder))
    assert isinstance(opened, VisionLanguage)
    row = opened.encode([prompt(Square(COLOURS[0]))])
    ours = opened.forward(row).logits
    torch.testing.assert_close(ours, adapter_of("llava").forward(row_of()).logits)
    again = open_model(str(folder))
    assert (again.info.fingerprint, again.info.tokenizer) == (opened.info.fingerprint, opened.info.tokenizer)


def row_of() -> list:
    return adapter_of("llava").encode([prompt(Square(COLOURS[0]))])


def test_a_folder_without_its_processor(folder, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    for name in ("processor_config.json", "preprocessor_config.json"):
        (bare / name).unlink(missing_ok=True)
    with pytest.raises(BadInputError, match=r"bare: "):
        open_vlm(str(bare))


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantized(folder, bits):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    opened = open_vlm(str(folder), quantize=bits)
    assert opened.info.dtype.startswith(bits)
    assert opened.encoder.fault is None
    assert "hooks" in opened.info.capabilities


def surprisals(adapter: VisionLanguage) -> np.ndarray:
    """[12 contexts x 4 nouns] of two tokens each, nats: images of four colours in three frames."""
    bed = ImageBed(frames=3, targets=2)
    return score(adapter, build_contexts(adapter, bed, bed.form("image"))).surprisal


def test_surprisals_of_8_bits_are_near_those_of_the_whole_weights(folder):
    """Within 0.3 nats, where surprisals spread over more than one: a weight is rounded to 1/127 of its row's largest.

    Not equal either: the language model's layers are quantized, whatever is done to the vision tower.
    """
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    whole, quantized = (surprisals(open_vlm(str(folder), **how)) for how in ({}, {"quantize": "8bit"}))
    assert np.ptp(whole) > 1
    assert tolerance(whole) < np.abs(quantized - whole).max() < 0.3


@pytest.mark.parametrize("memory", [None, {"cpu": "100KB"}], ids=["cpu", "disk"])
def test_a_model_that_is_spread_gives_the_same_numbers(folder, memory):
    """Without accelerators all of it lands on the CPU; with little memory there, what does not fit lies on the disk."""
    spread = open_vlm(str(folder), device_map="auto", max_memory=memory)
    assert isinstance(spread, VisionLanguage)
    assert ("disk" in getattr(spread.model, "hf_device_map", {}).values()) == (memory is not None)
    assert_same(surprisals(spread), surprisals(open_vlm(str(folder))))


def test_other_pixels_are_another_processor(folder):
    model, processor = tiny_vlm("llava")
    one = VisionLanguage(model, processor, name="llava").info.tokenizer
    processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    assert VisionLanguage(model, processor, name="llava").info.tokenizer != one


unit = st.floats(0, 1)


@given(st.integers(1, 30), st.integers(1, 30), unit, unit, unit, unit)
def test_a_box_touches_the_cells_that_it_overlaps(rows, columns, a, b, c, d):
    x0, x1, y0, y1 = min(a, b), max(a, b), min(c, d), max(c, d)
    grid = ImageGrid(5, rows, columns, columns + 1, (-0.25, 0.1, 1.5, 0.9))
    down, across = grid.patches_touching((x0, y0, x1, y1))
    for cells, n, low, high, first, last in (
        (down, rows, y0, y1, 0.1, 0.9),
        (across, columns, x0, x1, -0.25, 1.5),
    ):
        for k in range(n):
            size = (last - first) / n
            shared = min(high, first + (k + 1) * size) - max(low, first + k * size)
            if abs(shared) > 1e-5 * size:
                assert (k in cells) == (shared > 0)
    positions = [p for s, e in grid.spans(down, across) for p in range(s, e)]
    assert positions == [5 + r * (columns + 1) + c for r in down for c in across]


def test_equal_boxes_of_one_grid_move_by_whole_patches():
    adapter = adapter_of("llava")
    (row,) = adapter.encode([prompt(Square(COLOURS[0]))])
    assert len(row.env_positions) == 1
    assert row.boxes == (BOX,)
    assert replace(row, boxes=()) != row
