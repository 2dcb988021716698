"""JSON lines, or one JSON array of objects."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from groundbench.api.evidence_record import RecordFault
from groundbench.tasks.questions.records.rows import Rows
from groundbench.tasks.questions.records.text_files import read_text


def read_jsonl(path: Path) -> Rows:
    """Return one object a line; a file that is one array (or an object with one, under `data`) is read too.

    Lines that are no JSON object are faults of the file, each with its line. Raises BadInputError as `read_text` does.
    """
    text, note = read_text(path)
    found = Rows(notes=[note] if note else [])
    whole = _read_whole(text)
    if whole is not None:
        for number, value in enumerate(whole, 1):
            _add(found, f"{path}, record {number}", value)
        return found
    if text.lstrip().startswith("["):
        return _broken_array(path, text, found)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = _DECODER.decode(line)
        except json.JSONDecodeError as error:
            found.faults.append(RecordFault(where, f"not JSON: {error.msg} at column {error.colno}"))
        except (ValueError, RecursionError) as error:
            found.faults.append(RecordFault(where, f"not JSON: {error}"))
        else:
            _add(found, where, value)
    return found


def _broken_array(path: Path, text: str, found: Rows) -> Rows:
    """Return the records of an array before the place where it breaks, which is a fault with its line."""
    at, number = text.index("[") + 1, 0
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        try:
            value, at = _DECODER.raw_decode(text, at)
            number += 1
            _add(found, f"{path}, record {number}", value)
            after = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            if text[after : after + 1] != ",":
                raise json.JSONDecodeError("Expecting ',' or ']'", text, after)
        except json.JSONDecodeError as error:
            where = f"{path}, line {error.lineno}"
            found.faults.append(RecordFault(where, f"not JSON: {error.msg} at column {error.colno}; ends the array"))
            return found
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, at) + 1
            found.faults.append(RecordFault(f"{path}, line {line}", f"not JSON: {error}; ends the array"))
            return found
        at = after + 1


class _Repeated(dict[str, Any]):
    """An object in which a name comes twice: no one could tell which value is meant."""

    name = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    repeated = _Repeated(found)
    repeated.name = next(n for n in names if names.count(n) > 1)
    return repeated


def _read_whole(text: str) -> list[Any] | None:
    """Return the records of a file that is one JSON value over several lines; None where it is JSON lines."""
    start = text.lstrip()
    if not start or start[0] not in "[{":
        return None
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        for key in ("data", "records", "examples", "rows"):
            if isinstance(value.get(key), list):
                return list(value[key])
        return [value]
    return None


def _add(found: Rows, where: str, value: Any) -> None:
    why = None
    if not isinstance(value, dict):
        why = f"found {type(value).__name__}, expected an object with fields"
    elif isinstance(value, _Repeated):
        why = f"the field {value.name!r} comes twice"
    else:
        odd = next((n for n, v in value.items() if isinstance(v, float) and not math.isfinite(v)), None)
        why = None if odd is None else f"the field {odd!r} is {value[odd]}, which is no JSON number"
    if why is None:
        found.rows.append((where, value))
    else:
        found.faults.append(RecordFault(where, why))


_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder(object_pairs_hook=_object)
