"""The material of text scenes: settings, colours, numbers, the usual, and the wording of presence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment
from groundbench.tasks.ladder import load as load_ladder
from groundbench.tasks.nouns import inventory

Sets = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Property:
    """Something that is usual of a noun: how a scene says it, how it is asked, and other values it could have."""

    says: str
    asks: str
    values: tuple[str, ...]
    usual: Mapping[str, str]


@dataclass(frozen=True)
class Material:
    """The table of scenes.

    Attributes:
        settings: place -> sets of nouns that go together, the first of at least four.
        colored, counted: nouns that come in any colour, or in numbers.
    """

    settings: Mapping[str, Sets]
    colors: tuple[str, ...]
    colored: tuple[str, ...]
    numbers: tuple[str, ...]
    counted: tuple[str, ...]
    properties: Mapping[str, Property]


@dataclass(frozen=True)
class Wording:
    """The wording of presence questions: `opening` is the text before the scene, the worked examples of a style."""

    opening: str
    scene: str
    asks: str
    answers: tuple[str, str]


@cache
def material() -> Material:
    """Return the table of scenes.yaml."""
    table = _read("scenes.yaml")
    return Material(
        settings={place: tuple(tuple(s) for s in sets) for place, sets in table["settings"].items()},
        properties={
            name: Property(row["says"], row["asks"], tuple(row["values"]), row["usual"])
            for name, row in table["properties"].items()
        },
        **{key: tuple(table[key]) for key in ("colors", "colored", "numbers", "counted")},
    )


@cache
def styles() -> tuple[str, ...]:
    """Return the styles in which presence can be asked; the first is the default."""
    table = _read("wording.yaml")
    return (table["default"], *(name for name in table["styles"] if name != table["default"]))


@cache
def wording(style: str) -> Wording:
    """Return the wording of presence in this style. Raises BadInputError for an unknown one."""
    table = _read("wording.yaml")
    if style not in table["styles"]:
        raise BadInputError(f"text-scenes has no style {style!r}: it has {', '.join(table['styles'])}")
    told = table["styles"][style]
    shots = ""
    for place, first, second, third, noun, answer in table["examples"][: told["examples"]]:
        scene = told["scene"].format(place=place, first=first, second=second, third=third)
        shots += f"{scene}{told['asks'].format(noun=noun)} {answer}\n"
    yes, no = table["answers"]
    return Wording(shots, told["scene"], told["asks"], (yes, no))


@cache
def forms() -> tuple[str, ...]:
    """Return the ladder's forms, in which a scene's things can be shown."""
    return tuple(f.name for f in load_ladder().forms)


@cache
def noun_texts(form: str) -> Mapping[str, str]:
    """Map each noun to its text in a form, e.g. dog -> chien; nouns that the form leaves out are missing.

    Raises:
        BadInputError: the ladder has no such form.
    """
    ladder = load_ladder()
    env = ladder.form(form)
    frame = ladder.frames(env)[0]
    found: dict[str, str] = {}
    for noun in ladder.nouns_of(env):
        found[noun.word] = next(s.text for s in ladder.prompt(frame, noun, env).segments if isinstance(s, EnvSegment))
    return found


@cache
def plurals() -> Mapping[str, str]:
    """Return the plural of every noun of the inventory."""
    nouns = inventory()
    return dict(zip((n.word for n in nouns), (n.plural for n in nouns), strict=True))


def _read(name: str) -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))
    return table
