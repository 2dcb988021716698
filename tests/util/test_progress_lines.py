"""Progress in a file: a line now and then, none for what ends soon."""

from __future__ import annotations

import pytest

from groundbench.util.progress import EVERY, Progress


def test_lines_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with Progress("reading", 100, clock=lambda: now[0]) as bar:
        bar.advance(10)
        assert capsys.readouterr().err == ""
        now[0] = EVERY
        bar.advance(10)
        assert capsys.readouterr().err == "reading: 20 of 100, 30 s, about 120 s left\n"
        bar.advance(10)
        assert capsys.readouterr().err == ""


def test_an_unknown_total_has_no_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with Progress("passes", 0, clock=lambda: now[0]) as bar:
        now[0] = EVERY
        bar.advance(20)
    assert capsys.readouterr().err == "passes: 20 so far, 30 s\n"
    with Progress("reading", 12, clock=lambda: now[0]) as bar:
        now[0] += EVERY
        bar.advance(0)
    assert capsys.readouterr().err == "reading: 0 of 12, 30 s\n"
