"""Ranks that a stranger may try to buy: by another's weights, failed items, another form, another's screening."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.cards import made_up_card
from helpers.fake_results import fake_result
from helpers.submissions import board_at, edit, references, write_submission

from groundbench.leaderboard import RefusedError, build_site, open_board, read_submission
from groundbench.results.run import Result

N = 30


def ranks(root: Path, own: str = "") -> dict[str, tuple[str, str]]:
    """Build the board, with some of its folders its own; return each headline's rank, and why it has none."""
    (root / "board.yaml").write_text(f"own: [{own}]\n")
    assert build_site(open_board(root, references), root / "site") == []
    with (root / "site" / "board.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {r["folder"]: (r["rank"], r["not_ranked"]) for r in rows if r["id"].count("~") == 1}


def fill(root: Path, **gains: float) -> None:
    board = board_at(root)
    for seed, (slug, gain) in enumerate(gains.items()):
        write_submission(board.entries, slug, seed, items=True, gain=gain, n_nouns=N)


def test_who_bears_the_weights_of_the_best_has_no_rank_of_it(tmp_path):
    """Its own entry is the board's measurement of these weights: who measured otherwise stands beside, unranked."""
    fill(tmp_path, best0=5.0, good1=3.0, aaa2=1.5)
    edit(tmp_path / "entries" / "aaa2", "model.fingerprint", "sha256:00000000")
    found = ranks(tmp_path, own="best0, good1")
    assert [found[s][0] for s in ("best0", "good1")] == ["1", "2"]
    assert found["aaa2"] == ("", "best0 has the same weights, and measured otherwise")


def test_a_stranger_who_bears_a_strangers_weights_neither_gains_nor_harms(tmp_path):
    fill(tmp_path, best0=5.0, good1=3.0, aaa2=1.5)
    edit(tmp_path / "entries" / "aaa2", "model.fingerprint", "sha256:00000000")
    found = ranks(tmp_path)
    assert [found[s][0] for s in ("best0", "good1", "aaa2")] == ["1", "2", "3"]
    page = (tmp_path / "site" / "models" / "aaa2.html").read_text()
    assert "disputed: best0 has the same weights, and measured otherwise" in page


def test_a_copy_is_still_one_model(tmp_path):
    fill(tmp_path, best0=5.0, good1=3.0)
    board = board_at(tmp_path)
    write_submission(board.entries, "copy", 0, items=True, gain=5.0, n_nouns=N)
    found = ranks(tmp_path)
    assert [found[s][0] for s in ("best0", "copy", "good1")] == ["1", "1", "2"]


def test_items_that_failed_are_not_left_out_of_a_rank(tmp_path):
    fill(tmp_path, best0=5.0, good1=3.0)
    edit(tmp_path / "entries" / "best0", "gain.n_failed", 7)
    (tmp_path / "entries" / "best0" / "run" / "items.parquet").unlink()
    found = ranks(tmp_path)
    assert found == {"good1": ("1", ""), "best0": ("", "7 items failed")}


@pytest.mark.parametrize("own", ["good1", "good1, some2"])
def test_another_form_of_more_nats_does_not_stand_before_the_boards_own(tmp_path, own):
    fill(tmp_path, easy0=9.0, good1=3.0, some2=2.0)
    path = tmp_path / "entries" / "easy0" / "run" / "result.json"
    result = Result.load(path)
    result.of_form(result.headline.model_copy(update={"env_form": "word"})).save(path)
    (path.parent / "items.parquet").unlink()
    found = ranks(tmp_path, own)
    assert found["easy0"] == ("", "of the form word")
    assert found["good1"][0] == "1"
    page = (tmp_path / "site" / "index.html").read_text()
    assert "Best grounded: Synthetic good1" in page
    assert page.index("Synthetic good1") < page.index("Synthetic easy0")
    assert "rank 1 of the form word" in page


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "few", [3], {"a": 1}])
def test_a_sample_of_mismatches_is_a_number(tmp_path, value):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=4)
    edit(folder, "protocol.mismatches", value)
    with pytest.raises(RefusedError, match=r"protocol.mismatches is .*; expected all, or a number from 1"):
        read_submission(folder, references)


