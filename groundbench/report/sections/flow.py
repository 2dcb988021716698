"""Saliency flow of one prompt as a page: a map of tokens for each layer (protocol §8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from groundbench.report.charts import svg
from groundbench.report.elements import Facts, Figure, Section, Table
from groundbench.results.text.numbers import count, number, percent

Matrix = Sequence[Sequence[float]]
LEFT, TOP, EDGE, LEGEND = 88.0, 78.0, 8.0, 34.0
"""Room in pixels for tokens beside and above a map, at its right and for its scale; more where names are long."""
LETTER = 7.0
"""The width of a bold letter in pixels."""
SMALL, MEDIUM, WIDE = 340, 460, 900
"""Widths of a panel: three, two or one beside each other, by the number of tokens."""
LONGEST = 12
FAINTEST = 0.004
"""Cells of a lower share of the largest entry would not be seen, and are not drawn."""


@dataclass(frozen=True)
class Layer:
    """One mixer's matrix: flow[q][k] goes into token q from token k."""

    number: int
    flow: Matrix


@dataclass(frozen=True)
class FlowPage:
    """The content of a page of flow.

    Attributes:
        title, about, sentence: the page's heading, the line above it and the one below.
        tokens: of the prompt; `shown`: the positions of the ENV form.
        facts: (name, value) of how it was measured.
    """

    title: str
    about: str
    sentence: str
    tokens: tuple[str, ...]
    shown: frozenset[int]
    layers: tuple[Layer, ...]
    facts: tuple[tuple[str, str], ...]
    environment: Facts | None = None

    @property
    def largest(self) -> float:
        """The largest entry of all layers: full colour on every map."""
        return max((_largest_entry(layer.flow)[0] for layer in self.layers), default=0.0)


def flow_section(page: FlowPage) -> Section:
    """Return one map for each layer, and the layers' sums."""
    width, columns = _size(len(page.tokens))
    figures = tuple(_figure(page, layer, width) for layer in page.layers)
    lead = (
        "A square is what flows into the token of its row from the token of its column; the last row is the place of "
        "the prediction. All layers have one scale of colour. The noun’s own tokens are set bold, and what flows from "
        "them to the prediction is framed."
    )
    return Section("flow", "Flow, layer by layer", lead, figures, (_sums(page),), columns=columns)


def flow_facts(page: FlowPage) -> list[Facts]:
    """List how it was measured, and on what."""
    return [Facts("Measured", page.facts), *([page.environment] if page.environment else [])]


def _size(tokens: int) -> tuple[int, int]:
    if tokens <= 16:
        return SMALL, 3
    return (MEDIUM, 2) if tokens <= 32 else (WIDE, 1)


def _figure(page: FlowPage, layer: Layer, width: int) -> Figure:
    largest, (query, key) = _largest_entry(layer.flow)
    summary = (
        f"The largest entry, {largest:.2g}, flows from {_token_name(page, key)} to {_token_name(page, query)}."
        if largest > 0
        else "Nothing flows in this layer."
    )
    title = f"Layer {layer.number}"
    chart = flow_map(page, layer.flow, width, title, summary)
    return Figure(title, (chart,), _last_row(page, layer), summary, wide=width == WIDE, scrolls=width == WIDE)


def _token_name(page: FlowPage, position: int) -> str:
    return f"“{page.tokens[position].strip() or page.tokens[position]}” ({position + 1})"


def _largest_entry(flow: Matrix) -> tuple[float, tuple[int, int]]:
    cells = ((value, (q, k)) for q, row in enumerate(flow) for k, value in enumerate(row))
    return max(cells, key=lambda cell: cell[0])


@dataclass(frozen=True)
class _Place:
    """The corner of a map's first square, and the side of each square, in pixels."""

    left: float
    top: float
    cell: float


