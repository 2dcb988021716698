"""The section on images: where in them the heads read, the swap test, and a dozen to look at."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from groundbench.report.charts import svg
from groundbench.report.charts.dots import Layout, Row, dot_plot
from groundbench.report.elements import Cell, Figure, Section, Table
from groundbench.results.image import ImageRecord, PatchReading, SwapRecord
from groundbench.results.image_examples import ImageExample, ImageExamples, ReadMap
from groundbench.results.text.numbers import count, interval, number, percent, signed_number

TITLE = "Where in the image the word comes from"
LISTS = {"all": "all heads", "crossfit": "the detected heads"}
TILE, GAP, TOP, BOTTOM = 104.0, 8.0, 19.0, 22.0
HEAT = (214, 73, 14)


@dataclass(frozen=True)
class Gallery:
    """The images of a run with the bytes of their files, by name; a file that is missing is not there."""

    examples: ImageExamples
    files: Mapping[str, bytes] = field(default_factory=dict)


def image_sections(records: Sequence[ImageRecord], gallery: Gallery | None) -> list[Section]:
    """Return one section for all image forms of a result; none where it has none."""
    if not records:
        return []
    figures = [f for f in (_reading_figure(records), _swap_figure(records)) if f]
    if gallery is not None and gallery.examples.items:
        figures.append(_gallery_figure(gallery))
    notes = tuple(_notes(records))
    return [Section("image", TITLE, _lead_sentence(records[0]), tuple(figures), tuple(_tables(records)), notes)]


def _lead_sentence(record: ImageRecord) -> str:
    detected = next((r for r in record.reading if r.heads == "crossfit" and r.inside is not None), None)
    reading = detected or next((r for r in record.reading if r.inside is not None), None)
    parts = []
    if reading is not None:
        who = LISTS[reading.heads]
        ends = interval(reading.ratio_ci_low, reading.ratio_ci_high)
        parts.append(
            f"A patch of the object is read {number(reading.inside)} times as much as the image's mean patch by "
            f"{who}, one outside its box {number(reading.outside)} times"
            + (f": a ratio of {number(reading.ratio)}" if reading.ratio is not None else "")
            + (f" (95 % interval {ends})" if ends else "")
            + "."
        )
    for i, swap in enumerate(record.swaps):
        ends = interval(swap.gain_swapped_ci_low, swap.gain_swapped_ci_high)
        becomes = f"{number(swap.gain_swapped)} nats (95 % interval {ends})"
        if i == 0:
            parts.append(
                "With the box's patches of the matched and the mismatched image swapped, a gain of "
                f"{number(swap.gain)} becomes {becomes}."
            )
        else:
            parts.append(f"With {swap.region}, {becomes}.")
    return " ".join(parts) or "Nothing is known of where in the image the word comes from."


def _reading_figure(records: Sequence[ImageRecord]) -> Figure | None:
    found = [(name, r) for name, r in _readings(records) if r.inside is not None]
    if not found:
        return None
    rows = [row for name, r in found for row in _reading_rows(name, r)]
    summary = "; ".join(f"{r.label} {number(r.value) or 'not measured'}" for r in rows)
    layout = Layout(
        "saliency of a patch, over the image's mean patch", 420, 26, 190, reference=1.0, reference_label="mean"
    )
    chart = dot_plot(rows, layout, "Saliency per patch", summary)
    caption = (
        "At 1 a patch is read like any other. Line: clustered 95 % interval. The null box is an equal one elsewhere."
    )
    return Figure("Inside and outside the object's box", (chart,), _reading_table(found), caption)


def _reading_rows(name: str, r: PatchReading) -> list[Row]:
    label = f"{name}, " if name else ""
    return [
        Row(
            f"{label}{place}", getattr(r, key), getattr(r, f"{key}_ci_low"), getattr(r, f"{key}_ci_high"), colour=colour
        )
        for place, key, colour in (("inside", "inside", 1), ("null box", "null", 3), ("outside", "outside", 2))
    ]


def _readings(records: Sequence[ImageRecord]) -> list[tuple[str, PatchReading]]:
    several = len([r for r in records if r.reading]) > 1
    return [
        (f"{record.env_form}, {LISTS[r.heads]}" if several else LISTS[r.heads], r)
        for record in records
        for r in record.reading
    ]


def _reading_table(found: Sequence[tuple[str, PatchReading]]) -> Table:
    rows = tuple(
        (
            name,
            number(r.n_heads, 1),
            count(r.n_items),
            percent(r.share, 1),
            percent(r.expected, 1),
            number(r.inside),
            number(r.outside),
            number(r.null),
            number(r.ratio),
            interval(r.ratio_ci_low, r.ratio_ci_high),
        )
        for name, r in found
    )
    head = (
        "Heads",
        "Of them",
        "Items",
        "Box's share",
        "Of the patches",
        "Inside",
        "Outside",
        "Null box",
        "Inside / outside",
        "95 % interval",
    )
    return Table("Saliency per patch, over the image's mean patch", head, rows)


def _swap_figure(records: Sequence[ImageRecord]) -> Figure | None:
    found = [(r.env_form, r.swaps) for r in records if r.swaps]
    if not found:
        return None
    rows = [row for name, swaps in found for row in _swap_rows(name, swaps, len(found) > 1)]
    summary = "; ".join(f"{r.label} {number(r.value)}" for r in rows)
    wide = 260 if any(len(swaps) > 1 for _, swaps in found) else 190
    chart = dot_plot(rows, Layout("gain (nats)", 420, 30, wide), "Gain before and after the swap", summary)
    caption = "A gain that comes from the object's patches turns to its negative when they change images."
    table = Table(
        "The swap test (nats)",
        (
            "Form",
            "Swapped",
            "Of the patches",
            "Items",
            "Pairs left out",
            "Gain",
            "95 % interval",
            "After",
            "95 % interval",
            "After / gain",
        ),
        tuple(
            (
                name,
                s.region,
                percent(s.share, 1),
                count(s.n_items),
                count(s.n_left_out),
                number(s.gain),
                interval(s.gain_ci_low, s.gain_ci_high),
                number(s.gain_swapped),
                interval(s.gain_swapped_ci_low, s.gain_swapped_ci_high),
                number(s.ratio),
            )
            for name, swaps in found
            for s in swaps
        ),
        frozenset({0, 1}),
    )
    return Figure("The object's patches swapped", (chart,), table, caption)


def _swap_rows(name: str, swaps: Sequence[SwapRecord], several: bool) -> list[Row]:
    label, first = f"{name}, " if several else "", swaps[0]
    return [
        Row(f"{label}as they are", first.gain, first.gain_ci_low, first.gain_ci_high),
        *(
            Row(
                f"{label}{s.region if len(swaps) > 1 else 'swapped'}",
                s.gain_swapped,
                s.gain_swapped_ci_low,
                s.gain_swapped_ci_high,
                colour=2,
            )
            for s in swaps
        ),
    ]


def _tables(records: Sequence[ImageRecord]) -> list[Table]:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            r.env_form,
            number(r.n_patches, 0),
            None if r.rows is None else f"{r.rows} × {r.columns}",
            number(r.n_box, 1),
        )
        for r in records
    )
    return [Table("Images as the model reads them", ("Form", "Patches", "Grid", "In the box"), rows)]


def _notes(records: Sequence[ImageRecord]) -> list[str]:
    found = []
    if any(r.reading for r in records):
        found.append(
            "The detected heads of an item are those detected in at least half of the items of the other half of nouns "
            "and frames: chosen for reading the box in other items, so that no item chooses its own."
        )
    if any(r.swap is None for r in records):
        found.append("The swap test was not made: the model's adapter cannot swap patches.")
    return found


def _gallery_figure(gallery: Gallery) -> Figure:
    items = gallery.examples.items
    panels = tuple(_panel(k, p, gallery.files.get(p.file)) for k, p in enumerate(items))
    table = Table(
        "The images (nats)",
        ("Noun", "Form", "Frame", "Matched", "Mismatched", "Gain", "Prompt"),
        tuple(
            (p.noun, p.form, p.frame, number(p.matched), number(p.mismatched), signed_number(p.gain), p.text)
            for p in items
        ),
        frozenset({0, 1, 2, 6}),
    )
    caption = (
        f"{gallery.examples.rule} Left the image with the object's box; then what the detected heads, and all heads, "
        "read of it for the word: full colour is the patch that is read most."
    )
    return Figure("What the heads read", panels, table, caption, wide=True)


def _panel(number_: int, example: ImageExample, data: bytes | None) -> Markup:
    """Draw three tiles: the image, and the maps of both lists over it; the noun and its surprisals below."""
    width, height = 3 * TILE + 2 * GAP, TOP + TILE + BOTTOM
    found = {str(m.heads): m for m in example.maps}
    name = f"picture-{number_}"
    uri = None if data is None else f"data:image/webp;base64,{base64.b64encode(data).decode()}"
    parts = [_image_definition(name, uri), *_tile(0, "its image", name, uri, "whole"), _box(example, 0)]
    for k, (heads, label) in enumerate((("crossfit", "detected heads"), ("all", "all heads")), 1):
        parts += _tile(k, label, name, uri, "dim")
        parts += [_heat(found.get(heads), k), _box(example, k)]
    told = f"{example.noun}: {number(example.matched)} nats, {number(example.mismatched)} after another noun"
    parts.append(svg.text(0, TOP + TILE + 16, told, "name"))
    return svg.canvas(width, height, f"{example.noun} in frame {example.frame}", _summary(example), parts)


def _summary(example: ImageExample) -> str:
    """Say in words which part of each list's reading is in the box."""
    told = [f"surprisal {number(example.matched)} nats, {number(example.mismatched)} after another noun"]
    for m in example.maps:
        share = _in_box(m, example)
        if share is not None:
            told.append(f"{LISTS[m.heads]} read {percent(share)} in the object's box")
    return "; ".join(told) + "."


