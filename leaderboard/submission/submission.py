"""A submission: one folder with a card and the results of one model, read as data from a stranger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.leaderboard.submission.against_items import item_faults
from groundbench.leaderboard.submission.against_testbed import testbed_faults
from groundbench.leaderboard.submission.answers_parquet import check_answers
from groundbench.leaderboard.submission.card import Card, read_card
from groundbench.leaderboard.submission.files import CARD_FILE, RUN_FILES, read_bytes, survey
from groundbench.leaderboard.submission.form_views import form_views
from groundbench.leaderboard.submission.items_parquet import Cells, cells_of, read_tables
from groundbench.leaderboard.submission.names import check_model_names, check_question_names
from groundbench.leaderboard.submission.plausibility import implausible
from groundbench.leaderboard.submission.plausibility_card import card_fault
from groundbench.leaderboard.submission.plausibility_ladder import ladder_item_faults
from groundbench.leaderboard.submission.plausibility_training import trajectory_fault
from groundbench.leaderboard.submission.reference import ReferencesOf, TestbedReference
from groundbench.leaderboard.submission.strict_json_yaml import (
    CARD,
    RESULT,
    RISK_CARD,
    TRAJECTORY,
    Limits,
    RefusedError,
    parse,
    read_json,
    shorten,
)
from groundbench.leaderboard.submission.strict_types import check_types
from groundbench.results.risk_card import RiskCard
from groundbench.results.run import Result, TestbedRecord
from groundbench.results.trajectory import Trajectory

M = TypeVar("M", bound=BaseModel)
MOST_VALUES = 1_500_000
"""Values in all of a submission's JSON files: ten times those of a whole ladder with causes."""


@dataclass(frozen=True)
class Run:
    """One run of a submission: its results in the order of their steps (one, without a trajectory).

    `forms` holds the per-item gains of each ENV form of the last result that came with its items; `tables` the items
    themselves; `bed` the testbed that they were held against; `risk` the screening's card. A run that is a screening
    alone has no results and no testbed.
    """

    name: str
    results: tuple[Result, ...]
    trajectory: Trajectory | None = None
    forms: Mapping[str, Cells] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    tables: Mapping[str, SurprisalTable] = field(default_factory=dict)
    bed: TestbedReference | None = None
    risk: RiskCard | None = None

    @property
    def cells(self) -> Cells | None:
        """The per-item gains of the headline form."""
        return self.forms.get(self.last.testbed.env_form)

    @property
    def last(self) -> Result:
        """The result that the board shows."""
        return self.results[-1]


@dataclass(frozen=True)
class Submission:
    """A valid submission; `slug` is its folder's name and its address on the site."""

    slug: str
    card: Card
    runs: tuple[Run, ...]


def read_submission(folder: Path, references: ReferencesOf) -> Submission:
    """Read and check a submission, in this process: see `isolated` for reading a stranger's under limits.

    Raises:
        RefusedError: in one sentence, the first thing that is wrong with it.
    """
    files = survey(folder)
    slug = folder.name
    card = read_card(read_bytes(folder / CARD_FILE, CARD.bytes, f"{slug}/{CARD_FILE}"), f"{slug}/{CARD_FILE}")
    if not files:
        raise RefusedError(f"{slug}: holds no run; expected a folder with a result.json or a trajectory.json")
    _check_amount(folder, files)
    runs = tuple(_read_run(folder / name, f"{slug}/{name}", found, references) for name, found in files.items())
    return Submission(slug, card, runs)


