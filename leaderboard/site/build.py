"""The static site: a tab for each testbed, a page for each submission, a page to compare; no server, no network needed.

Entries are streamed: each is read, checked and rendered in a child process, of which the board keeps a few rows.
Ranks are known when all were read; they are then written into the pages.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import escape

from groundbench._version import __version__
from groundbench.api.errors import BadInputError
from groundbench.leaderboard.board import Board
from groundbench.leaderboard.rows import ResultRow, RiskRow, size_of
from groundbench.leaderboard.site.charts import Reference, colour, families, heat_table, scatter, score_of
from groundbench.leaderboard.site.columns import Column, Place, Value
from groundbench.leaderboard.site.compare_data import choice
from groundbench.leaderboard.site.model_page import mark
from groundbench.leaderboard.site.publish import Publisher, render, script
from groundbench.leaderboard.site.screening_board import HEAD, screening_tables
from groundbench.leaderboard.site.shipping import may_it_ship
from groundbench.leaderboard.site.tabs import Tab, answer, tabs_of
from groundbench.leaderboard.submission.isolated import read_isolated
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError
from groundbench.report.pages import stylesheet
from groundbench.results.text.numbers import interval, number
from groundbench.util.atomic_files import write_text

HERE = Path(__file__).parent
MARKER = ".groundbench-site"
MOST_STATIC = 60
"""Rows of a table that stand in the page itself; the others come from data/board.js."""


def build_site(board: Board, out: Path, processes: int | None = None) -> list[RefusedError]:
    """Write the site of a board, and return why submissions were left out.

    Args:
        processes: how many entries are read at the same time; by default as many as there are cores.

    Raises:
        BadInputError: `out` is a folder with something else in it.
    """
    _prepare(out)
    _assets(out)
    publisher = Publisher(board, out.resolve())
    rows: list[ResultRow] = []
    risks: list[RiskRow] = []
    refused: list[RefusedError] = []
    folders = [board.entries / slug for slug in board.slugs]
    for _, found in read_isolated(publisher, folders, processes):
        if isinstance(found, RefusedError):
            refused.append(found)
        else:
            rows += found.rows
            risks += found.risks
    tabs = [t for t in tabs_of(rows, board.about.references) if t.rows]
    write_text(out / "index.html", render("index.html.j2", **_index(board, tabs, risks)))
    write_text(out / "compare.html", render("compare.html.j2", title="Compare models", root="", nav="compare"))
    final = [e for e in rows if e.kind != "checkpoint"]
    write_text(out / "data" / "index.js", script("groundbenchIndex", [choice(e) for e in final]))
    _table_data(out, tabs, board.about.nulls)
    write_text(out / "board.csv", board_csv(tabs))
    write_text(out / "board.json", json.dumps(board_json(board, tabs), indent=1) + "\n")
    _write_ranks(out, tabs)
    return refused


def _write_ranks(out: Path, tabs: Sequence[Tab]) -> None:
    """Fill the ranks into the pages of the entries."""
    said: dict[str, str] = {}
    by_id = {e.id: e for t in tabs for e in (*t.rows, *t.more)}
    peers: dict[tuple[str, ...], int] = {}
    for t in tabs:
        for e in (*t.rows, *t.more):
            if t.places[e.id].rank:
                peers[e.group] = peers.get(e.group, 0) + (not t.places[e.id].again)
    for t in tabs:
        for e in (*t.rows, *t.more):
            said[mark(e.id)] = _rank_text(t.places[e.id], peers.get(e.group, 0), by_id)
        said |= {mark(i): _rank_text(p, 0, by_id) for i, p in t.places.items() if i not in by_id}
    pattern = re.compile("<!--rank:[a-zA-Z0-9._~-]+-->")
    for slug in {i.split("~")[0] for t in tabs for i in t.places}:
        path = out / "models" / f"{slug}.html"
        write_text(path, pattern.sub(lambda m: said.get(m.group(), ""), path.read_text(encoding="utf-8")))


def _rank_text(place: Place, n: int, by_id: dict[str, ResultRow]) -> str:
    if place.rank is None:
        return str(escape(f"Not ranked: {place.why}."))
    text = f"Rank {place.rank.rank} of {n}" if n > 1 else "The only ranked model here"
    if place.again and place.again in by_id:
        text += f"; measured again, see {by_id[place.again].slug}"
    if place.disputed and place.disputed in by_id:
        text += f"; disputed: {by_id[place.disputed].slug} has the same weights, and measured otherwise"
    return str(escape(f"{text}."))


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


THEMES = re.compile(
    r":root \{(?P<light>.*?)\}\s*@media \(prefers-color-scheme: dark\) \{\s*:root \{(?P<dark>.*?)\}", re.S
)


def _assets(out: Path) -> None:
    (out / "assets").mkdir(exist_ok=True)
    style = str(stylesheet())
    found = THEMES.search(style)
    looks = {} if found is None else found.groupdict()
    chosen = "".join(f':root[data-theme="{k}"] {{ color-scheme: {k}; {v} }}\n' for k, v in looks.items())
    chosen = f"@media screen {{\n{chosen}}}\n"  # paper is white, whichever look was chosen
    write_text(out / "assets" / "site.css", style + (HERE / "site.css").read_text(encoding="utf-8") + chosen)
    for name in ("board.js", "compare.js", "theme.js"):
        write_text(out / "assets" / name, (HERE / name).read_text(encoding="utf-8"))


def _index(board: Board, tabs: Sequence[Tab], risks: Sequence[RiskRow]) -> dict[str, Any]:
    return {
        "title": board.about.title,
        "nulls": board.about.nulls,
        "root": "",
        "nav": "board",
        "tabs": [_tab_values(t) for t in tabs],
        "number": number,
        "screening": screening_tables(risks),
        "screening_head": HEAD,
        "ship": may_it_ship(tabs[0] if tabs else None, risks),
    }


def _tab_values(t: Tab) -> dict[str, Any]:
    references = _references(t)
    forms, heat = heat_table(t)
    order = families(t.rows)
    legend = [(colour(f, order), f) for f in order[:5]] + ([("c6", "other families")] if len(order) > 5 else [])
    return {
        "id": t.id,
        "title": t.title,
        "ladder": t.ladder,
        "answer": answer(t),
        "about": _about(t),
        "columns": t.columns,
        "rows": [(e, [c.cell(e, t.places[e.id]) for c in t.columns]) for e in t.rows[:MOST_STATIC]],
        "n": len(t.rows),
        "n_models": t.n_models,
        "more": len(t.more),
        "forms": t.forms,
        "families": sorted({e.family for e in t.rows}),
        "sizes": list({size_of(e.parameters): None for e in sorted(t.rows, key=lambda e: e.parameters)}),
        "steps": any(e.kind == "checkpoint" for e in t.more),
        "references": references,
        "scatter": scatter(t, references, 480, 340) if heat else scatter(t, references),
        "scatter_narrow": scatter(t, references, 350, 300),
        "legend": legend,
        "heat_forms": forms,
        "heat": heat,
    }


def _about(t: Tab) -> str:
    if t.ladder:
        return (
            "A noun is shown as itself, as a definition, in other languages, as an emoji or an image. Any model can "
            "copy the word; the ladder score says how much of that gain is left when it cannot."
        )
    form = t.rows[0].form if t.rows else ""
    return (
        "The gain is how much less surprising a noun’s word becomes when its own noun, and not another, was shown"
        f"{f' (form {form})' if form else ''}, in nats."
    )


def _references(t: Tab) -> list[Reference]:
    """Return what a score is read against: reference models, what an ideal observer gains, untrained models."""
    found = [_reference(e, t) for e in t.references]
    ideal = {e.ideal for e in t.rows if e.ideal is not None}
    if len(ideal) == 1:
        found.append(Reference(ideal.pop(), "ideal observer"))
    untrained = [e.gain for e in t.more if e.kind == "checkpoint" and e.step == 0 and e.gain is not None and e.own]
    if untrained:
        found.append(Reference(sum(untrained) / len(untrained), f"untrained (mean of {len(untrained)})"))
    return found


def _reference(e: ResultRow, t: Tab) -> Reference:
    value, low, high = score_of(t, e)
    why = "" if value is not None else "word not told from 0" if t.ladder else "no gain measured"
    return Reference(value, e.model, e.slug, why, interval(low, high) or "")


def _table_data(out: Path, tabs: Sequence[Tab], nulls: Sequence[str]) -> None:
    """Return the tables' rows for the script: headline rows at once, forms and checkpoints when they are asked for."""
    data = {t.id: [_row(e, t, t.columns) for e in t.rows] for t in tabs}
    write_text(out / "data" / "board.js", script("groundbenchBoard", data, list(nulls)))
    for t in tabs:
        if t.more:
            write_text(
                out / "data" / f"more-{t.id}.js",
                script("groundbenchMore", t.id, [_row(e, t, t.columns) for e in t.more]),
            )


