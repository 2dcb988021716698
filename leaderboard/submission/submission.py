"""A submission: one folder with a card and the results of one model, read as data from a stranger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from groundbench.leaderboard.submission.card import Card, read_card
from groundbench.leaderboard.submission.files import CARD_FILE, RUN_FILES, read_bytes, survey
from groundbench.leaderboard.submission.item_gains import Cells, read_forms
from groundbench.leaderboard.submission.plausibility import TOLERANCE, implausible
from groundbench.leaderboard.submission.strict_parsing import (
    CARD,
    RESULT,
    TRAJECTORY,
    Limits,
    RefusedError,
    read_json,
    shorten,
)
from groundbench.results.run import Result, TestbedRecord
from groundbench.results.trajectory import Trajectory

HashesOf = Callable[[str, str], frozenset[str]]
"""The accepted hashes of a testbed's name and version; empty for an unknown testbed."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Run:
    """One run of a submission: its results in the order of their steps (one, without a trajectory).

    `forms` holds the per-item gains of each ENV form of the last result that came with its items.
    """

    name: str
    results: tuple[Result, ...]
    trajectory: Trajectory | None = None
    forms: Mapping[str, Cells] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def cells(self) -> Cells | None:
        """The per-item gains of the headline form."""
        return self.forms.get(self.last.testbed.env_form)

    @property
    def last(self) -> Result:
        """The result that stands on the board."""
        return self.results[-1]


@dataclass(frozen=True)
class Submission:
    """A valid submission; `slug` is its folder's name and its address on the site."""

    slug: str
    card: Card
    runs: tuple[Run, ...]


def read_submission(folder: Path, hashes_of: HashesOf) -> Submission:
    """Read and check a submission.

    Raises:
        RefusedError: in one sentence, the first thing that is wrong with it.
    """
    files = survey(folder)
    slug = folder.name
    card = read_card(read_bytes(folder / CARD_FILE, CARD.bytes, f"{slug}/{CARD_FILE}"), f"{slug}/{CARD_FILE}")
    if not files:
        raise RefusedError(f"{slug}: holds no run; expected a folder with a result.json or a trajectory.json")
    runs = tuple(_read_run(folder / name, f"{slug}/{name}", found, hashes_of) for name, found in files.items())
    return Submission(slug, card, runs)


def _read_run(folder: Path, where: str, files: tuple[str, ...], hashes_of: HashesOf) -> Run:
    if ("result.json" in files) == ("trajectory.json" in files):
        raise RefusedError(f"{where}: expected either a result.json or a trajectory.json")
    trajectory = None
    if "trajectory.json" in files:
        trajectory = _read_model(folder / "trajectory.json", f"{where}/trajectory.json", Trajectory, TRAJECTORY)
        results = tuple(p.result for p in trajectory.points)
    else:
        results = (_read_model(folder / "result.json", f"{where}/result.json", Result, RESULT),)
    for result in results:
        _check(result, where, hashes_of)
    return Run(folder.name, results, trajectory, _read_cells(folder, where, files, results[-1]), files)


def _read_model(path: Path, where: str, model: type[M], limits: Limits) -> M:
    value = read_json(read_bytes(path, limits.bytes, where), where, limits)
    return parse(value, where, model)


def parse(value: Any, where: str, model: type[M]) -> M:
    """A record from plain values. Raises RefusedError naming the field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        field = ".".join(str(p) for p in fault["loc"]) or "the file"
        found = "" if fault["type"] == "missing" else f", found {shorten(str(fault.get('input')))}"
        raise RefusedError(f"{where}: field {shorten(field)}: {fault['msg']}{found}") from None


def _check(result: Result, where: str, hashes_of: HashesOf) -> None:
    at = where if result.model.step is None else f"{where}, step {result.model.step}"
    _check_testbed(result.testbed, at, hashes_of)
    limit = result.protocol.get("limit")
    if limit is not None:
        raise RefusedError(f"{at}: was limited to {shorten(str(limit))} nouns; the board takes whole testbeds only")
    fault = implausible(result)
    if fault is not None:
        raise RefusedError(f"{at}: {fault}")


def _check_testbed(bed: TestbedRecord, where: str, hashes_of: HashesOf) -> None:
    accepted = hashes_of(bed.name, bed.version)
    if not accepted:
        raise RefusedError(
            f"{where}: the testbed {shorten(bed.name)} {shorten(bed.version)} is not one of this board's; "
            "list it with its hash in board.yaml if it should be"
        )
    if bed.hash not in accepted:
        raise RefusedError(
            f"{where}: testbed.hash is {shorten(bed.hash)}, but {bed.name} {bed.version} "
            f"has {', '.join(sorted(accepted))}"
        )


def _read_cells(folder: Path, where: str, files: tuple[str, ...], result: Result) -> dict[str, Cells]:
    """The per-item gains beside a result, by ENV form; they must give the gains that the result reports."""
    if "items.parquet" not in files:
        return {}
    at = f"{where}/items.parquet"
    stated = {f.env_form: f.gain for f in result.forms}
    raw = read_bytes(folder / "items.parquet", RUN_FILES["items.parquet"], at)
    found = read_forms(raw, at, result.testbed.env_form, [f.env_form for f in result.forms])
    for form, cells in found.items():
        gain = stated[form]
        mean = None if gain is None else gain.mean
        if mean is not None and (cells.mean is None or abs(cells.mean - mean) > TOLERANCE):
            items = "no gain" if cells.mean is None else f"a gain of {cells.mean:.4f}"
            raise RefusedError(f"{at}: its items of the form {form!r} give {items}, but {mean:.4f} is reported")
    return found
