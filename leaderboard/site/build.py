"""The static site: a sortable table, a page for each submission, a page to compare; no server, no network needed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from groundbench._version import __version__
from groundbench.api.errors import BadInputError
from groundbench.leaderboard.board import Board
from groundbench.leaderboard.rows import COLUMNS, Row, entries_of, rows_of
from groundbench.leaderboard.site.compare_data import choice, comparable
from groundbench.leaderboard.site.model_page import Places, model_page
from groundbench.leaderboard.submission.files import RUN_FILES, read_bytes
from groundbench.leaderboard.submission.strict_parsing import RefusedError
from groundbench.leaderboard.submission.submission import Submission
from groundbench.report.pages import environment, stylesheet
from groundbench.results.run import write_atomic

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
MARKER = ".groundbench-site"


def build_site(board: Board, out: Path) -> list[RefusedError]:
    """Write the site of a board, and return why submissions were left out.

    Raises:
        BadInputError: `out` is a folder with something else in it.
    """
    read = list(board.read())
    submissions = [s for s in read if isinstance(s, Submission)]
    entries = entries_of(submissions)
    rows = rows_of(entries)
    _prepare(out)
    _assets(out)
    finals = [r for r in rows if r.entry.final]
    _write(out / "index.html", "index.html.j2", **_index(board, rows, finals))
    _write(out / "compare.html", "compare.html.j2", title="Compare models", root="", nav="compare")
    write_atomic(out / "data" / "index.js", _script("groundbenchIndex", [choice(r.entry) for r in finals]))
    write_atomic(out / "board.csv", board_csv(finals))
    by_submission = {slug: list(group) for slug, group in groupby(entries, key=lambda e: e.submission.slug)}
    places = Places.of(rows)
    for s in submissions:
        _write(out / "models" / f"{s.slug}.html", "model.html.j2", **model_page(s, by_submission[s.slug], places))
        _downloads(board.entries / s.slug, s, out / "data")
    for e in entries:
        if e.final:
            write_atomic(out / "data" / f"{e.id}.js", _script("groundbenchEntry", comparable(e)))
        if e.kind != "form":
            write_atomic(out / "data" / f"{e.id}.json", e.result.model_dump_json(indent=1) + "\n")
    return [r for r in read if isinstance(r, RefusedError)]


def _downloads(folder: Path, s: Submission, out: Path) -> None:
    """The items that were checked, as they came."""
    for run in s.runs:
        if run.forms:
            raw = read_bytes(folder / run.name / "items.parquet", RUN_FILES["items.parquet"], folder.name)
            (out / f"{s.slug}~{run.name}.parquet").write_bytes(raw)


def _prepare(out: Path) -> None:
    """Make the folder, or empty one that an earlier build made; never touch anybody else's files."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).exists())):
        raise BadInputError(f"{out}: is not empty and no site of ours; expected a new or empty folder")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    for folder, pattern in (("models", "*.html"), ("data", "*.js"), ("data", "*.json"), ("data", "*.parquet")):
        (out / folder).mkdir(exist_ok=True)
        for old in (out / folder).glob(pattern):
            old.unlink()


def _assets(out: Path) -> None:
    (out / "assets").mkdir(exist_ok=True)
    style = str(stylesheet()) + (HERE / "site.css").read_text(encoding="utf-8")
    write_atomic(out / "assets" / "site.css", style)
    for script in ("board.js", "compare.js"):
        write_atomic(out / "assets" / script, (HERE / script).read_text(encoding="utf-8"))


def _write(path: Path, template: str, **values: Any) -> None:
    page = environment(TEMPLATES).get_template(template)
    write_atomic(path, page.render(version=__version__, **values))


def _script(name: str, value: Any) -> str:
    """A call with plain data, in ASCII: no string of a submission can leave its quotes."""
    data = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"{name}({data.replace('<', chr(92) + 'u003c')});\n"


def _index(board: Board, rows: Sequence[Row], finals: Sequence[Row]) -> dict[str, Any]:
    methods = {r.rank.method for r in finals if r.rank}
    boards = sorted({r.board for r in finals}, key=lambda b: -sum(r.board == b for r in finals))
    return {
        "title": board.about.title,
        "root": "",
        "nav": "board",
        "columns": COLUMNS,
        "rows": rows,
        "n_models": len({r.entry.submission.slug for r in finals}),
        "n_results": sum(r.entry.kind == "headline" for r in rows),
        "checkpoints": len(rows) - len(finals),
        "other_forms": any(r.entry.kind == "form" for r in rows),
        "boards": boards,
        "families": sorted({r.entry.result.model.family for r in finals}),
        "forms": sorted({r.entry.result.testbed.env_form for r in finals}),
        "sizes": sorted({r.size: r.entry.result.model.parameters for r in finals}.items(), key=lambda s: s[1]),
        "methods": methods,
    }


def board_csv(rows: Sequence[Row]) -> str:
    """The board as CSV: one line for each final result, empty where nothing was measured.

    Text that a spreadsheet would take for a formula is quoted with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["id", *(c[0].lower().replace(" ", "_").replace("\u2212", "minus") for c in COLUMNS), "ci_low", "ci_high"]
    )
    for r in rows:
        g = r.entry.result.gain
        ends = (None, None) if g is None else (g.ci_low, g.ci_high)
        values = [c.text if isinstance(c.sort, str) else c.sort for c in r.cells]
        writer.writerow([r.entry.id, *(_csv_cell(v) for v in (*values, *ends))])
    return out.getvalue()


def _csv_cell(value: float | str | None) -> float | str:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t" else value
