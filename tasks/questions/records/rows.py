"""Rows of any supported file: the place and the fields of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from groundbench.api.evidence_record import RecordFault
from groundbench.tasks.questions.sets.place import Row


@dataclass
class Rows:
    """The rows of a file.

    Attributes:
        rows: (where, fields) in the file's order.
        faults: lines that could not be read at all.
        notes: what was guessed, a sentence each.
    """

    rows: list[tuple[str, Row]] = field(default_factory=list)
    faults: list[RecordFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