def _check_amount(folder: Path, files: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a submission whose files are each small enough, but take too long together."""
    n = 0
    for run, names in files.items():
        for name in names:
            if name.endswith(".json"):
                n += read_bytes(folder / run / name, RUN_FILES[name], f"{folder.name}/{run}/{name}").count(b",")
    if n > MOST_VALUES:
        raise RefusedError(f"{folder.name}: its runs hold {n:,} values together; expected at most {MOST_VALUES:,}")


def _read_run(folder: Path, where: str, files: tuple[str, ...], references: ReferencesOf) -> Run:
    risk = None
    if "card.json" in files:
        risk = _read_model(folder / "card.json", f"{where}/card.json", RiskCard, RISK_CARD)
        check_model_names(risk.model, f"{where}/card.json")
        check_question_names(risk.questions, f"{where}/card.json")
        fault = card_fault(risk)
        if fault is not None:
            raise RefusedError(f"{where}/card.json: {fault}")
        if "answers.parquet" in files:
            told = f"{where}/answers.parquet"
            check_answers(read_bytes(folder / "answers.parquet", RUN_FILES["answers.parquet"], told), told, risk)
        if set(files) <= {"card.json", "answers.parquet"}:
            return Run(folder.name, (), files=files, risk=risk)
    elif "answers.parquet" in files:
        raise RefusedError(f"{where}/answers.parquet: has no card.json beside it")
    if ("result.json" in files) == ("trajectory.json" in files):
        raise RefusedError(f"{where}: expected either a result.json or a trajectory.json")
    trajectory = None
    if "trajectory.json" in files:
        trajectory = _read_model(folder / "trajectory.json", f"{where}/trajectory.json", Trajectory, TRAJECTORY)
        fault = trajectory_fault(trajectory)
        if fault is not None:
            raise RefusedError(f"{where}/trajectory.json: {fault}")
        results = tuple(p.result for p in trajectory.points)
    else:
        results = (_read_model(folder / "result.json", f"{where}/result.json", Result, RESULT),)
    for result in results:
        check_model_names(result.model, where)
        bed = _check(result, where, references)
    if risk is not None and risk.model.fingerprint != results[-1].model.fingerprint:
        raise RefusedError(f"{where}/card.json: is of other weights than the result beside it")
    tables = _read_tables(folder, where, files, results[-1], bed)
    forms = {name: cells_of(t) for name, t in tables.items()}
    return Run(folder.name, results, trajectory, forms, files, tables, bed, risk)


def _read_model(path: Path, where: str, model: type[M], limits: Limits) -> M:
    value = read_json(read_bytes(path, limits.bytes, where), where, limits)
    parsed = parse(value, where, model)
    check_types(value, parsed.model_dump(mode="json"), where)
    return parsed


def _check(result: Result, where: str, references: ReferencesOf) -> TestbedReference:
    at = where if result.model.step is None else f"{where}, step {result.model.step}"
    bed = _testbed(result.testbed, at, references)
    limit = result.protocol.get("limit")
    if limit is not None:
        raise RefusedError(f"{at}: was limited to {shorten(str(limit))} nouns; the board takes whole testbeds only")
    drawn = result.protocol.get("mismatches")
    if drawn not in (None, "all") and (not isinstance(drawn, int) or isinstance(drawn, bool) or drawn < 1):
        raise RefusedError(f"{at}: protocol.mismatches is {shorten(str(drawn))}; expected all, or a number from 1")
    fault = implausible(result) or next(testbed_faults(result, bed), None)
    if fault is not None:
        raise RefusedError(f"{at}: {fault}")
    return bed


def _testbed(bed: TestbedRecord, where: str, references: ReferencesOf) -> TestbedReference:
    accepted = references(bed.name, bed.version)
    if not accepted:
        raise RefusedError(
            f"{where}: the testbed {shorten(bed.name)} {shorten(bed.version)} is not one of this board's: it must be "
            "installed, and named in board.yaml if that names any"
        )
    if bed.hash not in accepted:
        raise RefusedError(
            f"{where}: testbed.hash is {shorten(bed.hash)}, but {bed.name} {bed.version} has "
            f"{', '.join(sorted(accepted)[:3])}; expected the same nouns and prompts, which of a corpus are those of "
            "one import of the same transcripts"
        )
    return accepted[bed.hash]


def _read_tables(
    folder: Path, where: str, files: tuple[str, ...], result: Result, bed: TestbedReference
) -> dict[str, SurprisalTable]:
    """Return the items beside a result, by ENV form; they must give the gains that the result reports."""
    if "items.parquet" not in files:
        return {}
    at = f"{where}/items.parquet"
    views = {v.env_form: v for v in form_views(result) if v.gain is not None}
    nouns = {name: v.nouns for name, v in views.items()}
    drawn = result.protocol.get("mismatches")
    raw = read_bytes(folder / "items.parquet", RUN_FILES["items.parquet"], at)
    found = read_tables(raw, at, bed, nouns, drawn if isinstance(drawn, int) else None)
    if result.testbed.env_form not in found:
        raise RefusedError(f"{at}: holds no items of the form {result.testbed.env_form!r} that result.json reports")
    seeds = result.environment.seeds
    for name, table in found.items():
        gain = views[name].gain
        fault = None if gain is None else next(item_faults(gain, table, seeds[0] if seeds else 0), None)
        if fault is not None:
            raise RefusedError(f"{at}: form {name!r}: {fault}")
    fault = next(ladder_item_faults(result.ladder_score, found, seeds[0] if seeds else 0), None)
    if fault is not None:
        raise RefusedError(f"{at}: {fault}")
    return found
