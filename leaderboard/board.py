"""A board: a folder with board.yaml (title, testbeds it accepts) and entries/, one folder for each submission."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from groundbench.api.errors import BadInputError
from groundbench.leaderboard.submission.card import read_card
from groundbench.leaderboard.submission.files import CARD_FILE, RUN_FILES, check_name, read_bytes
from groundbench.leaderboard.submission.isolated import read_isolated
from groundbench.leaderboard.submission.names import name_fault
from groundbench.leaderboard.submission.reference import ReferencesOf, TestbedReference
from groundbench.leaderboard.submission.strict_json_yaml import CARD, Limits, RefusedError, parse, read_yaml
from groundbench.leaderboard.submission.submission import Submission, read_submission
from groundbench.util.atomic_files import write_text

BOARD_FILE = "board.yaml"


class ListedTestbed(BaseModel):
    """A testbed that the board accepts; it must be installed, so that results can be held against it.

    `nouns`: of a testbed whose nouns a corpus chose, those that were chosen; `hash` is then of that choice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    hash: str
    nouns: tuple[str, ...] = ()


class BoardFile(BaseModel):
    """board.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = "Symbol grounding in language models"
    testbeds: tuple[ListedTestbed, ...] = ()
    own: tuple[str, ...] = ()
    """Folders of the board's own entries, marked on the site."""
    nulls: tuple[str, ...] = ()
    """Folders of null controls, e.g. a model trained on shuffled scenes: shown, and marked as such."""
    references: tuple[str, ...] = ()
    """Folders of models to read the others against, e.g. one that only copies: shown, never ranked."""
    submitter: str = ""
    """The submitter whose name only these may bear."""


def no_references(name: str, version: str) -> Mapping[str, TestbedReference]:
    """Return no references, for a board without testbeds."""
    return {}


@dataclass(frozen=True)
class Accepted:
    """The testbeds that a board takes: the installed ones, of those that board.yaml names if it names any."""

    listed: tuple[ListedTestbed, ...]
    installed: ReferencesOf

    def __call__(self, name: str, version: str) -> Mapping[str, TestbedReference]:
        """Return the references of a name and version, by hash."""
        found = self.installed(name, version)
        mine = [t for t in self.listed if (t.name, t.version) == (name, version)]
        if not mine:
            return found
        some = next(iter(found.values()), None)
        out = {t.hash: found[t.hash] for t in mine if not t.nouns and t.hash in found}
        if some is not None:
            out |= {t.hash: some.restrict_to(t.nouns, t.hash) for t in mine if t.nouns}
            if not any(not t.nouns for t in mine):
                out[some.hash] = some
        return out


@dataclass(frozen=True)
class Board:
    """An opened board. Its testbeds are looked up with `installed`."""

    root: Path
    about: BoardFile
    installed: ReferencesOf

    @property
    def entries(self) -> Path:
        """The folder of the submissions."""
        return self.root / "entries"

    @property
    def slugs(self) -> list[str]:
        """The names of all submissions, read or not."""
        if not self.entries.is_dir():
            return []
        return sorted(e.name for e in os.scandir(self.entries) if not e.name.startswith("."))

    @property
    def references(self) -> Accepted:
        """The testbeds that the board takes."""
        return Accepted(self.about.testbeds, self.installed)

    def read(self, slugs: Sequence[str] | None = None) -> Iterator[Submission | RefusedError]:
        """Yield every submission in order, or why it is refused."""
        folders = [self.entries / slug for slug in (self.slugs if slugs is None else slugs)]
        for _, found in read_isolated(self.read_entry, folders):
            yield found

    def read_entry(self, folder: Path) -> Submission:
        """Read and check one submission, in this process.

        Raises:
            RefusedError: as `read_submission` does, or the card bears a name that is the board's own.
        """
        found = read_submission(folder, self.references)
        fault = name_fault(found.slug, found.card, self.about.own, self.about.submitter)
        if fault is not None:
            raise RefusedError(f"{found.slug}/{CARD_FILE}: {fault}")
        return found


def open_board(root: Path, installed: ReferencesOf = no_references) -> Board:
    """Open a board's folder; board.yaml may be missing.

    Raises:
        BadInputError: no such folder, or a broken board.yaml.
    """
    if not root.is_dir():
        raise BadInputError(f"{root}: no such folder; expected a board; groundbench leaderboard add RUN makes one")
    path = root / BOARD_FILE
    about = BoardFile()
    if path.exists():
        limits = Limits(bytes=256 << 10, depth=6, values=20_000)
        raw = read_bytes(path, limits.bytes, str(path))
        about = parse(read_yaml(raw, str(path), limits) or {}, str(path), BoardFile)
    return Board(root, about, installed)


def slug_of(card: Path) -> str:
    """Return a folder's name made of the card's model. Raises RefusedError if the card is refused."""
    model = read_card(read_bytes(card, CARD.bytes, str(card)), str(card)).model
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:64]


def _sources(run: Path) -> dict[str, Path]:
    """Return the result files of a run directory.

    Of a trajectory's, the items of its last checkpoint stand for the board.
    """
    found = {f: run / f for f in RUN_FILES if (run / f).is_file()}
    if "trajectory.json" in found:
        last = max((p.parent for p in run.glob("step-*/result.json")), default=run, key=lambda p: p.name)
        found |= {f: last / f for f in ("items.parquet",) if (last / f).is_file()}
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
        raise BadInputError(f"{run}: holds no result.json, trajectory.json or card.json; expected a run directory")
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
        _strip_place(staged / name / "card.json")
        submission = read_submission(staged, board.references)
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(card, target / CARD_FILE)
        (staged / name).rename(target / name)
        return submission
    finally:
        shutil.rmtree(staged.parent, ignore_errors=True)


RECORD_PLACE = re.compile(r"(?P<folder>.*[/\\])[^/\\]+, (?:line|record|row) \d+", re.S)
SAYING = ("worst", "failures", "records")
"""The parts of a card in which records are named by file and line."""


def _strip_place(path: Path) -> None:
    """Take the submitter's own paths out of a risk card: where its model was opened from, its records' folders."""
    try:
        _strip_paths(path, json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return  # there is none, or it is refused when it is read


def _strip_paths(path: Path, document: object) -> None:
    if not isinstance(document, dict):
        return
    said = [s for part in SAYING for s in _strings(document.get(part))]
    folders = sorted({m["folder"] for s in said if (m := RECORD_PLACE.fullmatch(s))}, key=len, reverse=True)
    parts = {part: _without(document[part], folders) for part in SAYING if part in document}
    changed = document | parts | ({"opened": None} if document.get("opened") is not None else {})
    if changed != document:
        write_text(path, json.dumps(changed, ensure_ascii=False, separators=(",", ":")) + "\n")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for v in value.values() if isinstance(value, dict) else value:
            yield from _strings(v)


def _without(value: object, folders: Sequence[str]) -> object:
    """Return a value of JSON in whose texts no folder is named."""
    if isinstance(value, str):
        for folder in folders:
            value = value.replace(folder, "")
        return value
    if isinstance(value, dict):
        return {k: _without(v, folders) for k, v in value.items()}
    return [_without(v, folders) for v in value] if isinstance(value, list) else value