def _row(e: ResultRow, t: Tab, columns: Sequence[Column]) -> list[Any]:
    """Return a row as the script reads it: id, folder, kind, form, step, family, size class, own, cells."""
    cells = [_cell(c.cell(e, t.places[e.id])) for c in columns]
    return [e.id, e.slug, e.kind[0], e.form, e.step, e.family, size_of(e.parameters), int(e.own), cells]


def _cell(v: Value) -> list[Any]:
    sort = round(v.sort, 6) if isinstance(v.sort, float) else v.sort
    return [v.text, v.detail] if sort == v.text or sort is None else [v.text, v.detail, sort]


def _records(tabs: Sequence[Tab]) -> Iterable[dict[str, Any]]:
    """Yield every result and form with its numbers under fixed names; None where not measured."""
    for t in tabs:
        for e in (*t.rows, *t.more, *t.references):
            if e.kind == "checkpoint":
                continue
            place = t.places[e.id]
            s = e.ladder
            yield {
                "id": e.id,
                "folder": e.slug,
                "own": e.own,
                "reference": any(e is r for r in t.references),
                "rank": place.rank.rank if place.rank and not place.aside else None,
                "rank_method": place.rank.method if place.rank and not place.aside else None,
                "not_ranked": place.why or (f"of {place.aside}" if place.aside else None),
                "same_model_as": place.again or None,
                "model": e.model,
                "submitter": e.submitter,
                "family": e.family,
                "parameters": e.parameters,
                "testbed": e.testbed,
                "testbed_version": e.version,
                "form": e.form,
                "nouns": e.n_nouns,
                "ladder_score": s.score if s else None,
                "ladder_ci_low": s.ci_low if s else None,
                "ladder_ci_high": s.ci_high if s else None,
                "ladder_forms": "+".join(f.env_form for f in s.forms) if s else None,
                "gain_nats": e.gain,
                "ci_low_nats": e.low,
                "ci_high_nats": e.high,
                "heads": e.heads,
                "heads_null": e.heads_null,
                "layer": e.layer,
                "layers": e.depth or None,
                "heads_for_half": e.heads_for_half,
                "cut_minus_control_nats": e.lost,
                "removed": e.removed,
                "image_gain_nats": e.image,
                "measured": e.measured,
                "released": e.released,
                "licence_of_weights": e.licence,
            }


