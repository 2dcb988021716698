"""The drawings: one sheet of glyphs for each style, and what each of them shows (art.yaml; sources in NOTICE)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

import yaml

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Noun
from groundbench.tasks.nouns import inventory

if TYPE_CHECKING:
    from PIL.Image import Image

STYLES = {"noto": "noto_Apache2", "fluent": "fluent_flat_MIT", "twemoji": "twemoji_CCBY4"}
"""Style -> the folder its glyphs came from."""
TRAIN_STYLES = ("noto", "fluent")
HELDOUT_STYLE = "twemoji"
CELL = 96
COLUMNS = 10
TINTS = {
    "red": (214, 40, 40),
    "yellow": (240, 200, 30),
    "green": (50, 160, 70),
    "blue": (45, 105, 205),
    "purple": (130, 70, 185),
    "pink": (240, 130, 175),
}
"""Colours that a glyph can be repainted in."""


@dataclass(frozen=True)
class Drawn:
    """A word that there is a glyph of.

    Attributes:
        color: what the glyph has in every style; None where they disagree.
        also: other words for what the glyph shows.
        mass: whether it is not counted ("some milk").
    """

    noun: Noun
    glyph: str
    color: str | None
    also: tuple[str, ...]
    mass: bool


@cache
def drawn_words() -> Mapping[str, Drawn]:
    """Return every word with a glyph, in alphabetical order: nouns of the inventory and others."""
    known = {n.word: n for n in inventory()}
    table = _table()
    found = {w: _parse_row(known[w], row) for w, row in table["nouns"].items() if "excluded" not in row}
    for word, row in table["others"].items():
        found[word] = _parse_row(Noun(word, "other", row.get("article", "a"), row["plural"]), row)
    return dict(sorted(found.items()))


@cache
def excluded_nouns() -> Mapping[str, str]:
    """Return the nouns of the inventory without a glyph, with the reason."""
    return {w: row["excluded"] for w, row in _table()["nouns"].items() if "excluded" in row}


@cache
def nouns() -> tuple[Noun, ...]:
    """Return the nouns of the inventory that have a glyph."""
    return tuple(n for n in inventory() if n.word in drawn_words())


@cache
def others() -> tuple[Noun, ...]:
    """Return the drawn things that are no nouns of the inventory."""
    return tuple(d.noun for d in drawn_words().values() if d.noun.category == "other")


@cache
def art_digest() -> str:
    """Return a hash of everything that decides a glyph's pixels (16 hex digits)."""
    parts = [_sheet_bytes(s) for s in STYLES] + [repr((list(drawn_words()), TINTS)).encode()]
    return hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).hexdigest()[:16]


@lru_cache(maxsize=4096)
def glyph(word: str, style: str, size: int, *, flip: bool = False, tint: str | None = None) -> Image:
    """Return the glyph as RGBA, `size` pixels square; flipped left to right, or repainted in one of TINTS.

    Raises:
        BadInputError: no glyph of that word, or no such style or tint.
    """
    from PIL.Image import Resampling, Transpose

    if word not in drawn_words():
        raise BadInputError(f"no glyph shows {word!r}: expected one of {', '.join(drawn_words())}")
    place = list(drawn_words()).index(word)
    x, y = place % COLUMNS * CELL, place // COLUMNS * CELL
    image = _sheet(style).crop((x, y, x + CELL, y + CELL))
    if tint is not None:
        image = _tint(image, tint)
    if flip:
        image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
    return image.resize((size, size), Resampling.BILINEAR) if size != CELL else image


def _tint(image: Image, tint: str) -> Image:
    """Return the glyph in shades of one colour: its light and dark kept, its own colours gone."""
    from PIL import ImageOps

    if tint not in TINTS:
        raise BadInputError(f"unknown tint {tint!r}: expected one of {', '.join(TINTS)}")
    alpha = image.getchannel("A")
    gray = ImageOps.autocontrast(image.convert("L"), cutoff=2, mask=alpha.point(lambda a: 255 if a > 128 else 0))
    color = TINTS[tint]
    dark, light = tuple(c // 3 for c in color), tuple(c + (255 - c) * 6 // 10 for c in color)
    painted = ImageOps.colorize(gray, black=dark, mid=color, white=light)
    painted.putalpha(alpha)
    return painted


def _parse_row(noun: Noun, row: Mapping[str, Any]) -> Drawn:
    return Drawn(noun, row["glyph"], row.get("color"), tuple(row.get("also", ())), row.get("mass", False))


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    table: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
        (files(__package__) / "art.yaml").read_text(encoding="utf-8")
    )
    return table


def _sheet_bytes(style: str) -> bytes:
    if style not in STYLES:
        raise BadInputError(f"unknown style {style!r}: expected one of {', '.join(STYLES)}")
    return (files(__package__) / f"{STYLES[style]}.png").read_bytes()


@cache
def _sheet(style: str) -> Image:
    from PIL import Image

    return Image.open(BytesIO(_sheet_bytes(style))).convert("RGBA")
