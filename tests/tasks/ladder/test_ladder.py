"""The ladder: frames that any noun and any pretrained model can use."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundbench.api.testbed import EnvSegment, TextSegment
from groundbench.registry import load_testbed
from groundbench.tasks.validation import find_faults


def test_frames_keep_the_rules_of_the_protocol() -> None:
    bed = load_testbed("ladder")
    assert (bed.natural_language, bed.frame_kind, bed.default_form) == (True, "shared", "word")
    assert find_faults(bed) == []
    assert len(bed.nouns) == 100
    assert all(len(bed.frames(form)) == 10 for form in bed.forms)


def test_word_form_shows_the_word_and_asks_for_it() -> None:
    bed = load_testbed("ladder")
    word = bed.form("word")
    frame = bed.frames(word)[0]
    before, shown, after = bed.prompt(frame, bed.noun("cup"), word).segments
    assert isinstance(before, TextSegment)
    assert shown == EnvSegment("cup")
    assert isinstance(after, TextSegment)
    assert bed.target(bed.noun("cup")) == "cup"
    assert bed.prompt(frame, bed.noun("cup"), word).join == " "


def test_frames_share_their_first_line_and_have_several_layouts() -> None:
    bed = load_testbed("ladder")
    frames = [f.template for f in bed.frames(bed.form("word"))]
    shared = frames[0].partition("\n")[0]
    assert all(f.startswith(f"{shared}\n") for f in frames)
    layouts = {next(c for c in f[len(shared) + 1 :] if not c.isalpha() and c != " ") for f in frames}
    assert len(layouts) >= 3


def test_prompts_are_short_and_targets_are_not_merged(shared_data: Path) -> None:
    """With a real BPE tokenizer: at most 40 tokens, and prompt + join + target splits where the target begins."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(shared_data / "models/tokenizers/gpt2/tokenizer.json"))
    bed = load_testbed("ladder")
    word = bed.form("word")
    for frame in bed.frames(word):
        for noun in bed.nouns:
            text = bed.prompt(frame, noun, word).text
            ids = tokenizer.encode(text).ids
            assert len(ids) <= 40
            assert tokenizer.encode(f"{text} {bed.target(noun)}").ids[: len(ids)] == ids
