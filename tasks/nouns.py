"""The inventory of protocol §3: 100 concrete nouns with CDI category, indefinite article and plural."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from groundbench.api.testbed import Noun


@cache
def inventory() -> tuple[Noun, ...]:
    """Return the 100 nouns, in alphabetical order."""
    table = yaml.safe_load((files(__package__) / "nouns.yaml").read_text(encoding="utf-8"))
    return tuple(Noun(word, *row) for word, row in table.items())


@cache
def word_forms() -> dict[str, str]:
    """Return every singular and plural of the inventory, lower case, with the noun it belongs to."""
    return {form: noun.word for noun in inventory() for form in (noun.plural, noun.word)}
