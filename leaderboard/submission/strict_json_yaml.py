"""Reading a stranger's JSON and YAML: bounded, without surprises, every refusal one sentence."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from groundbench.api.errors import BadInputError
from groundbench.util.suggestions import suggest_names

M = TypeVar("M", bound=BaseModel)


class RefusedError(BadInputError):
    """A submission that cannot be taken: one sentence names the file, what was found and what is expected."""


@dataclass(frozen=True)
class Limits:
    """The limits of a file's contents; far above what a real result needs."""

    bytes: int
    depth: int = 16
    values: int = 1_000_000
    string: int = 4_000
    digits: int = 24


RESULT = Limits(bytes=8 << 20, values=600_000)
TRAJECTORY = Limits(bytes=16 << 20, values=1_000_000)
RISK_CARD = Limits(bytes=4 << 20, values=120_000)
CARD = Limits(bytes=16 << 10, depth=4, values=200)


def read_json(raw: bytes, where: str, limits: Limits) -> Any:
    """Return the value of a JSON document.

    Args:
        where: the file's name in messages.

    Raises:
        RefusedError: it is too large or too deep, holds NaN, an infinite or an absurdly long number, the same key
            twice, a control character or an overlong string, or is no JSON.
    """
    _check_size(raw, where, limits)
    if raw.count(b",") > limits.values:  # before anything is built of them
        raise RefusedError(f"{where}: holds more than {limits.values:,} values")

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or len(text) > 4 * limits.digits:
            raise RefusedError(f"{where}: the number {text[:30]} is out of range")
        return value

    def integer(text: str) -> int:
        if len(text) > limits.digits:
            raise RefusedError(f"{where}: an integer of {len(text)} digits; expected at most {limits.digits}")
        return int(text)

    def constant(text: str) -> float:
        raise RefusedError(f"{where}: holds {text}; expected finite numbers, and null for what was not measured")

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
            raise RefusedError(f"{where}: the key {shorten(twice)} stands twice in one object")
        return found

    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text, parse_float=number, parse_int=integer, parse_constant=constant, object_pairs_hook=mapping
        )
    except UnicodeDecodeError:
        raise RefusedError(f"{where}: is not UTF-8 text") from None
    except RecursionError:
        raise RefusedError(f"{where}: is nested more than {limits.depth} levels deep") from None
    except json.JSONDecodeError as error:
        raise RefusedError(f"{where}: line {error.lineno}: not JSON ({error.msg})") from None
    check_values(value, where, limits)
    return value


class _PlainLoader(yaml.BaseLoader):
    """Scalars stay strings; no anchors, no aliases, no tags, no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return one node, unless it is a reference or carries an anchor or tag."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None or isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("anchors and aliases are not taken")
        if getattr(event, "tag", None) is not None:
            raise yaml.YAMLError("tags are not taken")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping whose keys differ."""
        keys = [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
        if len(set(keys)) != len(node.value):
            raise yaml.YAMLError("a key stands twice, or is no plain word")
        return super().construct_mapping(node, deep=True)


def read_yaml(raw: bytes, where: str, limits: Limits = CARD) -> Any:
    """Return the value of a YAML document of plain strings, lists and mappings. Raises RefusedError."""
    _check_size(raw, where, limits)
    try:
        value = yaml.load(raw.decode("utf-8"), Loader=_PlainLoader)
    except UnicodeDecodeError:
        raise RefusedError(f"{where}: is not UTF-8 text") from None
    except RecursionError:
        raise RefusedError(f"{where}: is nested more than {limits.depth} levels deep") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        why = " ".join(str(getattr(error, "problem", None) or error).split())
        raise RefusedError(f"{where}: {line}not a plain YAML file ({shorten(why)})") from None
    check_values(value, where, limits)
    return value


def parse(value: Any, where: str, model: type[M]) -> M:
    """Return a record from plain values. Raises RefusedError naming the field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        field = ".".join(str(p) for p in fault["loc"]) or "the file"
        found = "" if fault["type"] == "missing" else f", found {shorten(str(fault.get('input')))}"
        others = (
            [k for k in value if isinstance(k, str) and k not in model.model_fields] if isinstance(value, dict) else []
        )
        perhaps = suggest_names(others[:20], [field]) if fault["type"] == "missing" else ""
        raise RefusedError(
            f"{where}: field {shorten(field)}: {shorten(fault['msg'], 200)[1:-1]}{found}{perhaps}"
        ) from None


def _check_size(raw: bytes, where: str, limits: Limits) -> None:
    if len(raw) > limits.bytes:
        raise RefusedError(f"{where}: larger than {limits.bytes:,} bytes, the most that is read")


def check_values(value: Any, where: str, limits: Limits) -> None:
    """Refuse too many or too deep values, overlong strings, and characters that could hide what a page says."""
    layer, count, depth = [value], 0, 0
    while layer:
        if depth > limits.depth:
            raise RefusedError(f"{where}: is nested more than {limits.depth} levels deep")
        count += len(layer)
        if count > limits.values:
            raise RefusedError(f"{where}: holds more than {limits.values:,} values")
        inner: list[Any] = []
        for item in layer:
            if isinstance(item, str):
                if not (len(item) <= limits.string and item.isascii() and item.isprintable()):
                    check_text(item, where, limits.string)
            elif isinstance(item, dict):
                inner += item
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        layer, depth = inner, depth + 1


def check_text(text: str, where: str, longest: int) -> None:
    """Refuse overlong strings, control characters, and marks that turn the direction of writing."""
    if len(text) > longest:
        raise RefusedError(f"{where}: a text of {len(text):,} characters; expected at most {longest:,}")
    if text.isascii() and text.isprintable():
        return
    for c in text:
        bad = (
            unicodedata.category(c) in ("Cc", "Cs", "Co")
            or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        )
        if bad and c not in "\n\t":
            raise RefusedError(f"{where}: the text {shorten(text)} holds the control character U+{ord(c):04X}")


def shorten(text: str, longest: int = 60) -> str:
    """Return a text quoted for a message: on one line, printable, not too long."""
    return ascii(text if len(text) <= longest else text[: longest - 1] + "~")
