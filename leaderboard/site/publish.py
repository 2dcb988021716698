"""One entry's part of the site, made where the entry was read: its page, its downloads, its rows for the board."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundbench._version import __version__
from groundbench.leaderboard.board import Board
from groundbench.leaderboard.rows import ResultRow, RiskRow, result_rows, risk_rows
from groundbench.leaderboard.site.compare_data import comparable
from groundbench.leaderboard.site.model_page import model_page
from groundbench.leaderboard.submission.form_views import form_views
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError
from groundbench.leaderboard.submission.submission import Run, Submission
from groundbench.report.pages import environment
from groundbench.results.items import write_items
from groundbench.results.text.numbers import on_one_line
from groundbench.util.atomic_files import write_text

MOST_OF_A_PAGE = 12 << 20
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Publisher:
    """The job of a reading process: check an entry, then write its page and data into the site."""

    board: Board
    out: Path

    def __call__(self, folder: Path) -> Published:
        """Publish one entry. Raises RefusedError; nothing of a refused entry is written."""
        s = self.board.read_entry(folder)
        own = s.slug in self.board.about.own
        rows, risks = result_rows(s, own), risk_rows(s, own)
        page = render("model.html.j2", **model_page(s, rows, own))
        if len(page) > MOST_OF_A_PAGE:
            raise RefusedError(
                f"{s.slug}: its page would have {len(page) >> 20} MiB; expected at most {MOST_OF_A_PAGE >> 20}"
            )
        data = {
            f"{row.id}.js": script("groundbenchEntry", entry_data(s, row)) for row in rows if row.kind != "checkpoint"
        }
        data |= {f"{s.slug}~{run.name}.json": download_text(run) for run in s.runs if run.results}
        data |= {f"{s.slug}~{r.name}~card.json": r.risk.model_dump_json() for r in s.runs if r.risk is not None}
        write_text(self.out / "models" / f"{s.slug}.html", page)
        for name, text in data.items():
            write_text(self.out / "data" / name, text)
        for run in s.runs:
            if run.tables:
                write_items(self.out / "data" / f"{s.slug}~{run.name}.parquet", list(run.tables.values()), run.last)
        return Published(s.slug, tuple(rows), tuple(risks))


@dataclass(frozen=True)
class Published:
    """The facts that the board needs of an entry after its page was written."""

    slug: str
    rows: tuple[ResultRow, ...]
    risks: tuple[RiskRow, ...]


def download_text(run: Run) -> str:
    """Return the run's numbers as its page offers them: result.json, or trajectory.json of a training run."""
    return (run.last if run.trajectory is None else run.trajectory).model_dump_json() + "\n"


def entry_data(s: Submission, row: ResultRow) -> dict[str, Any]:
    """Return the compare page's data of a row."""
    run = next(r for r in s.runs if r.name == row.run)
    view = next(v for v in form_views(run.last) if v.env_form == row.form)
    return comparable(row, view)


def render(template: str, **values: Any) -> str:
    """Return a page of the site."""
    return on_one_line(environment(TEMPLATES).get_template(template).render(version=__version__, **values))


def script(name: str, *values: Any) -> str:
    """Return a call with plain data, in ASCII: no string of a submission can leave its quotes."""
    data = ",".join(json.dumps(v, ensure_ascii=True, allow_nan=False, separators=(",", ":")) for v in values)
    return f"{name}({data.replace('<', chr(92) + 'u003c')});\n"