def flow_map(page: FlowPage, flow: Matrix, width: int, title: str, summary: str) -> Markup:
    """Return the lower triangle of one layer's matrix as an accessible SVG, tokens on both sides, the scale below."""
    n, largest = len(page.tokens), page.largest
    longest = max((len(_full_token(page.tokens[i])) for i in page.shown), default=0) * LETTER + 10
    left, top = max(LEFT, longest), max(TOP, longest)
    at = _Place(left, top, min(28.0, (width - left - EDGE) / n))
    side = at.cell * n
    stairs = [(left + (i + 1) * at.cell, top + y * at.cell) for i in range(n) for y in (i, i + 1)]
    parts = [svg.path([(left, top), *stairs, (left, top + side)], "ground", close=True)]
    parts += _labels(page.tokens, page.shown, at)
    if largest > 0:
        parts += _cells(page.tokens, flow, largest, at)
    parts += [_frame(k, n - 1, at) for k in sorted(page.shown)]
    parts += _scale(largest, left, top + side + 14)
    return svg.canvas(width, top + side + LEGEND, title, summary, parts)


def _scale(largest: float, x: float, y: float) -> list[Markup]:
    """Return the scale of colours, from 0 to the largest entry of all layers."""
    steps = [0.0, 0.25, 0.5, 0.75, 1.0]
    parts = [
        svg.el("rect", x=x + 18 * i, y=y, width=17, height=9, rx=2, class_="heat", fill_opacity=f"{s:.2f}")
        for i, s in enumerate(steps)
    ]
    return [*parts, svg.text(x + 18 * len(steps) + 6, y + 9, f"0 to {largest:.2g} in all layers", "label")]


def _cells(tokens: Sequence[str], flow: Matrix, largest: float, at: _Place) -> Iterator[Markup]:
    for q, row in enumerate(flow):
        for k, value in enumerate(row[: q + 1]):
            shade = value / largest
            if shade < FAINTEST:
                continue
            hint = f"{tokens[k].strip()} ({k + 1}) → {tokens[q].strip()} ({q + 1}): {value:.3g}"
            box = {"x": at.left + k * at.cell, "y": at.top + q * at.cell, "width": at.cell, "height": at.cell}
            yield svg.el("rect", svg.el("title", hint), class_="cell", fill_opacity=f"{shade:.3f}", **box)


def _frame(key: int, query: int, at: _Place) -> Markup:
    box = {"x": at.left + key * at.cell, "y": at.top + query * at.cell, "width": at.cell, "height": at.cell}
    return svg.el("rect", class_="pick", **box)


def _labels(tokens: Sequence[str], shown: frozenset[int], at: _Place) -> Iterator[Markup]:
    every = max(1, -(-9 // int(max(at.cell, 1.0))))  # where squares are small not every token has room for its name
    for i, token in enumerate(tokens):
        if i % every and i not in shown and i != len(tokens) - 1:
            continue
        name = "tick shown" if i in shown else "tick"
        text, middle = _full_token(token) if i in shown else _short_token(token), (i + 0.5) * at.cell
        yield svg.text(at.left - 6, at.top + middle + 3.5, text, name, "end")
        turn = f"translate({svg.px(at.left + middle + 3.5)} {svg.px(at.top - 6)}) rotate(-90)"
        yield svg.el("text", text, class_=name, transform=turn)


def _full_token(token: str) -> str:
    return token.strip() or repr(token)[1:-1]


def _short_token(token: str) -> str:
    text = _full_token(token)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _last_row(page: FlowPage, layer: Layer) -> Table:
    """Show the flow into the prediction, token by token."""
    row, total = layer.flow[-1], sum(layer.flow[-1])
    cells = tuple(
        (str(i + 1), token.strip(), f"{value:.3g}", percent(value / total, 1) if total > 0 else None)
        for i, (token, value) in enumerate(zip(page.tokens, row, strict=True))
    )
    head = ("Position", "Token", "Into the prediction", "Share of the row")
    return Table(f"Layer {layer.number}: what flows into the prediction", head, cells, frozenset({0, 1}))


def _sums(page: FlowPage) -> Table:
    rows = []
    for layer in page.layers:
        row, total = layer.flow[-1], sum(map(sum, layer.flow))
        edge = sum(row[k] for k in page.shown)
        parts = (percent(edge / whole, 1) if whole > 0 else None for whole in (sum(row), total))
        rows.append((count(layer.number), number(total, 3), number(edge, 3), *parts))
    head = ("Layer", "Whole flow", "Noun → prediction", "Share of the prediction's row", "Share of the layer")
    return Table("Flow of every layer (sums of I)", head, tuple(rows))
