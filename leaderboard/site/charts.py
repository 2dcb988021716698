"""The images above a table: score against size with whiskers, and a heat table of models and forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from groundbench.leaderboard.rows import ResultRow
from groundbench.leaderboard.site.tabs import Tab
from groundbench.report.charts import svg
from groundbench.report.charts.scale import Scale, domain, tick_label
from groundbench.results.text.numbers import number, parameters

MOST_DOTS = 400
MOST_ROWS = 24
COLOURS = 6
WIDE = 660
Dot = tuple[ResultRow, float | None, float | None, float | None]
"""A row with its score and its interval."""


@dataclass(frozen=True)
class Reference:
    """A horizontal line to read the score against; without a value it is in the table only, with the reason.

    `slug`: the entry that was measured, if it is one of the board's.
    """

    value: float | None
    label: str
    slug: str = ""
    why: str = ""
    interval: str = ""


@dataclass(frozen=True)
class HeatRow:
    """A model's cells: the share of the word's gain (or nats) in each form; None where not measured."""

    id: str
    slug: str
    model: str
    cells: tuple[tuple[str | None, str, str], ...]
    """Text, the shade 0-9, and the words for a reader."""


def families(rows: Sequence[ResultRow]) -> list[str]:
    """Families by the number of their models: the first five have a colour each, the rest share one."""
    names = [e.family for e in rows]
    return sorted(set(names), key=lambda f: (-names.count(f), f))


def colour(family: str, order: Sequence[str]) -> str:
    """Return the CSS class of a family's colour."""
    place = order.index(family) if family in order else COLOURS
    return f"c{min(place, COLOURS - 1) + 1}"


def score_of(tab: Tab, row: ResultRow) -> tuple[float | None, float | None, float | None]:
    """Return the score by which a tab's chart and table rank, with its interval."""
    if tab.ladder:
        s = row.ladder
        return (s.score, s.ci_low, s.ci_high) if s else (None, None, None)
    return row.gain, row.low, row.high


def scatter(tab: Tab, references: Sequence[Reference], width: int = WIDE, height: int = 320) -> Markup:
    """Score against parameters (log), an interval as whiskers, one colour for each family."""
    dots = [(e, *score_of(tab, e)) for e in tab.rows if not (tab.places[e.id].again or tab.places[e.id].aside)]
    dots = [d for d in dots if d[1] is not None and d[0].parameters > 0][:MOST_DOTS]
    if not dots:
        return Markup("")
    left, right, top, bottom = 50, width - 14, 18, height - 44
    ends = [v for d in dots for v in d[1:] if v is not None]
    levels = [(r.value, r.label) for r in references if r.value is not None]
    low, high = domain(ends, [0.0, *(value for value, _ in levels)])
    y = Scale(low, high, bottom, top)
    sizes = [math.log10(d[0].parameters) for d in dots]
    least, most = math.floor(min(sizes) - 0.15), math.ceil(max(sizes) + 0.15)
    x = Scale(least, most, left, right)
    parts: list[Markup] = []
    ticks = y.ticks(5)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    for t in ticks:
        parts += [
            svg.line(left, y(t), right, y(t), "zero" if abs(t) < 1e-9 else "grid"),
            svg.text(left - 6, y(t) + 4, tick_label(t, step), "tick", "end"),
        ]
    for power in range(least, most + 1):
        parts += [
            svg.line(x(power), top, x(power), bottom, "grid"),
            svg.text(x(power), bottom + 16, parameters(10**power), "tick", "middle"),
        ]
    parts.append(svg.text((left + right) / 2, height - 8, "parameters", "label", "middle"))
    for level, label in levels:
        parts += [
            svg.line(left, y(level), right, y(level), "reference"),
            svg.text(right, y(level) - 5, label, "tick reference-label", "end"),
        ]
    order = families([d[0] for d in dots])
    for row, value, start, end in dots:
        at, c = x(math.log10(row.parameters)), colour(row.family, order)
        if start is not None and end is not None:
            parts.append(svg.line(at, y(start), at, y(end), f"whisker {c}"))
        parts.append(svg.dot(at, y(value or 0.0), 4.5, f"mark {c}", f"{row.model}: {number(value)}"))
    parts += _labels(dots[:8], dots, x, y, width)
    what = "Ladder score" if tab.ladder else "Gain in nats"
    summary = f"{what} of {len(dots)} models against their parameters, with 95 % intervals."
    return svg.canvas(width, height, f"{what} by model size", summary, parts)


def _labels(best: Sequence[Dot], dots: Sequence[Dot], x: Scale, y: Scale, width: int) -> list[Markup]:
    """Return names of the best, beside their dots where they run into no other name or dot."""
    taken: list[tuple[float, float, float, float]] = []
    for row, value, _, _ in dots:
        at, level = x(math.log10(row.parameters)), y(value or 0.0)
        taken.append((at - 5, level - 5, at + 5, level + 5))
    out = []
    for row, value, _, _ in best:
        name = row.model if len(row.model) <= 24 else row.model[:23] + "…"
        span = 6.6 * len(name)
        at, level = x(math.log10(row.parameters)), y(value or 0.0)
        left = at + 8 + span > width - 6
        start = at - 8 - span if left else at + 8
        box = (start, level - 8, start + span, level + 8)
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken) or start < 40:
            continue
        taken.append(box)
        out.append(svg.text(at - 8 if left else at + 8, level + 4, name, "name", "end" if left else None))
    return out


def heat_table(tab: Tab) -> tuple[tuple[str, ...], tuple[HeatRow, ...]]:
    """Models and forms: of the ladder the share of the word's gain, with the word's nats before it."""
    if not tab.ladder:
        return (), ()
    shown = [e for e in tab.rows if e.ladder is not None and e.ladder.forms and not tab.places[e.id].again][:MOST_ROWS]
    forms = list(dict.fromkeys(f.env_form for e in shown for f in (e.ladder.forms if e.ladder else ())))
    rows = []
    for e in shown:
        if e.ladder is None:
            continue
        by_form = {f.env_form: f for f in e.ladder.forms}
        cells: list[tuple[str | None, str, str]] = []
        for name in forms:
            f = by_form.get(name)
            if f is None:
                cells.append((None, "", "not measured"))
                continue
            shade = str(min(9, max(0, int(f.ratio * 10))))
            words = f"{number(f.gain)} of {number(f.gain_word)} nats, {f.n_nouns} nouns"
            cells.append((number(f.ratio), shade, words))
        rows.append(HeatRow(e.id, e.slug, e.model, tuple(cells)))
    return tuple(forms), tuple(rows)
