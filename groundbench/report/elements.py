"""The parts of a page before any HTML: tables, figures and sections."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

Cell = str | None
"""The text of a cell; None is shown as not measured."""


@dataclass(frozen=True)
class Table:
    """A data table; `text` are the columns set left, all others hold numbers."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    text: frozenset[int] = frozenset({0})

    def __post_init__(self) -> None:
        """Raise ValueError for a row of another length than the head: its numbers would be under wrong names."""
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"{self.caption}: {len(row)} cells under {len(self.head)} heads")

    @property
    def of_words(self) -> bool:
        """True for three or more columns of text: on a phone such rows are set below each other."""
        return len(self.head) > 2 and len(self.text) == len(self.head)

    def without_empty_columns(self) -> Table:
        """Return the table without the columns that no row fills."""
        kept = [i for i in range(len(self.head)) if not self.rows or any(row[i] is not None for row in self.rows)]
        return Table(
            self.caption,
            tuple(self.head[i] for i in kept),
            tuple(tuple(row[i] for i in kept) for row in self.rows),
            frozenset(new for new, old in enumerate(kept) if old in self.text),
        )


@dataclass(frozen=True)
class Figure:
    """A plot of one or several panels with its caption and the numbers behind it.

    `narrow` panels stand in for `panels` on a phone where the plot is too wide for one; `scrolls`: there it keeps its
    width and is moved sideways.
    """

    title: str
    panels: tuple[Markup, ...]
    table: Table
    caption: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    """Pairs of a mark's CSS class and its label."""
    narrow: tuple[Markup, ...] = ()
    wide: bool = False
    scrolls: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page: one sentence that says what was found, then figures and tables.

    `missing` says why there is nothing to show; it is never shown as a number.
    """

    id: str
    title: str
    lead: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    missing: str = ""
    columns: int = 2


@dataclass(frozen=True)
class Stat:
    """One number of a page's header; `missing` is shown in its place where there is none."""

    label: str
    value: Cell
    unit: str = ""
    detail: str = ""
    missing: str = "not measured"


@dataclass(frozen=True)
class Facts:
    """Named facts, e.g. a model's card."""

    title: str
    rows: tuple[tuple[str, Cell], ...] = field(default=())
