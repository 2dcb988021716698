"""JSON types as they were written: a number in quotes, or true for 1, is refused where pydantic would take it."""

from __future__ import annotations

from typing import Any

from groundbench.leaderboard.submission.ranges import FREE, SIGNED_WHOLE, number_fault
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError, shorten

LARGEST = 1 << 53
"""Whole numbers that JSON readers keep exactly."""

NUMBERS = frozenset({int, float, list})
LEAVES = frozenset({str, float, bool, type(None)})


def check_types(written: Any, parsed: Any, where: str) -> None:
    """Hold a document against what was made of it.

    Args:
        written: the plain values of the file; `parsed`: the record, dumped to plain values again.

    Raises:
        RefusedError: a place holds another JSON type than the schema's, a whole number too large to be kept exactly, or
            a number out of its range (see `ranges`).
    """
    todo: list[tuple[Any, Any, str]] = [(written, parsed, "")]
    while todo:
        a, b, at = todo.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            names = at.split(".")
            bounded, parent = not FREE & set(names), names[-1]
            for key, value in a.items():
                if key in b and not _same_leaf(value, b[key]):
                    todo.append((value, b[key], f"{at}.{key}" if at else str(key)))
                if bounded and type(value) in NUMBERS:
                    _check_number(str(key), parent, at, value, where)
        elif isinstance(a, list) and isinstance(b, list):
            pairs = enumerate(zip(a, b, strict=False))
            todo += [(x, y, f"{at}.{i}") for i, (x, y) in pairs if not _same_leaf(x, y)]
        elif _kind(a) != _kind(b) and not (a is None or isinstance(a, dict | list)):
            raise RefusedError(
                f"{where}: field {shorten(at)}: found {shorten(str(a))} as {_kind(a)}, expected {_kind(b)}"
            )
        elif isinstance(a, int):
            _check_whole(a, b, at, where)


def _check_number(key: str, parent: str, at: str, value: Any, where: str) -> None:
    for v in value if isinstance(value, list) else (value,):
        fault = number_fault(key, parent, v) if type(v) in (int, float) else None
        if fault is not None:
            raise RefusedError(f"{where}: field {shorten(f'{at}.{key}' if at else key)}: {fault}")


def _check_whole(written: int, parsed: Any, at: str, where: str) -> None:
    """Refuse whole numbers that JSON readers do not keep, and negative counts."""
    if abs(written) > LARGEST:
        raise RefusedError(f"{where}: field {shorten(at)}: {written} is too large a whole number")
    names = at.split(".")
    if written < 0 and type(parsed) is int and not FREE & set(names) and not SIGNED_WHOLE & set(names[-2:]):
        raise RefusedError(f"{where}: field {shorten(at)}: {written}; a count or a place is never negative")


def _same_leaf(a: Any, b: Any) -> bool:
    """Return True for two leaves of one type, which need no further check: most values of a document are such."""
    return type(a) is type(b) and type(a) in LEAVES


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "null" if value is None else "text" if isinstance(value, str) else "a list or mapping"
