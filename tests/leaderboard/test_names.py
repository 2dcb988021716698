"""Names of strangers: nothing invisible, nothing that passes for another, no folder that a system cannot have."""

from __future__ import annotations

import unicodedata

import pytest
import yaml
from helpers.submissions import board_at, write_submission
from hypothesis import given
from hypothesis import strategies as st

from groundbench.leaderboard import RefusedError, open_board
from groundbench.leaderboard.submission.card import read_card
from groundbench.leaderboard.submission.files import check_name
from groundbench.leaderboard.submission.names import check_name_text, ignorable, skeleton

INVISIBLE = [
    "\u200b",
    "\u200d\u200c",
    "\u00ad",
    "\u3164",
    "\u2800",
    "\ufeff",
    "\u115f",
    "\U000e0041",
    "\u034f",
    "\ufe0f",
]


@pytest.mark.parametrize("char", INVISIBLE)
def test_characters_that_are_drawn_as_nothing_are_refused(char):
    for text in (char, f"gpt{char}2", f" {char}gpt2"):
        with pytest.raises(RefusedError, match=r"invisible character|no letter"):
            check_name_text(text, "f", "model")


@pytest.mark.parametrize("mark", list("\u200f\u061c\u202e\u2066\u0007\u0000\u2028\ud800\ue000"))
def test_controls_and_marks_of_direction_are_refused(mark):
    with pytest.raises(RefusedError, match="invisible character"):
        check_name_text(f"gpt2{mark}", "f", "model")


@pytest.mark.parametrize("text", ["...", "—", "!?", "😀", "   "])
def test_a_name_has_a_letter_or_digit(text):
    with pytest.raises(RefusedError, match="no letter or digit"):
        check_name_text(text, "f", "model")


@pytest.mark.parametrize("text", ["SmolӀM2", "gрt2", "Ρythia", "Llаma-3", "ОLMo", "Qwеn"])
def test_letters_of_two_scripts_in_one_name_are_refused(text):
    with pytest.raises(RefusedError, match="which look alike"):
        check_name_text(text, "f", "model")


@pytest.mark.parametrize(
    "text", ["Qwen3 通义千问", "日本語モデル LLaMA", "한국어 Mamba", "Модель один", "naïve café 7B", "µ-LM 3"]
)
def test_names_in_any_language_are_taken(text):
    assert check_name_text(text, "f", "model")


def test_compatible_forms_of_a_letter_are_one():
    assert check_name_text("ＧＰＴ２", "f", "model") == "GPT2"
    assert check_name_text("ﬁne-tuned", "f", "model") == "fine-tuned"


def test_marks_are_not_stacked():
    with pytest.raises(RefusedError, match="stacks marks"):
        check_name_text("gpt" + "\u0301" * 20, "f", "model")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SmolLM2", "SmoILM2"),
        ("gpt2-mini", "GPT2 MINI"),
        ("LLaMA", "Ilama"),
        ("model-10", "modeI-lO"),
        ("modern", "modem"),
    ],
)
def test_names_that_look_alike_have_one_skeleton(one, other):
    assert skeleton(one) == skeleton(other)


@given(st.text(max_size=30))
def test_any_text_is_taken_or_refused_in_one_line(text):
    said, found = "", "x"
    try:
        found = check_name_text(text, "f", "model")
    except RefusedError as error:
        said = str(error)
    assert said == "" or said.isprintable()
    assert any(unicodedata.category(c)[0] in "LN" for c in found)
    assert not any(ignorable(c) for c in found)


@pytest.mark.parametrize("name", ["con", "nul.txt", "com1", "lpt9.x", "aux", "prn", "a.", "a..b", "com0"])
def test_folders_that_windows_does_not_know_are_refused(name):
    with pytest.raises(RefusedError, match="cannot be used"):
        check_name(name, "entries")


@pytest.mark.parametrize(
    "url",
    [
        "https://user@x.org/a",
        "https://user:pw@x.org/a",
        "https://:pw@x.org/a",
        "https://x.org/a?token=abc",
        "https://x.org/a#b",
        "https://x.org/a b",
        "https://gооgle.com",
        "ftp://x.org",
        "https://",
        "//x.org/a",
        "https://x.org/<script>",
    ],
)
def test_addresses_of_weights_are_plain(url):
    card = {"model": "m", "licence": "MIT", "hardware": "cpu", "submitter": "s", "commit": "abcdef1", "weights": url}
    with pytest.raises(RefusedError, match="field 'weights'"):
        read_card(yaml.safe_dump(card, allow_unicode=True).encode(), "card.yaml")


def test_the_boards_own_name_is_for_its_own_entries(tmp_path):
    board = board_at(tmp_path)
    for slug in ("ours", "theirs"):
        folder = write_submission(board.entries, slug, 1, n_nouns=4)
        text = (folder / "card.yaml").read_text()
        (folder / "card.yaml").write_text(text.replace("test factory", "Ground Bench"))
    (tmp_path / "board.yaml").write_text("submitter: groundbench\nown: [ours]\n")
    own, other = open_board(tmp_path, board.installed).read()
    assert own.slug == "ours"
    assert str(other).startswith("theirs/card.yaml: field 'submitter': 'Ground Bench' is this board's own name")
