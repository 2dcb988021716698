"""Noun inventories as files: the paper's hundred, all CDI nouns of English, Spanish ones, or your own (protocol §3).

language: es
base: inventory                                # optional: the nouns of another inventory come first
nouns:
  libro: [toys, un, libros, librito]           # word: [category, article, plural, further forms ...]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Noun
from groundbench.tasks.nouns import inventory
from groundbench.util.yaml_files import read_marked

PAPER = "inventory"
SHIPPED = {"cdi-en": "nouns_cdi_en.yaml", "cdi-es": "nouns_cdi_es.yaml"}


@dataclass(frozen=True)
class Inventory:
    """Nouns of one language.

    Attributes:
        forms: of each noun, its plural and further forms, which say that it is there as the noun does.
    """

    name: str
    language: str
    nouns: tuple[Noun, ...]
    forms: Mapping[str, tuple[str, ...]]

    def word_forms(self) -> dict[str, str]:
        """Return every form with its noun, in lower case."""
        found = {form.lower(): noun for noun, forms in self.forms.items() for form in forms}
        return {**found, **{n.word.lower(): n.word for n in self.nouns}}


def load_inventory(name: str | Path = PAPER) -> Inventory:
    """Return the inventory of that name (`inventory`, `cdi-en`, `cdi-es`) or file.

    Raises:
        BadInputError: no such name or file; names file and line of what is wrong in it.
    """
    if str(name) == PAPER:
        nouns = inventory()
        return Inventory(PAPER, "en", nouns, {n.word: (n.plural,) for n in nouns})
    if str(name) in SHIPPED:
        return _read(Path(str(files(__package__) / SHIPPED[str(name)])), str(name))
    path = Path(name).expanduser()
    if not path.is_file():
        known = ", ".join((PAPER, *SHIPPED))
        raise BadInputError(f"nouns: {str(name)!r} is neither a file nor one of {known}")
    return _read(path, path.stem)


def _read(path: Path, name: str) -> Inventory:
    file = read_marked(path)
    fields = file.fields(("language", "nouns"), ("base",))
    nouns: dict[str, Noun] = {}
    forms: dict[str, tuple[str, ...]] = {}
    if "base" in fields:
        base = load_inventory(fields["base"].text())
        nouns, forms = {n.word: n for n in base.nouns}, dict(base.forms)
    for word, node in fields["nouns"].mapping().items():
        row = [cell.text() for cell in node.sequence()]
        if len(row) < 3:
            raise node.error(f"{word} has {len(row)} fields, expected [category, article, plural, further forms ...]")
        if word in nouns:
            raise node.error(f"the noun {word!r} is there twice")
        if len(word.split()) != 1:
            raise node.error(f"the noun {word!r} is not one word")
        nouns[word] = Noun(word, *row[:3])
        forms[word] = tuple(row[2:])
    if len(nouns) < 2:
        raise file.error(f"the file has {len(nouns)} nouns, expected at least 2")
    return Inventory(name, fields["language"].text(), tuple(nouns.values()), forms)
