"""The static site: a sortable table, a page for each submission, a page to compare; no server, no network needed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import groundbench
from groundbench.errors import BadInputError
from groundbench.leaderboard.board import Board
from groundbench.leaderboard.rows import COLUMNS, Entry, Row, board_key, board_name, entries_of, rows_of
from groundbench.leaderboard.strict import RefusedError
from groundbench.leaderboard.submission import Submission
from groundbench.report.curves import hero
from groundbench.report.figure import Facts, Figure
from groundbench.report.page import environment, run_facts, run_sections, run_stats, stylesheet
from groundbench.report.words import CI, gain_sentence, verdict
from groundbench.result import Result, write_atomic
from groundbench.result_trajectory import Trajectory, TrajectoryPoint

HERE = Path(__file__).parent
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
    write_atomic(out / "data" / "index.js", _script("groundbenchIndex", [_choice(r.entry) for r in finals]))
    write_atomic(out / "board.csv", board_csv(finals))
    for s in submissions:
        _write(out / "models" / f"{s.slug}.html", "model.html.j2", **_model(s, rows))
    for e in entries:
        if e.final:
            write_atomic(out / "data" / f"{e.id}.js", _script("groundbenchEntry", comparable(e)))
        write_atomic(out / "data" / f"{e.id}.json", e.result.model_dump_json(indent=1) + "\n")
    return [r for r in read if isinstance(r, RefusedError)]


def _prepare(out: Path) -> None:
    """Make the folder, or empty one that an earlier build made; never touch anybody else's files."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).exists())):
        raise BadInputError(f"{out}: is not empty and no site of ours; expected a new or empty folder")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    for folder, pattern in (("models", "*.html"), ("data", "*.js"), ("data", "*.json")):
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
    page = environment(HERE).get_template(template)
    write_atomic(path, page.render(version=groundbench.__version__, **values))


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
        "n_results": len(finals),
        "checkpoints": len(rows) - len(finals),
        "boards": boards,
        "families": sorted({r.entry.result.model.family for r in finals}),
        "forms": sorted({r.entry.result.testbed.env_form for r in finals}),
        "sizes": sorted({r.size: r.entry.result.model.parameters for r in finals}.items(), key=lambda s: s[1]),
        "methods": methods,
    }


def _model(s: Submission, rows: Sequence[Row]) -> dict[str, Any]:
    ranks = {r.entry.id: r for r in rows}
    runs = []
    for i, run in enumerate(s.runs):
        row = ranks[f"{s.slug}~{run.name}"]
        last = run.last
        peers = sum(r.entry.final and board_key(r.entry.result) == board_key(last) for r in rows)
        runs.append(
            {
                "id": row.entry.id,
                "title": board_name(last),
                "sentence": gain_sentence(last.gain, last.testbed.env_form),
                "verdict": verdict(last),
                "rank": row.rank,
                "peers": peers,
                "stats": run_stats(last),
                "sections": run_sections(last),
                "facts": run_facts(last),
                "prefix": f"r{i}-",
                "hero": _hero(run.results, run.trajectory, s.card.model),
            }
        )
    card = Facts(
        "Card",
        (
            ("Licence", s.card.licence),
            ("Hardware", s.card.hardware),
            ("Submitter", s.card.submitter),
            ("groundbench commit", s.card.commit),
        ),
    )
    return {
        "title": s.card.model,
        "root": "../",
        "nav": "",
        "card": card,
        "weights": s.card.weights,
        "notes": s.card.notes,
        "runs": runs,
        "ci": CI,
    }


def _hero(results: Sequence[Result], trajectory: Trajectory | None, name: str) -> Figure | None:
    """The gain over the checkpoints of a run that has several."""
    if len(results) < 2:
        return None
    if trajectory is None:
        points = tuple(TrajectoryPoint(step=r.model.step or 0, result=r) for r in results)
        trajectory = Trajectory(name=name, points=points)
    return hero([trajectory.model_copy(update={"name": name})])


def _choice(e: Entry) -> dict[str, str]:
    return {"id": e.id, "model": e.submission.card.model, "board": board_name(e.result)}


def comparable(e: Entry) -> dict[str, Any]:
    """What the compare page needs of a result; None where it was not measured."""
    r = e.result
    g, h, a = r.gain, r.heads[0] if r.heads else None, r.ablations[0] if r.ablations else None
    return {
        "id": e.id,
        "slug": e.submission.slug,
        "model": e.submission.card.model,
        "family": r.model.family,
        "parameters": r.model.parameters,
        "board": board_name(r),
        "hash": r.testbed.hash,
        "form": r.testbed.env_form,
        "gain": [g.mean, g.ci_low, g.ci_high] if g else None,
        "matched": g.matched if g else None,
        "mismatched": g.mismatched if g else None,
        "copy": r.copy_corrected.ratio if r.copy_corrected else None,
        "heads": h.mean_count if h else None,
        "layer": h.mean_layer if h else None,
        "removed": a.gain_removed if a else None,
        "nouns": {n.noun: round(n.gain, 4) for n in g.by_noun if n.gain is not None} if g else {},
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
