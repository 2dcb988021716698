"""Screenings on the board: a table for each set of questions, and what the first screen says of shipping."""

from __future__ import annotations

import json

import pytest
from helpers.cards import made_up_card
from helpers.fake_ladder import write_ladder
from helpers.pages import Page, assert_inert
from helpers.submissions import CARD

from groundbench.leaderboard import RefusedError, build_site, open_board, read_submission
from groundbench.leaderboard.submission.reference import installed_references
from groundbench.results.run import Result


def screened(entries, slug: str, card) -> None:
    """An entry of a screening alone."""
    card.save(entries / slug / "scenes" / "card.json")
    (entries / slug / "card.yaml").write_text(CARD.format(name=slug.title()))


def text_of(root) -> str:
    assert build_site(open_board(root, installed_references), root / "site") == []
    assert_inert(root / "site")
    return Page((root / "site" / "index.html").read_text()).text


def test_cards_of_the_same_questions_stand_in_one_table_fewest_errors_first(tmp_path):
    screened(tmp_path / "entries", "worse", made_up_card(0.4996, "sha256:a"))
    screened(tmp_path / "entries", "better", made_up_card(0.2, "sha256:b", passed=True))
    screened(tmp_path / "entries", "given", made_up_card(0.6, "sha256:c", mode="B"))
    text = text_of(tmp_path)
    table = text[text.index("scenes · 200 questions") :]
    assert table.index("Better") < table.index("Worse")
    assert "49.96\u202f%" in text
    assert "answers given, 60\u202f% wrong" in text
    assert "passed" in text
    page = Page((tmp_path / "site" / "models" / "better.html").read_text()).text
    assert "Risk card: scenes" in page
    assert json.loads((tmp_path / "site" / "data" / "better~scenes~card.json").read_text())["errors"]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (
            {"error": 0.2, "passed": True},
            "By its submitter’s screening, yes: Mine met its policy, with 20\u202f% wrong",
        ),
        (
            {"error": 0.2, "passed": False},
            "No: Mine failed its screening, with 20\u202f% wrong answers on",
        ),
        (
            {"error": 0.2, "passed": False, "max_risk": 0.15},
            "with 20\u202f% wrong answers on scenes (15\u202f% were allowed)",
        ),
        ({"error": 0.1, "passed": False, "max_risk": 0.15}, "scenes (its card says what was not met)"),
        ({"error": 0.2, "passed": False, "max_risk": 7}, "scenes (its card says what was not met)"),
        (
            {"error": 0.2},
            "depends on what you allow: Mine gave 20\u202f% wrong answers on scenes, and no",
        ),
        ({"error": 0.2, "mode": "B"}, "was screened on given answers only"),
    ],
)
def test_the_best_model_is_answered_for_by_its_own_screening(tmp_path, card, said):
    folder = write_ladder(tmp_path / "entries", "mine", {"word": 8.0, "gloss": 5.0}, 1)
    fingerprint = Result.load(folder / "ladder").model.fingerprint
    made_up_card(**card, fingerprint=fingerprint).save(folder / "scenes" / "card.json")
    assert said in text_of(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["errors"][0]["error"].update(value=-0.2), "a share lies between 0 and 1"),
        (lambda c: c["errors"][0]["error"].update(low=0.31), "outside its own interval"),
        (lambda c: c["errors"][0]["error"].update(n=10**6), "of 1000000 answers, but there are 200 questions"),
        (lambda c: c["errors"][0].update(kind="colour"), "errors[0] is not over all questions"),
        (lambda c: c["errors"][0].update(chance=1.5), "a share lies between 0 and 1"),
        (lambda c: c["signals"][0]["auroc_within"].update(value=1.2), "a share lies between 0 and 1"),
        (lambda c: c["questions"].update(n_groups=300), "of 200 questions"),
        (lambda c: c["model"].update(fingerprint=""), "no fingerprint"),
    ],
)
def test_a_card_that_cannot_be_so_is_refused(tmp_path, change, message):
    screened(tmp_path, "mine", made_up_card())
    path = tmp_path / "mine" / "scenes" / "card.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(RefusedError) as raised:
        read_submission(tmp_path / "mine", installed_references)
    assert message in str(raised.value)
