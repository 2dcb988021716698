"""Every snippet and command of the documents runs, or is read by the program that it calls."""

from __future__ import annotations

import contextlib
import re
import shlex
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
import typer
import yaml
from helpers.doc_world import names
from helpers.documents import commands, fences
from helpers.source_tree import ROOT, pyproject

from groundbench.cli import lazy, main

HUB = "HuggingFaceTB/SmolLM2-135M"
COMMANDS = sorted({(fence.page, command) for fence, command in commands()})
SLOW = ("docs/how-to/causes.md",)
"""Pages whose Python measures a whole ladder."""
PYTHON = {page: [f for f in fences("python") if f.page == page] for page in sorted({f.page for f in fences("python")})}
RUNS = ("run", "screen", "models check", "tasks validate", "tasks list", "tasks show", "compare", "train --list")
"""Commands that are carried out with a tiny model in MODEL's place; `run` and `screen` as --dry-run."""
NEEDS_MORE = re.compile(
    r"image|coco|\.gguf|runs/vlm|lm-eval|policy\.yaml|demo|module:|my_module|photos|seed-42|childes"
)


@pytest.mark.parametrize("page", [pytest.param(p, marks=pytest.mark.slow) if p in SLOW else p for p in PYTHON])
def test_python_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch) -> None:
    """In the tests' small world: a tiny model of two layers has the name of the model from the Hub."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    space = names(tmp_path)
    for fence in PYTHON[page]:
        if fence.by is not None:
            continue
        code = fence.body.replace(HUB, space["MODEL"])
        with contextlib.redirect_stdout(None):
            exec(compile("\n" * fence.line + code, str(ROOT / page), "exec"), space)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_every_command_is_one_that_its_program_takes(page, command, tmp_path, monkeypatch) -> None:
    words = shlex.split(re.split(r" \|\| | > ", command)[0])
    if words[0] == "groundbench":
        parse(words[1:])
    elif words[0] == "pip":
        for extra in re.findall(r"\[([\w,-]+)\]", command):
            assert {*extra.split(",")} <= {*pyproject()["project"]["optional-dependencies"]}, page
    else:
        script = ROOT / next(w for w in words if w.startswith("scripts/"))
        assert script.is_file(), page
        assert script.stat().st_mode & 0o100, page


def parse(words: list[str]) -> None:
    """Let a command's own parser read the words, without running it."""
    command = lazy.load(words[0])
    words = words[1:]
    while getattr(command, "commands", None) and words[0] != "--help":
        command, words = command.commands[words[0]], words[1:]
    with suppress(typer.Exit):
        command.make_context(command.name, words)


CHEAP = sorted(
    {
        (fence.page, command)
        for fence, command in commands()
        if fence.by is None
        and any(command.startswith(f"groundbench {name}") for name in RUNS)
        and not NEEDS_MORE.search(command)
    }
)


def test_some_commands_are_carried_out() -> None:
    assert len(CHEAP) >= 12


OWN = [fence for fence in fences() if fence.by is not None]


@pytest.mark.parametrize("fence", OWN, ids=lambda f: f"{f.page}:{f.line}")
def test_a_block_with_a_test_of_its_own_is_known_there(fence) -> None:
    """Its page's name stands in the file that is said to carry it out."""
    assert fence.by.endswith(".py")
    assert Path(fence.page).name in (ROOT / fence.by).read_text()


@pytest.mark.parametrize(("page", "command"), CHEAP)
def test_a_command_does_what_it_says(page, command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = names(tmp_path)["MODEL"]
    save_kitchen(tmp_path)
    words = [model if w in ("MODEL", HUB) else w for w in shlex.split(command)[1:]]
    if words[0] in ("run", "screen"):
        words.append("--dry-run")
        if "--limit" not in words:
            words += ["--limit", "2" if words[0] == "run" else "20"]
    assert main(words) in (0, None), command


def save_kitchen(folder: Path) -> None:
    """The testbed of docs/how-to/add_testbed.md."""
    (body,) = [f.body for f in fences("yaml") if f.page.endswith("add_testbed.md")]
    (folder / "kitchen.yaml").write_text(body)


def test_the_testbed_of_the_how_to_can_be_measured(tmp_path) -> None:
    import groundbench

    save_kitchen(tmp_path)
    model = names(tmp_path)["MODEL"]
    result = groundbench.evaluate(model, str(tmp_path / "kitchen.yaml"), measures=("gain",))
    assert result.testbed.n_nouns == 3
    assert result.gain is not None


def test_the_policy_of_the_how_to_is_one(tmp_path) -> None:
    from groundbench.screening.policy import Policy

    (body,) = [f.body for f in fences("yaml") if f.page.endswith("screen.md") and "min_questions" in f.body]
    assert not Policy.model_validate(yaml.safe_load(body)).empty


@pytest.mark.parametrize("fence", fences("yaml", "toml"), ids=lambda f: f"{f.page}:{f.line}")
def test_data_snippets_can_be_read(fence) -> None:
    found = yaml.safe_load(fence.body) if fence.language == "yaml" else tomllib.loads(fence.body)
    assert found


@pytest.mark.parametrize("fence", fences("sql"), ids=lambda f: f"{f.page}:{f.line}")
def test_queries_are_run_by_their_own_tests(fence) -> None:
    assert fence.body.startswith("-- name: ")  # tests/export/test_queries.py runs each by its name
    assert Path(fence.page).name in (ROOT / "tests/export/test_queries.py").read_text()
