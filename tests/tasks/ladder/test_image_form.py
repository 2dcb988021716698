"""The ladder's form of images: it joins the written ones and changes none of them (protocol §13)."""

from __future__ import annotations

import pytest

from groundbench.api.errors import UnsupportedModelError
from groundbench.api.testbed import ImageSegment, TextSegment
from groundbench.evaluation.defaults import choose_forms, choose_measures, why_unread
from groundbench.evaluation.shuffled_forms import ShuffledForms
from groundbench.registry import load_testbed
from groundbench.tasks.ladder.image_form import BOX, IMAGE, THING
from groundbench.tasks.validation import find_faults

WRITTEN = "63d6ba8c68d47517"
"""The hash of the ladder before images joined it: results on it stay comparable."""


@pytest.fixture(scope="module")
def ladder():
    return load_testbed("ladder")


class Reader:
    """An adapter that reads images, or does not."""

    def __init__(self, reads: bool) -> None:
        self.reads = reads

    def encode(self, prompts):
        if any(isinstance(s, ImageSegment) for p in prompts for s in p.segments) and not self.reads:
            raise UnsupportedModelError("m: it reads text only")
        return [None for _ in prompts]


def test_the_hash_of_the_written_forms_is_what_it_was(ladder):
    assert ladder.digest() == WRITTEN
    assert ladder.image_forms == (IMAGE,)
    assert IMAGE not in ladder.forms
    assert ladder.form_digest(IMAGE) not in {WRITTEN, *(ladder.form_digest(f) for f in ladder.forms)}


def test_a_picture_stands_before_the_words_of_the_frame_and_nothing_else_differs(ladder):
    word = ladder.form("word")
    for frame, written in zip(ladder.frames(IMAGE), ladder.frames(word), strict=True):
        assert frame == written
        dog, cat = (ladder.prompt(frame, ladder.noun(w), IMAGE) for w in ("dog", "cat"))
        picture, text = dog.segments
        assert isinstance(picture, ImageSegment)
        assert picture.box == BOX
        assert text == cat.segments[1] == TextSegment(frame.template.replace("{env}", THING))
        assert picture.image.key != cat.segments[0].image.key


def test_the_form_has_the_nouns_that_are_drawn_and_says_why_others_are_not(ladder):
    shown, left_out = ladder.nouns_of(IMAGE), ladder.excluded(IMAGE)
    assert len(shown) >= 60
    assert len(shown) + len(left_out) == 100
    assert all(left_out.values())
    with pytest.raises(KeyError):
        ladder.prompt(ladder.frames(IMAGE)[0], ladder.noun(next(iter(left_out))), IMAGE)


def test_every_form_asks_for_the_word_itself(ladder):
    assert all(ladder.target_in(n, IMAGE) == n.word for n in ladder.nouns)


def test_the_ladder_with_its_pictures_has_no_faults(ladder):
    assert find_faults(ladder) == []


def test_a_model_that_reads_pictures_is_measured_on_them_too(ladder):
    reads, text_only = Reader(True), Reader(False)
    written = list(ladder.forms)
    for names in ((), ("all",)):
        assert choose_forms(ladder, names, reads) == [*written, IMAGE]
        assert choose_forms(ladder, names, text_only) == written
    assert choose_forms(ladder, ("image",), text_only) == [IMAGE]  # asked for by name: refused when it is encoded
    assert choose_forms(ladder, ("word",), reads) == [ladder.form("word")]
    assert why_unread(text_only, ladder, IMAGE) == "m: it reads text only"
    assert choose_measures(ladder, None) == ("gain", "heads", "causal", "image")


def test_the_null_control_shows_another_nouns_picture(ladder):
    shuffled = ShuffledForms(ladder)
    assert shuffled.image_forms == (IMAGE,)
    frame, dog = ladder.frames(IMAGE)[0], ladder.noun("dog")
    other = shuffled.shown_as(dog, IMAGE)
    assert other != dog
    shown, asked = shuffled.prompt(frame, dog, IMAGE), ladder.prompt(frame, other, IMAGE)
    assert shown.segments[0].image.key == asked.segments[0].image.key
    assert shown.env == "dog"
