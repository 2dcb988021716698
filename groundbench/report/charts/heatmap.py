"""A layer x head map: one square for each head, layers from the bottom up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from markupsafe import Markup

from groundbench.report.charts import svg
from groundbench.results.text.numbers import number

Head = tuple[int, int]


@dataclass(frozen=True)
class MapStyle:
    """The meaning of colours: the value at full colour, its unit, and the value from which a head is marked.

    Negative values take the other hue. Heads without a value are left hollow.
    """

    label: str
    full: float
    mark_from: float | None = None
    signed: bool = False
    decimals: int = 2


def heat_map(
    heads: Sequence[Head], values: Mapping[Head, float], style: MapStyle, title: str, summary: str, width: int = 420
) -> Markup:
    """Return the map as one accessible SVG.

    Args:
        heads: every head as (layer from 1, head from 0); layers may have different numbers of heads.
        values: what is shown of each head; a head that is missing has no value.
    """
    layers = sorted({layer for layer, _ in heads})
    columns = max((head for _, head in heads), default=0) + 1
    cell = max(5.0, min(26.0, (width - 60) / columns, 520 / max(len(layers), 1)))
    left, top = 40.0, 10.0
    lines = wrap(style.label, int((width - left) / 5.9))
    height = top + cell * len(layers) + 64 + 14 * len(lines)
    place = {layer: top + cell * (len(layers) - 1 - i) for i, layer in enumerate(layers)}
    parts = [_cell(h, values.get(h), style, left + cell * h[1], place[h[0]], cell) for h in heads]
    every = max(1, -(-14 // int(cell)))
    parts += [
        svg.text(left - 7, place[layer] + cell / 2 + 3.5, str(layer), "tick", "end")
        for i, layer in enumerate(layers)
        if i % every == 0 or (layer == layers[-1] and (len(layers) - 1) % every > every // 2)
    ]
    bottom = top + cell * len(layers)
    parts += [
        svg.text(left + cell * (h + 0.5), bottom + 14, str(h), "tick", "middle")
        for h in range(0, columns, max(1, -(-18 // int(cell))))
    ]
    parts.append(svg.text(left, bottom + 30, "head →", "label"))
    parts.append(svg.el("text", "layer →", class_="label", transform=f"translate(12 {svg.px(bottom)}) rotate(-90)"))
    parts += _legend(style, lines, left, bottom + 44)
    return svg.canvas(width, height, title, summary, parts)


def _cell(head: Head, value: float | None, style: MapStyle, x: float, y: float, cell: float) -> Markup:
    gap = 1.0 if cell < 10 else 2.0
    box = {"x": x + gap / 2, "y": y + gap / 2, "width": cell - gap, "height": cell - gap, "rx": min(3.0, cell / 6)}
    name = f"layer {head[0]}, head {head[1]}"
    if value is None:
        return svg.el("rect", svg.el("title", f"{name}: not measured"), class_="hollow", **box)
    shade = min(1.0, abs(value) / style.full) if style.full > 0 else 0.0
    rect = svg.el(
        "rect",
        svg.el("title", f"{name}: {number(value, style.decimals)}"),
        class_="heat minus" if value < 0 else "heat",
        fill_opacity=f"{shade:.3f}",
        **box,
    )
    if style.mark_from is None or value < style.mark_from:
        return rect
    centre = svg.dot(x + cell / 2, y + cell / 2, max(1.2, cell * 0.13), "pin")
    return Markup("").join((rect, centre))


def _legend(style: MapStyle, label: Sequence[str], x: float, y: float) -> list[Markup]:
    """Return the scale of colours with its ends, and below them what it shows, in lines that the map has room for."""
    steps = [-1.0, -0.5, 0.0, 0.5, 1.0] if style.signed else [0.0, 0.25, 0.5, 0.75, 1.0]
    parts = [
        svg.el(
            "rect",
            x=x + 18 * i,
            y=y,
            width=17,
            height=9,
            rx=2,
            class_="heat minus" if s < 0 else "heat",
            fill_opacity=f"{abs(s):.2f}",
        )
        for i, s in enumerate(steps)
    ]
    low = number(-style.full if style.signed else 0.0, style.decimals)
    ends = f"{low} to {number(style.full, style.decimals)}"
    parts.append(svg.text(x + 18 * len(steps) + 6, y + 9, ends, "label"))
    return [*parts, *(svg.text(x, y + 24 + 14 * i, line, "label") for i, line in enumerate(label))]