UNITS = {
    "gain_nats": "nats",
    "ci_low_nats": "nats",
    "ci_high_nats": "nats",
    "cut_minus_control_nats": "nats",
    "image_gain_nats": "nats",
    "ladder_score": "ratio of gains, 0 copying alone, 1 every form as good as the word",
    "removed": "share of the gain",
    "heads": "heads, mean over items",
    "layer": "from 1",
    "parameters": "count",
}


def board_json(board: Board, tabs: Sequence[Tab]) -> dict[str, Any]:
    """Return the board as data, with units and terms."""
    return {
        "title": board.about.title,
        "groundbench": __version__,
        "units": UNITS,
        "intervals": "95 %",
        "licence": "numbers: CC0-1.0; names, notes and licences of weights: their submitters’",
        "entries": list(_records(tabs)),
    }


def board_csv(tabs: Sequence[Tab]) -> str:
    """Return the board as CSV: one line for each final result, empty where nothing was measured.

    Text that a spreadsheet would take for a formula is quoted with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    rows = list(_records(tabs))
    names = list(rows[0]) if rows else ["id"]
    writer.writerow(names)
    for r in rows:
        writer.writerow([_csv_cell(v) for v in r.values()])
    return out.getvalue()


def _csv_cell(value: float | str | bool | None) -> float | str:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value