def test_more_mismatches_than_were_drawn_are_a_choice(tmp_path):
    folder = write_submission(tmp_path, "mine", 1, items=True, n_nouns=6)
    edit(folder, "protocol.mismatches", 2)
    with pytest.raises(RefusedError, match="holds 5 mismatched items beside one matched item"):
        read_submission(folder, references)


def test_a_sample_of_all_mismatches_makes_no_group_of_its_own(tmp_path):
    fill(tmp_path, best0=5.0, good1=3.0)
    edit(tmp_path / "entries" / "good1", "protocol.mismatches", N + 400)
    assert [ranks(tmp_path)[s][0] for s in ("best0", "good1")] == ["1", "2"]


@pytest.mark.parametrize(("by", "heard"), [("stranger", False), ("best0", True)])
def test_nobody_else_screens_the_best_model(tmp_path, by, heard):
    fill(tmp_path, best0=5.0, good1=3.0)
    folder = tmp_path / "entries" / by
    (folder / "scenes").mkdir(parents=True)
    if by == "stranger":
        (folder / "card.yaml").write_text((tmp_path / "entries" / "good1" / "card.yaml").read_text())
    card = made_up_card(error=0.01, passed=True, fingerprint=fake_result(0, n_nouns=N).model.fingerprint)
    (folder / "scenes" / "card.json").write_text(card.model_dump_json())
    ranks(tmp_path)
    page = (tmp_path / "site" / "index.html").read_text()
    assert ("By its submitter’s screening, yes" in page) is heard
    assert ("was not screened here" in page) is not heard


NAMES = {
    "invisible": ("family", "llama\u200b", r"holds the invisible character U\+200B"),
    "two-scripts": ("family", "ll\u0430ma", "mixes letters of CYRILLIC and LATIN"),
    "decomposed": ("family", "me\u0301ta", "is not in its plain form"),
    "full-width": ("architecture", "\uff27\uff30\uff34", "is not in its plain form"),
    "endless": ("family", "W" * 3_900, "expected at most 120"),
    "long-print": ("fingerprint", "f" * 3_900, "expected at most 120"),
    "stacked": ("name", "g" + "\u0301" * 9, "stacks marks"),
}


@pytest.mark.parametrize(("field", "text", "said"), NAMES.values(), ids=NAMES)
def test_a_models_own_names_cannot_be_taken_for_others(tmp_path, field, text, said):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=4)
    edit(folder, f"model.{field}", text)
    with pytest.raises(RefusedError, match=said) as raised:
        read_submission(folder, references)
    assert str(raised.value).isascii()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["scenes\u2060"], r"U\+2060"),
        (["s" * 3_900], "the longest of 3,900 characters; expected at most 100, of 120"),
        ([f"s{i}" for i in range(20_000)], "'questions.sets' has 20,000 names"),
    ],
)
def test_question_sets_bear_few_plain_names(tmp_path, names, said):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=4)
    card = json.loads(made_up_card().model_dump_json())
    card["questions"]["sets"] = names
    (folder / "run" / "card.json").write_text(json.dumps(card))
    with pytest.raises(RefusedError, match=said):
        read_submission(folder, references)


def test_a_screening_without_its_answers_stands_behind_the_boards_own(tmp_path):
    fill(tmp_path, good0=5.0, some1=3.0)
    for slug, error in (("good0", 0.3), ("some1", 0.01)):
        (tmp_path / "entries" / slug / "scenes").mkdir()
        card = made_up_card(error=error, fingerprint=f"sha256:{slug}")
        (tmp_path / "entries" / slug / "scenes" / "card.json").write_text(card.model_dump_json())
    ranks(tmp_path, own="good0")
    page = (tmp_path / "site" / "index.html").read_text()
    table = page[page.index("scenes · 200 questions") :]
    assert table.index("Synthetic good0") < table.index("Synthetic some1")
    assert table.count("answers not submitted") == 1
