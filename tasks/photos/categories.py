"""Nouns of the inventory that a photo shows, by its annotated categories (categories.yaml)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml

from groundbench.tasks.nouns import inventory, word_forms
from groundbench.tasks.photos.annotations import Annotated

_WORD = re.compile(r"[^\W\d_]+")


@cache
def noun_of() -> Mapping[str, str]:
    """Map each category to its noun."""
    return {**{n.word: n.word for n in inventory()}, **_table()["nouns"]}


@cache
def canonical(category: str) -> str:
    """Return the category as the table has it: without case, underscores or plural (`Dogs`, `dining_table`)."""
    plain = " ".join(unicodedata.normalize("NFC", category).lower().replace("_", " ").split())
    if plain in noun_of() or plain in also():
        return plain
    return word_forms().get(plain, plain)


@cache
def also() -> Mapping[str, tuple[str, ...]]:
    """Map each category to nouns that its objects may be called besides."""
    return {category: tuple(words) for category, words in _table()["also"].items()}


def shown_nouns(picture: Annotated) -> frozenset[str]:
    """Return every noun that the photo may be said to show: by category, by other names, by its captions."""
    found: set[str] = set()
    for thing in picture.things:
        category = canonical(thing.category)
        if category in noun_of():
            found.add(noun_of()[category])
        found.update(also().get(category, ()))
    return frozenset(found).union(*map(named_nouns, picture.captions))


def named_nouns(text: str) -> frozenset[str]:
    """Return nouns of the inventory that a text has, in either number."""
    return frozenset(word_forms()[w] for w in _WORD.findall(text.lower()) if w in word_forms())


@cache
def _table() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = yaml.safe_load(
        (files(__package__) / "categories.yaml").read_text(encoding="utf-8")
    )
    return table
