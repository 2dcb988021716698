"""`groundbench screen`: exit codes, what is printed, and the card's pages."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from groundbench.cli.commands.screen import screen as command
from groundbench.results.risk_card import RiskCard
from groundbench.screening.strengthening import StrengthenOptions

Say = Callable[..., tuple[int, str, str]]
SETS = "helpers.question_sets"
SET = ("--questions", f"{SETS}:scene_questions")


@pytest.fixture
def say(say: Say, monkeypatch: pytest.MonkeyPatch) -> Say:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return say


def test_a_model_that_meets_the_policy_exits_0_and_writes_its_card(say: Say, tmp_path: Path) -> None:
    out = tmp_path / "card"
    code, shown, err = say("screen", f"{SETS}:oracle", *SET, "--max-risk", "0.05", "--min-gain", "1", "--out", str(out))
    assert code == 0, err
    assert "Pass: all 3 requirements are met." in shown
    assert RiskCard.load(out).verdict.passed is True
    assert {p.name for p in out.iterdir()} >= {"card.json", "card.md", "card.html", "answers.parquet"}


def test_a_model_that_does_not_exits_3_and_says_why(say: Say, tmp_path: Path) -> None:
    code, shown, err = say("screen", f"{SETS}:always_yes", *SET, "--max-risk", "0.15", "--out", str(tmp_path))
    assert code == 3
    assert "Fail: 1 of 1 requirement not met: max_risk." in shown
    assert "fails max_risk ≤ 0.15" in err
    assert "the answer is always yes" in err
    assert (tmp_path / "card.html").is_file()  # the card of a model that fails is wanted most


def test_a_policy_asking_for_what_was_not_measured_exits_3(say: Say, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("max_risk: 1.0\nmax_risk_by_kind: {colour: 1.0}\n")
    code, _, err = say("screen", f"{SETS}:oracle", *SET, "--policy", str(policy))
    assert code == 3
    assert "max_risk_by_kind.colour" in err
    assert "not measured" in err


def test_without_a_policy_nothing_is_required(say: Say) -> None:
    code, shown, _ = say("screen", f"{SETS}:always_yes", *SET, "--signals", "probability")
    assert code == 0
    assert "No policy was given" in shown


def test_json_is_the_card_that_is_written(say: Say, tmp_path: Path) -> None:
    code, shown, _ = say("screen", f"{SETS}:unsure", *SET, "--limit", "60", "--json", "--out", str(tmp_path))
    assert code == 0
    assert json.loads(shown) == json.loads((tmp_path / "card.json").read_text())


def test_bad_input_is_one_sentence(say: Say, tmp_path: Path) -> None:
    for words, why in (
        (("--questions", "tea"), "unknown question set 'tea'"),
        ((*SET, "--signals", "gian"), "unknown signal 'gian'"),
        ((*SET, "--strengthen", "tea"), "--strengthen 'tea'"),
        ((*SET, "--policy", str(tmp_path / "none.yaml")), "no such file; expected a policy in YAML"),
        ((*SET, "--min-gain", "inf"), "--max-risk or --min-gain: field min_gain"),
        ((*SET, "--max-risk", "nan"), "--max-risk"),
    ):
        code, shown, err = say("screen", "helpers.question_sets:oracle", *words)
        assert (code, shown, err.count("\n")) == (2, "", 1)
        assert why in err
        # Before a model is opened: one that does not exist is not missed.
        assert say("screen", "helpers.no_such_module:model", *words)[2] == err


def test_draws_are_by_default_as_many_as_the_measurement_says() -> None:
    """The command repeats the number so that its help needs no torch."""
    said = inspect.signature(command).parameters["draws"].default
    assert said == StrengthenOptions().draws == 20


def test_a_dry_run_tells_the_cost_and_runs_one_batch(say: Say) -> None:
    code, shown, _ = say("screen", f"{SETS}:oracle", *SET, "--dry-run", "--json")
    plan = json.loads(shown)
    assert code == 0
    assert (plan["questions"], plan["groups"], plan["traced"]) == (120, 60, 0)
    assert plan["prompts"] < 120 * 4  # distinct prompts: scenes come back as other evidence


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in {"meta", "link", "circle", "line", "path", "rect", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_self_contained_and_the_markdown_has_the_same_numbers(say: Say, tmp_path: Path) -> None:
    say("screen", f"{SETS}:unsure", *SET, "--max-risk", "0.5", "--generate", "--out", str(tmp_path))
    html, text = ((tmp_path / name).read_text() for name in ("card.html", "card.md"))
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "http" not in html.replace("http-equiv", "")
    card = RiskCard.load(tmp_path)
    rate = f"{card.errors[0].error.value:.3f}"
    assert rate in html
    assert rate in text
    assert text.startswith("# Risk card of unsure\n")
    assert re.search(r"^\| probability \|.*\| baseline \|$", text, re.M)
