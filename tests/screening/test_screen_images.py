"""A screening of questions about images: the same measurements, with patches for evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.image_bed import BOX, COLOURS, Square
from helpers.tiny_vlms import tiny_adapter

from groundbench import Screener, screen
from groundbench.adapters.vlm.adapter import VisionLanguage
from groundbench.api.question import Question
from groundbench.api.testbed import ImageSegment, Prompt, TextSegment
from groundbench.screening.screen import ScreenOptions, default_sets
from groundbench.screening.strengthening import StrengthenOptions

WORDS = ("w31", "w32", "w33", "w34")


def pictures(n: int = 24) -> tuple[Question, ...]:
    """Questions for the colour of a square: a grey image for no evidence, another colour for other evidence."""

    def prompt(i: int, colour: tuple[int, int, int]) -> Prompt:
        square = ImageSegment(Square(colour, ground=80 + i), BOX)
        return Prompt(f"q{i}", "square", "image", (square, TextSegment(f" w1 w{2 + i % 3} w5")))

    return tuple(
        Question(
            id=f"q{i}",
            kind="colour",
            form="image",
            group=f"picture-{i // 2}",
            prompt=prompt(i, COLOURS[i % 4]),
            without=prompt(i, (80 + i,) * 3),
            mismatched=(prompt(i, COLOURS[(i + 1) % 4]),),
            choices=WORDS,
            target=i % 4,
        )
        for i in range(n)
    )


@pytest.fixture(scope="module")
def llava() -> VisionLanguage:
    return tiny_adapter("llava")


def test_pictures_are_screened_like_text(llava: VisionLanguage, tmp_path: Path) -> None:
    head = llava.info.head_index[0]
    options = ScreenOptions(heads=(head,), strengthen=StrengthenOptions((1.5,), draws=1))
    card = screen(llava, pictures(), options, out=tmp_path)
    assert card.questions.forms == ("image",)
    assert {s.name: s.missing for s in card.signals if s.missing} == {}
    assert all(s.n == card.questions.splits["fit"] + card.questions.splits["test"] for s in card.signals)
    assert card.gains[0].gain.value != 0.0
    assert card.strengthen is not None
    question = pictures()[0]
    live = Screener(llava, heads=(head,)).risk(question.prompt, WORDS[0])
    image = question.prompt.segments[0]
    assert isinstance(image, ImageSegment)
    by_image = Screener(llava, heads=(head,)).risk(" w1 w2 w5", WORDS[0], evidence=image.image)
    assert {s.name for s in live.signals} == {"heads-share", "heads-attention", "heads-support"}
    assert np.isfinite([s.value for s in by_image.signals]).all()
    assert by_image != live  # all patches are the evidence there, those of the object's box here


def test_a_model_that_reads_images_is_asked_about_pictures(llava: VisionLanguage) -> None:
    assert default_sets(llava) == ("image-scenes",)
