"""Where commands write: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 160


def out() -> Console:
    """The console of results: as wide as the terminal, and wide enough for a whole row where a program reads it."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if narrow else PIPE_WIDTH)


def note(message: str) -> None:
    """One line on stderr."""
    Console(stderr=True, highlight=False).print(message, markup=False, soft_wrap=True)


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
    lines: bool = False,
) -> None:
    """A table on stdout; `right` names the columns that are numbers, `lines` parts the rows. Cells are no markup."""
    table = Table(title=title, title_justify="left", title_style="bold", show_lines=lines)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out().print(table)


def show_list(title: str, rows: Iterable[Sequence[str]]) -> None:
    """A titled list in aligned columns; a long line is never cut, so that a path in it can be copied."""
    cells = [tuple(row) for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]) - 1)] if cells else []
    console = out()
    console.print(f"[bold]{title}[/bold]")
    for row in cells:
        line = " ".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True))
        console.print(line, markup=False, soft_wrap=True)


def show_json(value: Any) -> None:
    """A value as indented JSON on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def nats(value: float | None, digits: int = 3) -> str:
    """A number of nats; unmeasured is said, never 0."""
    return "not measured" if value is None else f"{value:.{digits}f}"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """A 95 % interval, or nothing."""
    return "" if low is None or high is None else f"[{low:.{digits}f}, {high:.{digits}f}]"


def p_value(p: float | None) -> str:
    """A p-value; one that could not be tested is said."""
    return "not testable" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
