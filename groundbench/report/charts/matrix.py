"""A labelled matrix of shares: rows and columns have names, every cell its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from groundbench.report.charts import svg
from groundbench.results.text.numbers import number

WIDTH = 420


@dataclass(frozen=True)
class Grid:
    """Values by (row, column) between 0 (no colour) and 1 (full colour); None is left hollow."""

    rows: Sequence[str]
    columns: Sequence[str]
    values: Mapping[tuple[str, str], float | None]
    row_label: str
    column_label: str


def matrix_chart(grid: Grid, title: str, summary: str) -> Markup:
    """Return the matrix as one accessible SVG."""
    left = 12 + 6.4 * max((len(_short(r)) for r in grid.rows), default=4)
    top = 26 + 5.0 * max((len(_short(c)) for c in grid.columns), default=4)
    cell = min(44.0, (WIDTH - left - 8) / max(1, len(grid.columns)))
    parts = [
        svg.text(left, 12, f"{grid.column_label} →", "label"),
        svg.text(left, top + cell * len(grid.rows) + 18, f"↑ {grid.row_label}", "label"),
    ]
    for j, column in enumerate(grid.columns):
        place = f"translate({svg.px(left + cell * (j + 0.6))} {svg.px(top - 6)}) rotate(-50)"
        parts.append(svg.el("text", _short(column), class_="tick", transform=place))
    for i, row in enumerate(grid.rows):
        y = top + cell * i
        parts.append(svg.text(left - 6, y + cell / 2 + 4, _short(row), "row", "end"))
        parts += [
            part
            for j, column in enumerate(grid.columns)
            for part in _cell(grid.values.get((row, column)), left + cell * j, y, cell, f"{row} from {column}")
        ]
    return svg.canvas(WIDTH, top + cell * len(grid.rows) + 28, title, summary, parts)


def _short(name: str) -> str:
    """Return a form's name without what all translations share."""
    return name.removeprefix("translation-")


def _cell(value: float | None, x: float, y: float, cell: float, name: str) -> list[Markup]:
    box = {"x": x + 1, "y": y + 1, "width": cell - 2, "height": cell - 2, "rx": 3}
    if value is None:
        return [svg.el("rect", svg.el("title", f"{name}: not measured"), class_="hollow", **box)]
    shade = min(1.0, abs(value))
    kind = "heat minus" if value < 0 else "heat"
    rect = svg.el("rect", svg.el("title", f"{name}: {number(value)}"), class_=kind, fill_opacity=f"{shade:.3f}", **box)
    # On middle shades dark text is readable in both colour schemes, on strong ones the page's own colour.
    ink = "cellvalue on" if shade > 0.8 else "cellvalue middle" if shade > 0.6 else "cellvalue"
    return [rect, svg.text(x + cell / 2, y + cell / 2 + 4, number(value) or "", ink, "middle")]
