"""A line chart with interval bands and labels at the line's end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from groundbench.report.charts import svg
from groundbench.report.charts.scale import Scale, domain, round_step, tick_label
from groundbench.report.text.labels import shorten_names
from groundbench.results.text.numbers import number

Values = Sequence[float | None]
CHARACTER = 7.0
"""The width of a tick's character, at most."""
BOLD = 7.9
"""The width of a name's character at a line's end, at most on average."""


@dataclass(frozen=True)
class Series:
    """A line: y over x, broken where y is None, with an optional interval and one of the palette's colours (1-6)."""

    name: str
    x: Sequence[float]
    y: Values
    low: Values = ()
    high: Values = ()
    colour: int = 1
    dashed: bool = False


@dataclass(frozen=True)
class Axes:
    """The layout of a chart; `zero` draws the line at 0 and keeps it in view."""

    x_label: str
    y_label: str
    width: int = 420
    height: int = 260
    zero: bool = True
    x_ticks: Sequence[float] | None = None
    x_labels: Sequence[str] = ()
    """Texts at `x_ticks` in place of their numbers."""
    decimals: int = 2
    y_range: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None
    """One range for all charts of a page whose x is the same; by default that of the series."""
    right: int | None = None


@dataclass(frozen=True)
class _Plot:
    axes: Axes
    series: Sequence[Series]
    x: Scale = field(init=False)
    y: Scale = field(init=False)

    def __post_init__(self) -> None:
        xs = [v for s in self.series for v in s.x]
        ys = [v for s in self.series for part in (s.y, s.low, s.high) for v in part]
        low, high = self.axes.y_range or domain(ys, (0.0,) if self.axes.zero else ())
        longest = max((len(s.name) for s in self.series), default=0) if len(self.series) > 1 else 0
        right = self.axes.right if self.axes.right is not None else 16 + min(longest * BOLD, self.axes.width * 0.36)
        x_low, x_high = self.axes.x_range or ((min(xs), max(xs)) if xs else (0.0, 1.0))
        object.__setattr__(self, "x", Scale(x_low, x_high, 44, self.axes.width - right))
        object.__setattr__(self, "y", Scale(low, high, self.axes.height - 36, 22))


def line_chart(series: Sequence[Series], axes: Axes, title: str, summary: str, names: bool = True) -> Markup:
    """Return the chart as one accessible SVG."""
    plot = _Plot(axes, series)
    parts = [*_grid(plot)]
    for s in series:
        parts += _band(plot, s)
    for s in series:
        parts += _line(plot, s)
    if names and len(series) > 1:
        parts += _end_labels(plot)
    return svg.canvas(axes.width, axes.height, title, summary, parts)


def _grid(plot: _Plot) -> Iterator[Markup]:
    x, y, axes = plot.x, plot.y, plot.axes
    step = round_step(y.high - y.low, 5)
    for tick in y.ticks(5):
        zero = axes.zero and abs(tick) < step * 1e-6
        yield svg.line(x.start, y(tick), x.end, y(tick), "zero" if zero else "grid")
        yield svg.text(x.start - 8, y(tick) + 3.5, tick_label(tick, step), "tick", "end")
    ticks = x.ticks(max(3, int((x.end - x.start) / 75))) if axes.x_ticks is None else axes.x_ticks
    x_step = 1.0 if axes.x_ticks is not None else round_step(x.high - x.low, max(3, int((x.end - x.start) / 75)))
    labels = axes.x_labels or [tick_label(tick, x_step) for tick in ticks]
    taken = -math.inf
    for tick, label in zip(ticks, labels, strict=True):
        half = len(label) * CHARACTER / 2
        if x(tick) - half > taken:  # a label that would run into the one before it is left out
            yield svg.text(x(tick), y.start + 16, label, "tick", "middle")
            taken = x(tick) + half
    yield svg.line(x.start, y.start, x.end, y.start, "axis")
    yield svg.text((x.start + x.end) / 2, axes.height - 3, axes.x_label, "label", "middle")
    yield svg.text(6, 11, axes.y_label, "label")


def _runs(s: Series, values: Values) -> Iterator[list[tuple[float, float]]]:
    """Yield the unbroken stretches of a line."""
    run: list[tuple[float, float]] = []
    for x, y in zip(s.x, values, strict=True):
        if y is None:
            if run:
                yield run
            run = []
        else:
            run.append((x, y))
    if run:
        yield run


def _band(plot: _Plot, s: Series) -> list[Markup]:
    if not s.low or not s.high:
        return []
    both = [(x, lo, hi) for x, lo, hi in zip(s.x, s.low, s.high, strict=True) if lo is not None and hi is not None]
    if len(both) < 2:
        return [svg.line(plot.x(x), plot.y(lo), plot.x(x), plot.y(hi), f"whisker c{s.colour}") for x, lo, hi in both]
    upper = [(plot.x(x), plot.y(hi)) for x, _, hi in both]
    lower = [(plot.x(x), plot.y(lo)) for x, lo, _ in reversed(both)]
    return [svg.path(upper + lower, f"band c{s.colour}", close=True)]


def _line(plot: _Plot, s: Series) -> Iterator[Markup]:
    style = f"line c{s.colour}" + (" dashed" if s.dashed else "")
    for run in _runs(s, s.y):
        if len(run) > 1:
            yield svg.path([(plot.x(x), plot.y(y)) for x, y in run], style)
    if len(s.x) <= 60:
        decimals = plot.axes.decimals
        for x, y in ((x, y) for run in _runs(s, s.y) for x, y in run):
            at = dict(zip(plot.axes.x_ticks or (), plot.axes.x_labels, strict=False)).get(x, f"{x:g}")
            hint = f"{s.name}, {plot.axes.x_label} {at}: {number(y, decimals)}"
            yield svg.dot(plot.x(x), plot.y(y), 2.4, f"mark c{s.colour}", hint)


def _end_labels(plot: _Plot) -> list[Markup]:
    """Return names at the lines' ends, pushed apart where they would overlap."""
    ends = []
    for s in plot.series:
        known = [y for y in s.y if y is not None]
        if known:
            ends.append((plot.y(known[-1]), s))
    ends.sort(key=lambda e: e[0])
    placed: list[float] = []
    for y, _ in ends:
        placed.append(max(y, placed[-1] + 14) if placed else y)
    overflow = (placed[-1] - plot.y.start) if placed else 0
    if overflow > 0:
        for i in range(len(placed) - 1, -1, -1):
            limit = plot.y.start if i == len(placed) - 1 else placed[i + 1] - 14
            placed[i] = min(placed[i], limit)
    room = max(4, int((plot.axes.width - plot.x.end - 12) / BOLD))
    names = shorten_names([s.name for _, s in ends], room)
    return [
        svg.text(plot.x.end + 9, y + 4, name, f"name c{s.colour}")
        for y, name, (_, s) in zip(placed, names, ends, strict=True)
    ]
