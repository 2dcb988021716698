"""CSV with a header line, whatever the delimiter."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import RecordFault
from groundbench.tasks.questions.records.rows import Rows
from groundbench.tasks.questions.records.text_files import read_text

DELIMITERS = ",;\t|"
MOST = 1 << 28
"""Characters of one field: evidence may be long."""
SAMPLED = 60
"""Lines from which the delimiter is told."""


def read_csv(path: Path, delimiter: str | None = None) -> Rows:
    """Return rows by the header's names, with the delimiter of `, ; TAB |` that fits the header and the rows best.

    A first line `sep=;`, as spreadsheets write it, names the delimiter. A row with another number of fields than the
    header, or with a quotation mark that nothing closes, is a fault with its line; what follows it is read. Columns
    without a name are left out. Raises BadInputError where there is no header, or a name comes twice in it.
    """
    text, note = read_text(path)
    found = Rows(notes=[note] if note else [])
    lines = [line + "\n" for line in text.split("\n")]
    first, said = _said_delimiter(lines)
    mark = delimiter or said or _delimiter(lines[first:])
    csv.field_size_limit(MOST)
    parted = _parse_rows(lines, first, mark)
    at, header = next(((n, row) for n, row in parted if isinstance(row, csv.Error) or any(row)), (0, []))
    if not at:
        raise BadInputError(f"{path}: is empty, expected a header line with the names of the fields")
    if isinstance(header, csv.Error):
        raise BadInputError(f"{path}, line {at}: not CSV: {header}")
    header = [name.strip() for name in header]
    twice = next((n for n in header if n and header.count(n) > 1), None)
    if twice is not None:
        raise BadInputError(f"{path}, line {at}: the field {twice!r} comes twice in the header")
    if mark != ",":
        found.notes.append(f"{path}: fields are parted by {mark!r}")
    found.header = tuple(n for n in header if n)
    for number, row in parted:
        where = f"{path}, line {number}"
        if isinstance(row, csv.Error):
            found.faults.append(RecordFault(where, f"not CSV: {row}"))
        elif len(row) != len(header) and any(cell.strip() for cell in row):
            found.faults.append(RecordFault(where, f"has {len(row)} fields, expected the header's {len(header)}"))
        elif any(cell.strip() for cell in row):
            found.rows.append((where, {n: v for n, v in zip(header, row, strict=True) if n and v != ""}))
    return found


def _parse_rows(lines: Sequence[str], first: int, mark: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield each row with the number of its first line (from 1), or the error in its place; the line after an error is
    the beginning of a row again, so that a quotation mark that nothing closes takes no more than its own line."""
    while first < len(lines):
        reader = csv.reader(islice(lines, first, None), delimiter=mark, strict=True)
        while True:
            at = first + reader.line_num + 1
            try:
                yield at, next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield at, error
                first = at
                break


def _said_delimiter(lines: Sequence[str]) -> tuple[int, str | None]:
    """Return the number of lines before the header, and the delimiter that a line `sep=;` there names."""
    said = re.fullmatch(r'"?sep=(.)"?\n', lines[0], re.IGNORECASE)
    return (0, None) if said is None else (1, said[1])


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter with which most of the first rows have as many fields as the header; of several, the one
    that parts it most often."""
    best = (0.0, 0, ",")
    for mark in DELIMITERS:
        rows = [row for _, row in islice(_parse_rows(lines[:SAMPLED], 0, mark), SAMPLED)]
        sizes = [0 if isinstance(row, csv.Error) else len(row) for row in rows if row]
        if sizes and sizes[0] > 1:
            best = max(best, (sizes.count(sizes[0]) / len(sizes), sizes[0], mark), key=lambda b: b[:2])
    return best[2]