def _in_box(m: ReadMap, example: ImageExample) -> float | None:
    """Return the part of a map on the patches that the box touches."""
    if not m.values or example.box is None:
        return None
    left, top, right, bottom = m.region
    x0, y0, x1, y1 = example.box
    wide, high = (right - left) / m.columns, (bottom - top) / m.rows
    return sum(
        value
        for i, value in enumerate(m.values)
        if left + i % m.columns * wide < x1
        and left + (i % m.columns + 1) * wide > x0
        and top + i // m.columns * high < y1
        and top + (i // m.columns + 1) * high > y0
    )


def _image_definition(name: str, uri: str | None) -> Markup:
    if uri is None:
        return Markup("")
    image = svg.el("image", href=uri, width=TILE, height=TILE, preserveAspectRatio="none", id=name)
    return svg.el("defs", image)


def _tile(k: int, label: str, name: str, uri: str | None, class_: str) -> list[Markup]:
    x = k * (TILE + GAP)
    shown = svg.el("rect", x=x, y=TOP, width=TILE, height=TILE, class_="ground")
    if uri is not None:
        shown = svg.el("use", href=f"#{name}", x=x, y=TOP, class_=f"image {class_}")
    return [shown, svg.text(x, TOP - 7, label, "label")]


def _box(example: ImageExample, k: int) -> Markup:
    if example.box is None:
        return Markup("")
    x0, y0, x1, y1 = example.box
    corner = {"x": k * (TILE + GAP) + x0 * TILE, "y": TOP + y0 * TILE}
    return svg.el("rect", class_="object", width=(x1 - x0) * TILE, height=(y1 - y0) * TILE, **corner)


def _heat(m: ReadMap | None, k: int) -> Markup:
    """Return the map as a small PNG stretched over its part of the image; or why there is none."""
    x = k * (TILE + GAP)
    if m is None or not m.values:
        why = "none detected" if m is not None and m.n_heads == 0 else "nothing is read"
        return svg.text(x + TILE / 2, TOP + TILE - 6, why, "label", "middle")
    left, top, right, bottom = m.region
    place = {"x": x + left * TILE, "y": TOP + top * TILE}
    size = {"width": (right - left) * TILE, "height": (bottom - top) * TILE}
    uri = f"data:image/png;base64,{base64.b64encode(heat_png(m)).decode()}"
    return svg.el("image", href=uri, preserveAspectRatio="none", class_="read", **place, **size)


def heat_png(m: ReadMap) -> bytes:
    """Return a map as a PNG of one pixel for each patch: one colour, its opacity the patch's value over the largest."""
    largest = max(m.values)
    lines = []
    for row in range(m.rows):
        values = m.values[row * m.columns : (row + 1) * m.columns]
        lines.append(b"\0" + b"".join(bytes((*HEAT, round(235 * v / largest))) for v in values))
    header = struct.pack(">IIBBBBB", m.columns, m.rows, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
