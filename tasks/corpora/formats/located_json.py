"""JSON files read by asking for what is expected, so that a mistake can be named with its place."""

from __future__ import annotations

import json
import re
from typing import Any

from groundbench.tasks.corpora.formats.chat import decode
from groundbench.tasks.corpora.importing.faults import FaultError, fault

HALF = re.compile("[\ud800-\udfff]")
"""Characters that JSON's escapes can write and no text can hold."""
_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


def parse(data: bytes, name: str) -> Any:
    """Return the value of a JSON file.

    Raises:
        FaultError: not UTF-8, empty, or not JSON (names the line).
    """
    try:
        return json.loads(decode(data, name))
    except json.JSONDecodeError as error:
        raise fault(name, error.lineno, f"not JSON: {error.msg} at column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise fault(name, None, f"not JSON: {error}") from None


def expect(value: Any, kind: type, name: str, place: str) -> Any:
    """Return the value, if it is of that kind.

    Raises:
        FaultError: names the place in the file, what was found and what was expected.
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        found = _KINDS.get(type(value), "nothing" if value is None else type(value).__name__)
        raise wrong(name, place, f"expected {_KINDS[kind]}, found {found}")
    if isinstance(value, str) and HALF.search(value):
        raise wrong(name, place, "is no text: half a character (a lone surrogate) stands in it")
    return value


def member(value: Any, key: str, kind: type, name: str, place: str) -> Any:
    """Return the member `key` of an object, if it is of that kind. Raises as `expect`."""
    if key not in expect(value, dict, name, place):
        raise wrong(name, place, f"lacks {key!r}")
    return expect(value[key], kind, name, f"{place}.{key}".lstrip("."))


def wrong(name: str, place: str, reason: str) -> FaultError:
    """Return the error for something wrong at a place."""
    return fault(name, None, f"{place or 'the file'}: {reason}")
