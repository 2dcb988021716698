"""Dots on a shared horizontal scale: dumbbells, whiskers, strips of single values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from groundbench.report.charts import svg
from groundbench.report.charts.scale import Scale, domain, round_step, tick_label
from groundbench.results.text.numbers import number

LABEL_CHARACTER = 6.4
"""The width of an axis label's character, at most on average."""


@dataclass(frozen=True)
class Row:
    """One row: a main value with its interval, a second value, single values behind them, the place of a stroke.

    `sharp` draws the main value as a diamond.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    other: float | None = None
    cloud: Sequence[float] = ()
    tick: float | None = None
    colour: int = 1
    cloud_colour: int = 1
    note: str = ""
    sharp: bool = False


@dataclass(frozen=True)
class Layout:
    """The layout of rows; `include` are values that must be in view; `labels` is the width of the names."""

    x_label: str
    width: int = 420
    row_height: float = 22
    labels: int = 110
    include: Sequence[float] = (0.0,)
    x_range: tuple[float, float] | None = None
    reference: float | None = None
    reference_label: str = ""
    radius: float = 4.0
    decimals: int = 2


def value_range(rows: Sequence[Row], include: Sequence[float] = (0.0,)) -> tuple[float, float]:
    """Return the range of everything drawn in the rows: several panels share it."""
    values = [v for r in rows for v in (r.value, r.low, r.high, r.other, r.tick, *r.cloud)]
    return domain(values, include)


def dot_plot(rows: Sequence[Row], layout: Layout, title: str, summary: str) -> Markup:
    """Return one row for each entry, as one accessible SVG.

    A row draws, where known: its cloud as faint dots, the line from `other` to `value`, its interval as a whisker,
    `other` as a ring, `tick` as an upright stroke, and `value` as a dot.
    """
    include = layout.include if layout.reference is None else (*layout.include, layout.reference)
    low, high = layout.x_range or value_range(rows, include)
    top = 24 if layout.reference_label else 8
    height = top + layout.row_height * len(rows) + 36
    x = Scale(low, high, layout.labels + 8, layout.width - 12)
    bottom = top + layout.row_height * len(rows)
    parts = [*_axis(x, layout, top, bottom)]
    for i, row in enumerate(rows):
        parts += _row(row, x, top + layout.row_height * (i + 0.5), layout)
    return svg.canvas(layout.width, height, title, summary, parts)


def _axis(x: Scale, layout: Layout, top: float, bottom: float) -> Iterator[Markup]:
    about = max(2, int((x.end - x.start) / 70))
    step = round_step(x.high - x.low, about)
    for tick in x.ticks(about):
        yield svg.line(x(tick), top, x(tick), bottom, "zero" if abs(tick) < step * 1e-6 else "grid")
        yield svg.text(x(tick), bottom + 15, tick_label(tick, step), "tick", "middle")
    half = len(layout.x_label) * LABEL_CHARACTER / 2  # a long one keeps to the picture
    centre = max(half, min((x.start + x.end) / 2, layout.width - half))
    yield svg.text(centre, bottom + 32, layout.x_label, "label", "middle")
    if layout.reference is not None:
        at = x(layout.reference)
        yield svg.line(at, top - 6, at, bottom, "reference")
        if layout.reference_label:
            anchor = "end" if at > (x.start + x.end) / 2 else "start"
            yield svg.text(at, 13, layout.reference_label, "label", anchor)


def _row(row: Row, x: Scale, y: float, layout: Layout) -> Iterator[Markup]:
    room = max(3, int(layout.labels / 6.3))
    label = row.label if len(row.label) <= room else row.label[: room - 1] + "…"
    yield svg.text(layout.labels, y + 4, label, "row", "end")
    for value in row.cloud:
        yield svg.dot(x(value), y, layout.radius * 0.75, f"cloud c{row.cloud_colour}")
    if row.value is None:
        yield svg.text(x(max(x.low, 0.0)) + 6, y + 4, row.note or "not measured", "tick")
        return
    at = x(row.value)
    if row.other is not None:
        yield svg.line(x(row.other), y, at, y, "stem")
        hint = f"{row.label}: {number(row.other, layout.decimals)}"
        yield svg.dot(x(row.other), y, layout.radius, "ring c2", hint)
    if row.low is not None and row.high is not None:
        yield svg.line(x(row.low), y, x(row.high), y, f"whisker c{row.colour}")
    if row.tick is not None:
        yield svg.line(x(row.tick), y - 7, x(row.tick), y + 7, "tickmark")
    ends = "" if row.low is None or row.high is None else f" [{number(row.low)}, {number(row.high)}]"
    hint = f"{row.label}: {number(row.value, layout.decimals)}{ends}{'; ' + row.note if row.note else ''}"
    mark = svg.diamond if row.sharp else svg.dot
    yield mark(at, y, layout.radius * (1.4 if row.sharp else 1), f"mark c{row.colour}", hint)
