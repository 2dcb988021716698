"""A scatter plot of two numbers, one dot each; some dots are filled and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from groundbench.report.charts import svg
from groundbench.report.charts.scale import Scale, domain, round_step, tick_label
from groundbench.results.text.numbers import number


@dataclass(frozen=True)
class Dot:
    """One entry; `strong` fills it and writes its name beside it."""

    x: float
    y: float
    name: str
    strong: bool = False


@dataclass(frozen=True)
class ScatterAxes:
    """The layout of a scatter plot; both axes have 0 in view, or the dots alone without `from_zero`."""

    x_label: str
    y_label: str
    width: int = 420
    height: int = 280
    from_zero: bool = True


def scatter_chart(dots: Sequence[Dot], axes: ScatterAxes, title: str, summary: str) -> Markup:
    """Return the plot as one accessible SVG."""
    seen = (0.0,) if axes.from_zero else ()
    x = Scale(*domain([d.x for d in dots], seen), 44, axes.width - 34)
    y = Scale(*domain([d.y for d in dots], seen), axes.height - 36, 22)
    parts: list[Markup] = []
    for scale, about in ((y, 5), (x, 5)):
        step = round_step(scale.high - scale.low, about)
        for tick in scale.ticks(about):
            label = tick_label(tick, step)
            kind = "zero" if abs(tick) < step * 1e-6 else "grid"
            if scale is y:
                parts += [
                    svg.line(x.start, y(tick), x.end, y(tick), kind),
                    svg.text(x.start - 8, y(tick) + 3.5, label, "tick", "end"),
                ]
            else:
                parts += [
                    svg.line(x(tick), y.start, x(tick), y.end, kind),
                    svg.text(x(tick), y.start + 16, label, "tick", "middle"),
                ]
    parts.append(svg.text((x.start + x.end) / 2, axes.height - 3, axes.x_label, "label", "middle"))
    parts.append(svg.text(6, 11, axes.y_label, "label"))
    for d in sorted(dots, key=lambda d: d.strong):
        hint = f"{d.name}: {number(d.x)}, {number(d.y, 3)}"
        parts.append(svg.dot(x(d.x), y(d.y), 4.2 if d.strong else 3.0, "mark c2" if d.strong else "ring c1", hint))
    placed: list[tuple[float, float]] = []
    for d in sorted((d for d in dots if d.strong), key=lambda d: -d.y):
        at = (x(d.x) + 7, y(d.y) + 4)
        if all(abs(at[0] - a) > 30 or abs(at[1] - b) > 11 for a, b in placed):  # names that would overlap are left out
            parts.append(svg.text(*at, d.name, "tick"))
            placed.append(at)
    return svg.canvas(axes.width, axes.height, title, summary, parts)
