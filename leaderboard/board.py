"""A board: a folder with board.yaml (title, testbeds it accepts) and entries/, one folder for each submission."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from groundbench.api.errors import BadInputError
from groundbench.leaderboard.submission.card import read_card
from groundbench.leaderboard.submission.files import CARD_FILE, RUN_FILES, check_name, read_bytes
from groundbench.leaderboard.submission.strict_parsing import CARD, Limits, RefusedError, read_yaml
from groundbench.leaderboard.submission.submission import HashesOf, Submission, parse, read_submission

BOARD_FILE = "board.yaml"
DigestOf = Callable[[str, str], str | None]
"""The hash of an installed testbed of that name and version, or None."""


class ListedTestbed(BaseModel):
    """A testbed that the board accepts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    hash: str


class BoardFile(BaseModel):
    """board.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = "Symbol grounding in language models"
    testbeds: tuple[ListedTestbed, ...] = ()


@dataclass(frozen=True)
class Board:
    """An opened board. Testbeds that board.yaml does not name are looked up with `digest_of`."""

    root: Path
    about: BoardFile
    digest_of: DigestOf

    @property
    def entries(self) -> Path:
        """Where the submissions are."""
        return self.root / "entries"

    @property
    def slugs(self) -> list[str]:
        """The names of all submissions, read or not."""
        if not self.entries.is_dir():
            return []
        return sorted(e.name for e in os.scandir(self.entries) if not e.name.startswith("."))

    @property
    def hashes_of(self) -> HashesOf:
        """The accepted hashes of a testbed."""
        listed: dict[tuple[str, str], set[str]] = {}
        for t in self.about.testbeds:
            listed.setdefault((t.name, t.version), set()).add(t.hash)

        def hashes(name: str, version: str) -> frozenset[str]:
            if (name, version) in listed:
                return frozenset(listed[name, version])
            digest = self.digest_of(name, version)
            return frozenset() if digest is None else frozenset({digest})

        return hashes

    def read(self) -> Iterator[Submission | RefusedError]:
        """Every submission in order, or why it is refused."""
        hashes_of = self.hashes_of
        for slug in self.slugs:
            try:
                yield read_submission(self.entries / slug, hashes_of)
            except RefusedError as error:
                yield error


def open_board(root: Path, digest_of: DigestOf = lambda name, version: None) -> Board:
    """Open a board's folder; board.yaml may be missing.

    Raises:
        BadInputError: no such folder, or a broken board.yaml.
    """
    if not root.is_dir():
        raise BadInputError(f"{root}: no such folder; expected a board with entries/ in it")
    path = root / BOARD_FILE
    about = BoardFile()
    if path.exists():
        limits = Limits(bytes=256 << 10, depth=6, values=20_000)
        raw = read_bytes(path, limits.bytes, str(path))
        about = parse(read_yaml(raw, str(path), limits) or {}, str(path), BoardFile)
    return Board(root, about, digest_of)


def slug_of(card: Path) -> str:
    """A folder's name made of the card's model. Raises RefusedError if the card is refused."""
    model = read_card(read_bytes(card, CARD.bytes, str(card)), str(card)).model
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:64]


def _sources(run: Path) -> dict[str, Path]:
    """The result files of a run directory; of a trajectory's, the items of its last checkpoint stand for the board."""
    found = {f: run / f for f in RUN_FILES if (run / f).is_file()}
    if "trajectory.json" in found:
        last = max((p.parent for p in run.glob("step-*/result.json")), default=run, key=lambda p: p.name)
        found |= {f: last / f for f in ("items.parquet", "heads.parquet") if (last / f).is_file()}
    return found


def add_run(board: Board, run: Path, card: Path, slug: str, run_name: str | None = None) -> Submission:
    """Copy a run's result files into a submission, new or not, and check it.

    Args:
        run: a run directory (result.json) or a trajectory directory (trajectory.json).
        card: the card.yaml to use for the submission.
        slug: the submission's folder; `run_name` the run's in it, by default the run directory's own name.

    Raises:
        BadInputError: the result or the card is refused, or that run stands there already; nothing is then changed.
    """
    name = run_name or run.resolve().name.lower()
    check_name(slug, "--name")
    check_name(name, str(run))
    read_card(read_bytes(card, CARD.bytes, str(card)), str(card))
    sources = _sources(run)
    if not sources:
        raise BadInputError(f"{run}: holds neither result.json nor trajectory.json; expected a run directory")
    target = board.entries / slug
    if (target / name).exists():
        raise BadInputError(f"{target / name}: stands there already; choose another --run-name, or remove it first")
    staged = board.root / f".adding-{os.getpid()}" / slug
    try:
        if target.is_dir():
            shutil.copytree(target, staged, symlinks=True)
        staged.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(card, staged / CARD_FILE)
        (staged / name).mkdir()
        for file, source in sources.items():
            shutil.copyfile(source, staged / name / file)
        submission = read_submission(staged, board.hashes_of)
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(card, target / CARD_FILE)
        (staged / name).rename(target / name)
        return submission
    finally:
        shutil.rmtree(staged.parent, ignore_errors=True)
