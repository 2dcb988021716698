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


def test_many_short_stages_are_not_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """No stage lasts half a minute, all of them do; after a rest it begins to count anew."""
    now = [1000.0]
    for i in range(9):
        with Progress(f"stage {i}", 2, clock=lambda: now[0]) as bar:
            for _ in range(2):
                now[0] += EVERY / 6
                bar.advance()
    said = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == ["stage 2", "stage 5", "stage 8"]
    now[0] += 100 * EVERY
    with Progress("later", 2, clock=lambda: now[0]) as bar:
        bar.advance()
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


def test_the_estimate_of_resumed_work_leaves_out_what_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with Progress("training", 2400, clock=lambda: now[0]) as bar:
        bar.skip(2000)
        now[0] = EVERY
        bar.advance(100)
    assert capsys.readouterr().err == "training: 2,100 of 2,400, 30 s, about 90 s left\n"
