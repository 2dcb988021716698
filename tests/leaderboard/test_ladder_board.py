"""The ladder's board: ordered by the score on shared forms, from items only; shown as image, heat table and table."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.fake_ladder import write_ladder
from helpers.pages import Page, assert_inert

from groundbench.leaderboard import RefusedError, build_site, open_board, read_submission
from groundbench.leaderboard.ladder_ranks import LadderItems, rank_ladders
from groundbench.leaderboard.submission.reference import installed_references

GAINS = {"word": 8.0, "gloss": 5.0, "translation-fr": 3.0, "emoji": 1.0}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Three models: one that grounds, one that copies, and one measured on two forms only."""
    root = tmp_path_factory.mktemp("ladder")
    write_ladder(root / "entries", "grounded", GAINS, 1, 270_000_000, "gemma3")
    write_ladder(root / "entries", "copier", {f: g if f == "word" else 0.1 for f, g in GAINS.items()}, 2, 135_000_000)
    write_ladder(root / "entries", "partial", {"word": 8.0, "gloss": 2.0}, 3, 10**9)
    return open_board(root, installed_references)


@pytest.fixture(scope="module")
def site(board):
    assert build_site(board, board.root / "site") == []
    return board.root / "site"


def test_the_board_is_ordered_by_the_score_on_shared_forms(site):
    entries = json.loads((site / "board.json").read_text())["entries"]
    heads = {e["folder"]: e for e in entries if e["form"] == "word"}
    assert {k: v["rank"] for k, v in heads.items()} == {"grounded": 1, "partial": 2, "copier": 3}
    assert heads["grounded"]["ladder_score"] == pytest.approx((5 + 3 + 1) / 8 / 3, rel=0.1)
    assert heads["copier"]["ladder_score"] == pytest.approx(0.1 / 8, abs=0.01)
    assert heads["partial"]["ladder_forms"] == "gloss"


def test_the_first_screen_answers_who_is_best_and_whether_to_ship(site):
    text = Page((site / "index.html").read_text()).text
    assert "Best grounded: Grounded (ladder score 0.3" in text
    assert "ahead of all 2 others" in text
    assert "May you ship it? No answer yet: Grounded was not screened here." in text
    assert_inert(site)


def test_a_reference_is_shown_without_a_rank_and_ranks_nobody(board, tmp_path):
    about = board.about.model_copy(update={"references": ("copier",)})
    assert build_site(replace(board, about=about), tmp_path / "site") == []
    page = (tmp_path / "site" / "index.html").read_text()
    assert '<a href="models/copier.html">Copier</a><small>reference</small>' in page
    assert "ahead of Partial (0." in Page(page).text
    assert "Not ranked: a reference." in Page((tmp_path / "site" / "models" / "copier.html").read_text()).text
    heads = [e for e in json.loads((tmp_path / "site" / "board.json").read_text())["entries"] if e["form"] == "word"]
    assert {e["folder"]: (e["rank"], e["reference"]) for e in heads} == {
        "grounded": (1, False),
        "partial": (2, False),
        "copier": (None, True),
    }


def test_the_heat_table_names_forms_that_were_not_measured(site):
    page = Page((site / "index.html").read_text())
    shades = [a["class"] for t, a in page.elements if t == "td" and (a.get("class") or "").startswith("shade")]
    assert len(shades) == 3 + 3 + 1
    assert "not measured" in page.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(score=0.9), "its forms' mean is"),
        (lambda s: s["forms"][0].update(ratio=0.9), "but gain / gain_word is"),
        (lambda s: s["forms"][0].update(env_form="poem"), "which was not measured"),
        (lambda s: s["forms"][0].update(env_form="word"), "or 'word' itself"),
        (lambda s: s["forms"][0].update(n_nouns=100), "counts 100 nouns"),
        (lambda s: s.update(ci_low=0.0, ci_high=0.9), "an interval of the ladder score"),
    ],
)
def test_a_ladder_score_that_does_not_follow_is_refused(board, tmp_path, change, message):
    folder = write_ladder(tmp_path, "mine", {"word": 8.0, "gloss": 5.0, "emoji": 1.0}, 1)
    path = folder / "ladder" / "result.json"
    document = json.loads(path.read_text())
    change(document["ladder_score"])
    path.write_text(json.dumps(document))
    with pytest.raises(RefusedError) as raised:
        read_submission(folder, installed_references)
    assert message in str(raised.value)


def test_a_score_that_the_items_do_not_give_is_refused(tmp_path):
    folder = write_ladder(tmp_path, "mine", {"word": 8.0, "gloss": 5.0}, 1)
    path = folder / "ladder" / "result.json"
    document = json.loads(path.read_text())
    form = document["ladder_score"]["forms"][0]
    form["gain"] *= 1.1
    form["ratio"] *= 1.1
    document["ladder_score"] |= {
        "score": form["ratio"],
        "ci_low": form["ratio"] - 0.01,
        "ci_high": form["ratio"] + 0.01,
    }
    form["ci_low"], form["ci_high"] = form["ratio"] - 0.01, form["ratio"] + 0.01
    path.write_text(json.dumps(document))
    with pytest.raises(RefusedError, match="its items give the ladder score"):
        read_submission(folder, installed_references)


def test_without_its_items_a_ladder_has_no_rank(tmp_path):
    folder = write_ladder(tmp_path / "entries", "mine", {"word": 8.0, "gloss": 5.0}, 1)
    (folder / "ladder" / "items.parquet").unlink()
    board = open_board(tmp_path, installed_references)
    assert build_site(board, tmp_path / "site") == []
    (entry,) = (e for e in json.loads((tmp_path / "site" / "board.json").read_text())["entries"] if e["form"] == "word")
    assert (entry["rank"], entry["not_ranked"]) == (None, "without its items")


def simulated(seed: int, forms: dict[str, float]) -> LadderItems:
    """Ratios of one truth with noise of nouns and frames, and the influence that goes with it."""
    rng = np.random.default_rng(seed)
    ratios, influence = {}, {}
    for form, truth in forms.items():
        items = truth + 0.2 * rng.standard_normal((40, 1)) + 0.1 * rng.standard_normal((1, 8))
        ratios[form] = float(items.mean())
        influence[form] = ((items - items.mean()) / items.size).astype(np.float32)
    return LadderItems(ratios, influence)


def test_models_of_one_truth_rarely_part():
    parted = 0
    for seed in range(200):
        items = [simulated(10 * seed + i, {"gloss": 0.5, "emoji": 0.1}) for i in range(5)]
        parted += any(r.rank > 1 for r in rank_ladders(items, range(5)))
    assert parted / 200 < 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


def test_models_are_compared_on_the_forms_they_share():
    """A model of one easy form is not ahead of one that is as good on it and was asked harder forms too."""
    both = simulated(1, {"gloss": 0.6, "emoji": 0.0})
    easy = LadderItems({"gloss": both.ratios["gloss"]}, {"gloss": both.influence["gloss"]})
    assert [r.rank for r in rank_ladders([easy, both], "ab")] == [1, 1]
    worse = simulated(2, {"gloss": 0.2})
    assert [r.rank for r in rank_ladders([worse, both], "ab")] == [2, 1]


def test_copies_count_once():
    one, two = simulated(1, {"gloss": 0.9}), simulated(2, {"gloss": 0.2})
    found = rank_ladders([one] * 5 + [two], ["a"] * 5 + ["b"])
    assert [r.rank for r in found] == [1] * 5 + [2]
