"""Child processes that read strangers' files: whatever one entry does to them, the others are read."""

from __future__ import annotations

import os
import sys
from itertools import groupby
from pathlib import Path

import pytest

from groundbench.leaderboard import RefusedError
from groundbench.leaderboard.submission import isolated
from groundbench.leaderboard.submission.isolated import attempt, read_isolated


def misbehave(folder: Path) -> str:
    """Misbehave in the way that the folder's name asks for."""
    match folder.name.split("-")[0]:
        case "exit":
            os._exit(3)
        case "abort":
            os.abort()
        case "key":
            raise KeyError("form")
        case "evil":
            raise ValueError("\x1b[31mred\n::error::boo " + "x" * 10_000)
        case "refused":
            raise RefusedError(f"{folder.name}: no")
        case "memory":
            return str(len(bytearray(4 << 30)))
    return folder.name


def read(*names: str, processes: int = 2) -> list[str]:
    return [str(found) for _, found in read_isolated(misbehave, [Path(n) for n in names], processes)]


def test_results_come_in_order_whatever_happens_between():
    names = ["a", "exit-1", "b", "abort-1", "key", "c", "evil", "refused", "d"]
    found = read(*names)
    assert [f for f in found if f in "abcd"] == ["a", "b", "c", "d"]
    assert "cannot be read at all" in found[1]
    assert "cannot be read at all" in found[3]
    assert found[4] == "'key': cannot be read (\"KeyError: 'form'\")"
    assert found[7] == "refused: no"
    assert all(f.isprintable() and len(f) < 400 for f in found)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited on Linux only")
def test_memory_is_limited():
    found = read("memory-1", "after", processes=1)
    assert "of memory to read" in found[0]
    assert found[1] == "after"


def test_a_board_without_entries_reads_nothing():
    assert read() == []


def test_many_entries_pass_through_few_processes():
    names = [f"n{i}" for i in range(200)]
    assert read(*names) == names


def test_a_process_is_replaced_after_some_entries(monkeypatch):
    monkeypatch.setattr(isolated, "READS", 3)
    found = [int(v) for _, v in read_isolated(process_of, [Path(str(i)) for i in range(10)], 1)]
    assert [len(list(g)) for _, g in groupby(found)] == [3, 3, 3, 1]


def process_of(folder: Path) -> int:
    return os.getpid()


def test_any_exception_is_the_entrys_own(monkeypatch):
    for error in (
        KeyError("x"),
        RecursionError(),
        ZeroDivisionError(),
        MemoryError(),
        UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
    ):

        def job(folder, error=error):
            raise error

        kind, said = attempt(job, Path("entry"))
        assert kind == "refused"
        assert said.startswith("'entry': ")


def test_the_limit_of_waiting_ends_an_entry(monkeypatch):
    monkeypatch.setattr(isolated, "WAIT", -1.0)
    found = [str(f) for _, f in read_isolated(slow, [Path("slow")], 1)]
    assert found == ["'slow': takes more than -1 seconds to read"]


def slow(folder: Path) -> str:
    import threading

    threading.Event().wait(60)
    return folder.name
