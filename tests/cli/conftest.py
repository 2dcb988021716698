"""What the tests of commands share: a way to call the program, and a small ladder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from groundbench.cli import main

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scoring"))

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run `groundbench WORDS`: its exit code and what it wrote to stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.fixture
def bed(tmp_path: Path) -> str:
    """A YAML testbed of several forms."""
    from ladder_bed import LADDER

    path = tmp_path / "rungs.yaml"
    path.write_text(LADDER)
    return str(path)
