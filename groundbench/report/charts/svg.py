"""SVG by hand: elements as escaped markup, and the accessible frame around a plot."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from html import escape as html_escape

from markupsafe import Markup

Number = float | int


def el(name: str, *children: Markup | str, **attributes: str | Number | None) -> Markup:
    """Return an SVG element; strings are escaped, numbers rounded to 0.1 pixel, None attributes left out.

    `class_` is written `class`, and `_` in other names becomes `-` (`text_anchor`).
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None:
            continue
        text = px(value) if isinstance(value, int | float) else _escape_attribute(value)
        parts.append(f' {_attribute_name(key)}="{text}"')
    if not children:
        return _as_markup("".join(parts) + "/>")
    inner = "".join([c if isinstance(c, Markup) else html_escape(c) for c in children])
    return _as_markup(f"{''.join(parts)}>{inner}</{name}>")


@lru_cache(4096)
def _escape_attribute(text: str) -> str:
    """Return text inside quotes; attributes hold the same few classes and anchors thousands of times."""
    return html_escape(text)


@lru_cache(256)
def _attribute_name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _as_markup(text: str) -> Markup:
    """Mark text made of escaped parts as markup; a plain conversion, since pages hold thousands of elements."""
    return str.__new__(Markup, text)


def px(value: Number) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: Number, y: Number, label: str, class_: str = "", anchor: str | None = None) -> Markup:
    """Return a text element; `anchor` is start (the default), middle or end."""
    return el("text", label, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: Number, y1: Number, x2: Number, y2: Number, class_: str) -> Markup:
    """Return a straight line."""
    ends = f'x1="{px(x1)}" y1="{px(y1)}" x2="{px(x2)}" y2="{px(y2)}"'
    return _as_markup(f'<line {ends} class="{_escape_attribute(class_)}"/>')


def dot(x: Number, y: Number, r: Number, class_: str, hint: str = "") -> Markup:
    """Return a circle, with a hint shown under the pointer."""
    start = f'<circle cx="{px(x)}" cy="{px(y)}" r="{px(r)}" class="{_escape_attribute(class_)}"'
    return _as_markup(f"{start}><title>{html_escape(hint)}</title></circle>" if hint else f"{start}/>")


def diamond(x: Number, y: Number, r: Number, class_: str, hint: str = "") -> Markup:
    """Return a square on its corner: a mark that differs from a dot by shape, not by colour alone."""
    d = f"M{px(x)} {px(y - r)}L{px(x + r)} {px(y)}L{px(x)} {px(y + r)}L{px(x - r)} {px(y)}Z"
    return el("path", *([el("title", hint)] if hint else []), d=d, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, close: bool = False) -> Markup:
    """Return a line through points, closed to an area if asked."""
    d = "L".join(f"{px(x)} {px(y)}" for x, y in points)
    return el("path", d=f"M{d}{'Z' if close else ''}", class_=class_)


def canvas(
    width: Number, height: Number, title: str, summary: str, parts: Iterable[Markup], class_: str = ""
) -> Markup:
    """Return the <svg> with role, title and description, scaled to its column."""
    body = _as_markup("".join(parts))
    mark = blake2b(f"{title}{summary}{width}{body}".encode(), digest_size=6).hexdigest()
    return el(
        "svg",
        el("title", title, id=f"t{mark}"),
        el("desc", summary, id=f"d{mark}"),
        body,
        class_=f"plot {class_}".strip(),
        viewBox=f"0 0 {px(width)} {px(height)}",
        role="img",
        aria_labelledby=f"t{mark} d{mark}",
        style=f"max-width:{px(width * 1.25)}px",
    )
