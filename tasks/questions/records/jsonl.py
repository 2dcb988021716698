"""JSON lines, or one JSON array of objects."""

from __future__ import annotations

import json
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
    whole = _whole(text)
    if whole is not None:
        for number, value in enumerate(whole, 1):
            _add(found, f"{path}, record {number}", value)
        return found
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            found.faults.append(RecordFault(where, f"not JSON: {error.msg} at column {error.colno}"))
        except (ValueError, RecursionError) as error:
            found.faults.append(RecordFault(where, f"not JSON: {error}"))
        else:
            _add(found, where, value)
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"found {name}, which is no JSON number")


def _whole(text: str) -> list[Any] | None:
    """Return the records of a file that is one JSON value over several lines; None where it is JSON lines."""
    start = text.lstrip()
    if not start or start[0] not in "[{":
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
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
    if isinstance(value, dict):
        found.rows.append((where, value))
    else:
        found.faults.append(RecordFault(where, f"found {type(value).__name__}, expected an object with fields"))
