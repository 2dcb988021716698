"""Suggestions of programs: runs to complete, what a corpus allows, another model's card, the demo's last lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.fake_results import fake_trajectory

from groundbench.cli.commands.leaderboard import _similar_names
from groundbench.cli.commands.tasks_import import TESTBEDS, suggestions
from groundbench.cli.completion import complete_run
from groundbench.registry import testbed_names
from groundbench.tasks.corpora.noun_selection import NounSelection, Verdict
from groundbench.tasks.inventories import SHIPPED


def test_runs_complete_and_other_folders_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("runs/mine/result.json", "runs/seed/step-000010/result.json", "cards/a/card.json", "other/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert complete_run("") == ["cards", "runs"]
    assert complete_run("ru") == ["runs"]
    assert complete_run("runs/") == ["runs/mine", "runs/seed"]
    assert complete_run("runs/m") == ["runs/mine"]
    assert complete_run(f"{tmp_path}/car") == [f"{tmp_path}/cards"]
    assert complete_run("nowhere/") == complete_run("x") == []


def _selection(counts: list[tuple[int, int]], at_least: int = 100) -> NounSelection:
    made = [Verdict(f"n{i}", *c, None if min(c) >= at_least else "too rare") for i, c in enumerate(counts)]
    return NounSelection("x", None, at_least, tuple(made))


@pytest.mark.parametrize(
    ("counts", "env", "lan", "said"),
    [
        ([(200, 200)] * 30, 9000, 9000, "measure its 30 nouns"),
        ([(200, 200)] * 3 + [(40, 12)] * 20, 9000, 9000, "with --at-least 12 there are 23"),
        ([(3, 2)] * 5, 90, 90, "with --at-least 2 there are 5"),
        ([(0, 50)] * 30, 90, 9000, "too few to measure"),
        ([(200, 200)] * 5, 9000, 9000, "intervals will be wide"),
        ([(0, 200)] * 30, 0, 9000, "nothing is shown"),
        ([(0, 0)], 0, 0, "nothing is said"),
    ],
)
def test_an_import_suggests_what_its_corpus_allows(
    counts: list[tuple[int, int]], env: int, lan: int, said: str
) -> None:
    lines = suggestions(_selection(counts), env, lan, Path("corpora/x"))
    assert said in " ".join(lines)
    assert ("groundbench train" in lines[0]) == (lan > 0)


@pytest.mark.parametrize(
    ("inventory", "options"),
    [
        ("inventory", ("trajectory RUN --at-least", "corpora/x --at-least")),
        ("cdi-es", ("trajectory RUN --testbed childes-es --at-least", "corpora/x --nouns cdi-es --at-least")),
        ("cdi-en", ("trajectory RUN --testbed childes-en-all --at-least", "corpora/x --nouns cdi-en --at-least")),
        ("mine.yaml", ("trajectory RUN --testbed YOURS --at-least", "corpora/x --nouns mine.yaml --at-least")),
    ],
)
def test_commands_suggested_are_of_the_nouns_that_were_counted(inventory: str, options: tuple[str, str]) -> None:
    lines = suggestions(_selection([(40, 12)] * 30), 9000, 9000, Path("corpora/x"), inventory)
    assert all(option in " ".join(lines) for option in options)
    assert set(TESTBEDS) == {"inventory", *SHIPPED}
    testbeds = {option.removeprefix(" --testbed ") for option in TESTBEDS.values() if option}
    assert testbeds <= set(testbed_names())


@pytest.mark.parametrize(
    ("card", "result", "alike"),
    [
        ("SmolLM2-135M", "SmolLM2-135M-Instruct.Q4_1", True),
        ("gpt2-mini", "gpt2-mini/seed-42/step-001500", True),
        ("HuggingFaceTB/SmolLM2 135M", "smollm2-135m", True),
        ("Llama-3-8B", "SmolLM2-135M", False),
        ("---", "m", False),
    ],
)
def test_names_of_models_are_compared_by_letters_and_digits(card: str, result: str, alike: bool) -> None:
    assert _similar_names(card, result) is alike


def test_the_demo_ends_with_a_few_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from groundbench.cli.tables.demo import show_demo, show_first

    monkeypatch.setenv("COLUMNS", "80")
    runs = [fake_trajectory(0, name="gpt2-mini"), fake_trajectory(1, name="gpt2-mini-shuffled", final=0.0)]
    show_demo(runs)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 14
    assert all(len(line) <= 80 for line in lines)
    cut = runs[0].last.ablations[0]
    text = " ".join(line.strip() for line in lines)
    assert f"falls from {cut.gain_original:.2f} to {cut.gain_ablated:.2f} nats" in text
    assert f"with as many others cut it is {cut.gain_control:.2f}" in text
    show_first(runs[0], Path("runs/demo/report.html"))
    told = capsys.readouterr().err
    assert "runs/demo/report.html" in told
    assert f"gpt2-mini after {runs[0].points[-1].step:,} steps" in told


def test_a_mistyped_form_or_measure_is_told_the_near_one() -> None:
    from groundbench.api.errors import BadInputError
    from groundbench.evaluation.options import Options
    from groundbench.registry import load_testbed

    with pytest.raises(BadInputError, match="did you mean 'word'"):
        load_testbed("ladder").form("wrod")
    with pytest.raises(BadInputError, match="did you mean 'gain'"):
        Options(measures=("gian",))
