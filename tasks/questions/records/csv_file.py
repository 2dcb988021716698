"""CSV with a header line, whatever the delimiter."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import RecordFault
from groundbench.tasks.questions.records.rows import Rows
from groundbench.tasks.questions.records.text_files import read_text

DELIMITERS = ",;\t|"
MOST = 1 << 28
"""Characters of one field: evidence may be long."""


def read_csv(path: Path, delimiter: str | None = None) -> Rows:
    """Return rows by the header's names; the delimiter is the one of `, ; TAB |` that parts the header most often.

    A row with another number of fields than the header is a fault with its line. Raises BadInputError where there is
    no header, or a name comes twice in it.
    """
    text, note = read_text(path)
    found = Rows(notes=[note] if note else [])
    mark = delimiter or _delimiter(text)
    csv.field_size_limit(MOST)
    reader = csv.reader(io.StringIO(text), delimiter=mark, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        raise BadInputError(f"{path}: is empty, expected a header line with the names of the fields") from None
    except csv.Error as error:
        raise BadInputError(f"{path}, line 1: not CSV: {error}") from None
    twice = next((n for n in header if header.count(n) > 1), None)
    if twice is not None:
        raise BadInputError(f"{path}, line 1: the field {twice!r} comes twice in the header")
    if mark != ",":
        found.notes.append(f"{path}: fields are parted by {mark!r}")
    while True:
        line = reader.line_num + 1
        where = f"{path}, line {line}"
        try:
            row = next(reader)
        except StopIteration:
            return found
        except csv.Error as error:
            found.faults.append(RecordFault(where, f"not CSV: {error}"))
            continue
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            found.faults.append(RecordFault(where, f"has {len(row)} fields, expected the header's {len(header)}"))
            continue
        found.rows.append((where, {n: v for n, v in zip(header, row, strict=True) if v != ""}))


def _delimiter(text: str) -> str:
    first = next((line for line in text.split("\n") if line.strip()), "")
    return max(DELIMITERS, key=first.count) if any(first.count(d) for d in DELIMITERS) else ","
