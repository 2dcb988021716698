"""Rows of any supported file: the place and the fields of each."""

from __future__ import annotations

from collections import Counter
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
        header: the names of a table's columns, also of those that no row fills.
    """

    rows: list[tuple[str, Row]] = field(default_factory=list)
    faults: list[RecordFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    header: tuple[str, ...] = ()

    def names(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the fields that at least half of the rows have, and all: a faulty row does not decide what a file
        is."""
        counts = Counter(name for _, row in self.rows for name in row)
        most = frozenset(name for name, n in counts.items() if 2 * n >= len(self.rows))
        return most, frozenset(counts) | frozenset(self.header)
