"""Entries of sixty-odd hostile kinds on one board: each refused in one plain sentence; the others stand."""

from __future__ import annotations

import os

import pytest
from helpers.hostile_entries import KINDS
from helpers.pages import assert_inert
from helpers.submissions import board_at, write_submission

from groundbench.leaderboard import RefusedError, Submission, build_site
from groundbench.leaderboard.submission.isolated import read_isolated


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    board = board_at(tmp_path_factory.mktemp("hostile"))
    write_submission(board.entries, "aa-good", 1, n_nouns=4)
    for name, spoil in KINDS.items():
        spoil(write_submission(board.entries, name, 2, items=True, n_nouns=4))
    write_submission(board.entries, "zz-good", 3, n_nouns=4)
    return board


@pytest.fixture(scope="module")
def read(board):
    folders = [board.entries / slug for slug in board.slugs]
    return {folder.name: found for folder, found in read_isolated(board.read_entry, folders, 2)}


def test_there_are_at_least_forty_kinds():
    assert len(KINDS) >= 40


@pytest.mark.parametrize("name", KINDS)
def test_it_is_refused_in_one_plain_sentence(read, name):
    assert isinstance(read[name], RefusedError)
    said = str(read[name])
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 600
    assert "Traceback" not in said
    assert "cannot be read at all" not in said, "the reading process died"
    assert said.startswith((name, f"'{name}'"))


def test_the_others_stand_and_the_site_is_inert(board, read, tmp_path):
    assert isinstance(read["aa-good"], Submission)
    assert isinstance(read["zz-good"], Submission)
    refused = build_site(board, tmp_path / "site")
    assert len(refused) == len(KINDS)
    pages = {p.stem for p in (tmp_path / "site" / "models").iterdir()}
    assert pages == {"aa-good", "zz-good"}
    assert_inert(tmp_path / "site")
