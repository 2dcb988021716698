"""The program's frame: what it imports, how it fails, and that every example in its help can be typed."""

from __future__ import annotations

import errno
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import ValidationError

from groundbench.api.errors import BadInputError, GateFailedError, GroundbenchError, NonFiniteLogitsError
from groundbench.cli import lazy, main
from groundbench.cli.app import COMMANDS
from groundbench.cli.failures import explain
from groundbench.results.run import Result

HEAVY = ("torch", "transformers", "numpy", "scipy", "pyarrow", "PIL", "yaml", "jinja2")


def imported_by(code: str) -> set[str]:
    """The top-level modules that a fresh Python has imported after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join({{m.partition('.')[0] for m in sys.modules}}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import groundbench",
        "import groundbench.cli",
        "from groundbench.cli import main; main(['--help'])",
        "from groundbench.cli import main; main(['--version'])",
        "from groundbench.cli import main; main(['no-such-command'])",
    ],
)
def test_the_program_itself_imports_nothing_heavy(code: str) -> None:
    found = imported_by(code)
    assert not found & set(HEAVY)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_needs_no_torch(name: str) -> None:
    assert not imported_by(f"from groundbench.cli import main; main(['{name}', '--help'])") & {"torch", "transformers"}


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^│ {name} ", shown, re.MULTILINE) for name in COMMANDS)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield path, command
        return
    for name, sub in inner.items():
        yield from leaves(sub, (*path, name))


def every_command() -> list[tuple[tuple[str, ...], Any]]:
    return [leaf for name in COMMANDS for leaf in leaves(lazy.load(name), (name,))]


@pytest.mark.parametrize(
    ("path", "command"), every_command(), ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_every_command_explains_itself(path: tuple[str, ...], command: Any) -> None:
    assert command.help, "no docstring"
    options = [p for p in command.params if p.param_type_name == "option"]
    assert [p.name for p in options if not p.help] == []
    assert len(example_lines(command)) >= 2 or len(path) == 2, "fewer than two examples"


def example_lines(command: Any) -> list[str]:
    text = re.sub(r"\[/?(?:dim|bold)\]", "", command.epilog or "")
    return [line.strip() for line in text.splitlines() if line.strip().startswith("groundbench ")]


def readme_lines() -> set[str]:
    """The command lines of README.md's code blocks, without their remarks."""
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S))
    return {line.partition(" #")[0].strip() for line in blocks.splitlines() if line.startswith("groundbench ")}


EXAMPLES = sorted({line for _, command in every_command() for line in example_lines(command)} | readme_lines())


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_parses(line: str) -> None:
    """The words of an example are accepted by the command's own parser, without running it."""
    words = shlex.split(line.partition(" > ")[0])[1:]
    command = lazy.load(words[0])
    words = words[1:]
    while getattr(command, "commands", None):
        command, words = command.commands[words[0]], words[1:]
    with suppress(typer.Exit):  # an option that answers at once, like --list
        command.make_context(command.name, words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "groundbench: No such command 'rnu'. Did you mean 'run'? (see groundbench --help)"),
        (["run"], "groundbench run: Missing argument 'MODEL' (see groundbench run --help)"),
        (["tasks", "shwo"], "groundbench tasks: No such command 'shwo'. Did you mean 'show'?"),
        (["tasks", "list", "--jsn"], "groundbench tasks list: No such option: --jsn"),
        (["run", "m", "--limit", "many"], "groundbench run: Invalid value for '--limit'"),
        (["run", "m", "--limit", "1"], "groundbench run: Invalid value for '--limit'"),
        (["tasks", "show", "childwrld"], "groundbench: unknown testbed 'childwrld'"),
        (["tasks", "show", "childworld", "--noun", "zebra"], "has no noun 'zebra'"),
        (["tasks", "show", "childworld", "--env-form", "smell"], "has no ENV form 'smell'"),
        (["run", "m", "--max-memory", "20GiB"], "expected DEVICE=SIZE"),
        (
            ["run", "m", "--measure", "gian"],
            "unknown measure 'gian': expected some of gain, heads, causal",
        ),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the program with a command that raises, one that a second call goes on with or one that it does not."""

    def run(error: BaseException, *flags: str, resumes: bool = False) -> int:
        def body() -> None:
            raise error

        monkeypatch.setitem(COMMANDS, "doctor", COMMANDS["doctor"]._replace(resumes=resumes))
        monkeypatch.setattr("groundbench.cli.commands.doctor.doctor", body)
        return main([*flags, "doctor"])

    return run


def no_space() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device", "runs/a/result.json")


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadInputError("the file has no nouns"), 2, "groundbench: the file has no nouns"),
        (GroundbenchError("the run stopped"), 1, "groundbench: the run stopped"),
        (NonFiniteLogitsError("NaN logits for frame 'f1'"), 1, "groundbench: NaN logits for frame 'f1'"),
        (GateFailedError("gate G > 1 failed"), 3, "groundbench: gate G > 1 failed"),
        (
            no_space(),
            1,
            "groundbench: no space left on device while writing runs/a/result.json",
        ),
        (
            caused(RuntimeError("save failed"), no_space()),
            1,
            "groundbench: no space left on device while writing runs/a",
        ),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            1,
            "groundbench: no space left on device while writing the results",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "runs/a"), 2, "groundbench: runs/a: Permission denied"),
        (MemoryError(), 1, "groundbench: out of memory"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, Exception) else None,
)
def test_errors_are_one_sentence(
    fail: Callable[..., int], error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(error) == code
    shown = capsys.readouterr().err
    assert shown.startswith(said)
    assert len(shown.strip().splitlines()) == 1


def test_debug_shows_the_traceback(fail: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(BadInputError("bad"), "--debug") == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.strip().endswith("groundbench: bad")


def test_debug_by_variable(
    fail: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDBENCH_DEBUG", "1")
    assert fail(BadInputError("bad")) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_nobody_foresaw_keeps_its_traceback(
    fail: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(ZeroDivisionError("division by zero")) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.strip().endswith("groundbench: unforeseen ZeroDivisionError, please report it: division by zero")


@pytest.mark.parametrize("resumes", [False, True])
def test_interrupted_where_nothing_was_kept(
    fail: Callable[..., int], resumes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(KeyboardInterrupt(), resumes=resumes) == 130
    said = "; nothing was kept (--out DIR keeps what is computed)" if resumes else ""
    assert capsys.readouterr().err.endswith(f"groundbench: interrupted{said}\n")


@pytest.mark.parametrize("keeps", [False, True])
def test_interrupted_with_a_run_directory(
    keeps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, out: Path, **__: object) -> None:
        if keeps:
            out.mkdir()
            (out / "manifest.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr("groundbench.evaluation.evaluate.evaluate", stopped)
    assert main(["run", "anything", "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err.endswith("and the same command goes on from it\n") == keeps


def test_a_schema_error_is_one_sentence() -> None:
    with pytest.raises(ValidationError) as caught:
        Result.model_validate({"schema_version": "1.1", "model": 3})
    found = explain(caught.value)
    assert found is not None
    assert (
        found.sentence
        == "Result: field model: Input should be a valid dictionary or instance of ModelRecord, found '3'"
    )


def test_every_option_is_a_variable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GROUNDBENCH_TASKS_SHOW_NOUN", "zebra")
    assert main(["tasks", "show", "childworld"]) == 2
    assert "'zebra'" in capsys.readouterr().err
