"""The help page at 80 columns: nothing is cut, no type of Python is shown, a group begins with what is used first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from groundbench.cli import lazy, main
from groundbench.cli.app import COMMANDS
from groundbench.cli.help_examples import example_commands
from groundbench.cli.help_page import OTHERS, USED_FIRST

COLUMNS = 80


def pages(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from pages(inner, (*path, name))


EVERY = [page for name in COMMANDS for page in pages(lazy.load(name), (name,))]
GROUPS = [(path, command) for path, command in EVERY if getattr(command, "commands", {})]


def by_path(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else ""


def shown(path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert main([*path, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("path", "command"), EVERY, ids=by_path)
def test_nothing_is_cut_and_no_type_is_shown(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(path, capsys, monkeypatch)
    assert max(map(len, text.splitlines())) <= COLUMNS
    rows = [line[1:] for line in text.splitlines() if line.startswith("│")]
    for param in command.params:
        for option in (*param.opts, *param.secondary_opts):
            if option.startswith("--no-"):
                assert re.search(rf"{re.escape(option)}\b", text), option
            elif option.startswith("--") and not param.hidden:
                assert any(re.match(rf"[ *]*{re.escape(option)}(?![\w-])|.* {re.escape(option)} ", r) for r in rows)
    assert not re.findall(r"<(?!unk>)[a-z]", text)  # but a corpus' own word
    assert "92233" not in text


@pytest.mark.parametrize(("path", "command"), EVERY, ids=by_path)
def test_an_example_is_one_line_that_can_be_copied(path: tuple[str, ...], command: Any) -> None:
    lines = example_commands(command.epilog or "")
    assert lines or len(path) > 1
    assert [line for line in lines if len(line) > COLUMNS - 2] == []


@pytest.mark.parametrize(("path", "command"), GROUPS, ids=by_path)
def test_a_group_begins_with_the_commands_of_its_first_examples(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(path, capsys, monkeypatch)
    before = ["groundbench", *path]
    lines = [line.split() for line in example_commands(command.epilog)]
    first = [words[len(before)] for words in lines if words[: len(before)] == before]
    order = [name for name in re.findall(r"^│ ([a-z][\w-]*) ", text, re.M) if name in command.commands]
    assert order[0] == first[0]
    assert order == list(command.commands)
    assert order[1] == next((name for name in first if name != first[0]), order[1])
    if len(order) > 2:
        assert text.index(USED_FIRST) < text.index(f"│ {order[0]} ") < text.index(OTHERS) < text.index(f"│ {order[2]} ")


def test_a_refusal_is_still_read() -> None:
    """`--no-x` is told in the sentence of `--x` and parsed as before, also after the page was written."""
    command = lazy.load("run")
    ctx = command.make_context("run", ["m", "--no-causal-same-pairs"])
    assert ctx.params["causal_same_pairs"] is False
    command.get_help(ctx)
    assert command.make_context("run", ["m", "--no-causal-same-pairs"]).params["causal_same_pairs"] is False
