"""Which nouns of the inventory a picture shows, by its annotated categories (categories.yaml)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml

from groundbench.tasks.nouns import word_forms
from groundbench.tasks.photos.annotations import Annotated

_WORD = re.compile(r"[^\W\d_]+")


@cache
def noun_of() -> Mapping[str, str]:
    """Category -> noun."""
    table: dict[str, dict[str, str]] = _table()
    return table["nouns"]


@cache
def also() -> Mapping[str, tuple[str, ...]]:
    """Category -> nouns that its objects may be called besides."""
    return {category: tuple(words) for category, words in _table()["also"].items()}


def shown(picture: Annotated) -> frozenset[str]:
    """Every noun that the picture may be said to show: by category, by what objects may be called, by its captions."""
    found: set[str] = set()
    for thing in picture.things:
        if thing.category in noun_of():
            found.add(noun_of()[thing.category])
        found.update(also().get(thing.category, ()))
    return frozenset(found).union(*map(named, picture.captions))


def named(text: str) -> frozenset[str]:
    """Nouns of the inventory that a text has, in either number."""
    return frozenset(word_forms()[w] for w in _WORD.findall(text.lower()) if w in word_forms())


@cache
def _table() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = yaml.safe_load(
        (files(__package__) / "categories.yaml").read_text(encoding="utf-8")
    )
    return table
