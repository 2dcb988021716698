"""Values of options: lists, numbers and settings of a preset, read from one word of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from groundbench.api.errors import BadInputError


def split(values: list[str] | None) -> tuple[str, ...]:
    """Split values given by repetition or separated by commas, each once, in order."""
    parts = [part.strip() for value in values or () for part in value.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def number_or_all(option: str, text: str | None) -> int | Literal["all"] | None:
    """Return a whole number, or `all`. Raises BadInputError."""
    if text is None:
        return None
    if text == "all":
        return "all"
    if not text.isdecimal():
        raise BadInputError(f"{option} {text!r}: expected a whole number or all")
    return int(text)


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Parse whole numbers separated by commas. Raises BadInputError."""
    try:
        found = tuple(int(part) for part in split([text]))
    except ValueError:
        found = ()
    if not found or min(found) < 0:
        raise BadInputError(f"{option} {text!r}: expected whole numbers from 0 separated by commas, e.g. 42,142")
    return found


def overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse `config.n_layer=6` as a key of a preset and a YAML value. Raises BadInputError."""
    import yaml

    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise BadInputError(f"--set {pair!r}: expected KEY=VALUE, e.g. optimisation.clip=0.5")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise BadInputError(f"--set {pair!r}: {value!r} is no YAML value") from None
    return values
