"""Where commands write: results to stdout, everything else to stderr.

Names come from users' files and may hold anything: so no text is ever read as markup here, and what is to be bold is
said by `bold`. What an output cannot write (not UTF-8, bytes of a file's name) is written as an escape.
"""

from __future__ import annotations

import codecs
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
    return Console(highlight=False, markup=False, emoji=False, width=None if narrow else PIPE_WIDTH)


def bold(text: str) -> Text:
    """A part of `say` in bold."""
    return Text(text, style="bold")


def say(*parts: str | Text, soft_wrap: bool = False) -> None:
    """One paragraph on stdout, of texts and `bold` ones."""
    out().print(Text.assemble(*parts), soft_wrap=soft_wrap)


def note(message: str) -> None:
    """One line on stderr."""
    Console(stderr=True, highlight=False, markup=False, emoji=False).print(message, soft_wrap=True)


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
    console.print(bold(title))
    for row in cells:
        line = " ".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True))
        console.print(line, soft_wrap=True)


def show_json(value: Any) -> None:
    """A value as indented JSON on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def prepare_streams() -> None:
    """Make stdout and stderr take any text: closed ones take nothing, those that are not UTF-8 take escapes.

    A closed one (`>&-`) would otherwise be the next file that is opened, and be written into.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    codecs.register_error("groundbench-escape", _escaped)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115  as long as we run
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="groundbench-escape")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What cannot be encoded, as JSON escapes it: a JSON string stays one."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(json.dumps(c)[1:-1] for c in error.object[error.start : error.end]), error.end


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
