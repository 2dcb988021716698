"""The output of commands: results on stdout, everything else on stderr.

Names come from users' files and may hold anything: so no text is ever read as markup here, and what is to be bold is
said by `bold`. What an output cannot write (not UTF-8, bytes of a file's name) is written as an escape.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from groundbench.results.text.numbers import p_value as written_p

PIPE_WIDTH = 160
LEAST_PROSE = 24
"""Columns below which the last cell of a list is not wrapped."""


class _Terminal(Console):
    """A console whose lines of text are broken at plain spaces only: no number is parted from its digits or unit."""

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        if soft_wrap or not objects or not all(isinstance(o, str | Text) for o in objects):
            super().print(*objects, soft_wrap=soft_wrap, **options)
            return
        text = Text(" ").join(o if isinstance(o, Text) else Text(o) for o in objects)
        super().print(_break_lines(text, self.width), soft_wrap=True, **options)


def _break_lines(text: Text, width: int) -> Text:
    """Break a text into lines; a word that is longer than a line is left whole."""
    lines: list[Text] = []
    for paragraph in text.split(allow_blank=True):
        breaks, used = [], 0
        for word in re.finditer(r" *[^ ]+ *", paragraph.plain):
            if used and used + cell_len(word[0].rstrip(" ")) > width:
                breaks.append(word.start())
                used = 0
            used += cell_len(word[0])
        for line in paragraph.divide(breaks):
            if breaks:
                line.rstrip()
            lines.append(line)
    return Text("\n").join(lines)


def out() -> Console:
    """Return the console of results: as wide as the terminal, and wide enough for a whole row in a pipe."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return _Terminal(highlight=False, markup=False, emoji=False, width=None if narrow else PIPE_WIDTH)


def bold(text: str) -> Text:
    """Return a part of `say` in bold."""
    return Text(text, style="bold")


def say(*parts: str | Text, soft_wrap: bool = False) -> None:
    """Print one paragraph on stdout, of texts and `bold` ones."""
    out().print(Text.assemble(*parts), soft_wrap=soft_wrap)


def note(message: str) -> None:
    """Print one line on stderr."""
    Console(stderr=True, highlight=False, markup=False, emoji=False).print(message, soft_wrap=True)


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
    lines: bool = False,
    secondary: Sequence[str] = (),
    legend: Mapping[str, str] | None = None,
    headline: bool = False,
) -> None:
    """Print a table; `right` names the columns of numbers, `lines` parts the rows. Cells are no markup.

    Args:
        right: the columns that are numbers.
        lines: part the rows.
        secondary: columns that go first, in this order, where the table is too wide; they are named below it. A table
            that is too wide still becomes one block a record.
        legend: what columns mean, printed below.
        headline: mark the first of several rows as the one that is quoted.
    """
    console = out()
    body = [tuple(row) for row in rows]
    kept = list(range(len(columns)))
    for name in secondary:
        if _least_width([columns[i] for i in kept], [[row[i] for i in kept] for row in body], right) <= console.width:
            break
        kept = [i for i in kept if columns[i] != name]
    heads, body = [columns[i] for i in kept], [tuple(row[i] for i in kept) for row in body]
    mark = headline and len(body) > 1
    if mark:
        body[0] = (f"{MARK}\u00a0{body[0][0]}", *body[0][1:])
    if _least_width(heads, body, right) > console.width:
        _show_blocks(console, heads, body, title)
    else:
        table = Table(title=title, title_justify="left", title_style="bold", show_lines=lines)
        for name, width in zip(heads, _widths(heads, body, right, console.width), strict=True):
            table.add_column(name, justify="right" if name in right else "left", width=width, overflow="fold")
        for i, row in enumerate(body):
            table.add_row(*(Text(cell) for cell in row), style="bold" if mark and i == 0 else None)
        console.print(table)
    left_out = [name for name in columns if name not in heads]
    if left_out:
        console.print(f"not shown at this width: {', '.join(left_out)} (all of it: --json, or a wider terminal)")
    for name in heads if legend else ():
        if legend and name in legend:
            console.print(f"  {name}: {legend[name]}")


MARK = "\u25b8"
"""Stands before the row that is quoted."""


Cells = Sequence[Sequence[str]]


def _min_width(head: str, cells: Sequence[str], number: bool) -> int:
    """Return the width of a column in which only words are wrapped, never a number or an interval."""

    def longest(text: str, whole: bool) -> int:
        return cell_len(text) if whole else max(map(cell_len, text.split(" ")), default=0)

    return max(longest(head, False), *(longest(c, number or _is_interval(c)) for c in cells), 0)


def _least_width(heads: Sequence[str], rows: Cells, right: Sequence[str]) -> int:
    """Return the least width of a whole table, with its lines."""
    return 1 + sum(3 + _min_width(head, [row[i] for row in rows], head in right) for i, head in enumerate(heads))


def _widths(heads: Sequence[str], rows: Cells, right: Sequence[str], most: int) -> list[int]:
    """Return a width for each column: what it wants, or its least and a share of what is left."""
    least = [_min_width(head, [row[i] for row in rows], head in right) for i, head in enumerate(heads)]
    wanted = [max(map(cell_len, (head, *(row[i] for row in rows)))) for i, head in enumerate(heads)]
    left = most - 1 - sum(3 + width for width in least)
    found = list(least)
    while left > 0 and (short := [i for i in range(len(found)) if found[i] < wanted[i]]):
        for i in short[:left]:
            found[i] += 1
        left -= min(len(short), left)
    return found


def _is_interval(cell: str) -> bool:
    return cell == "" or cell.startswith("[")


def _show_blocks(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
    """Print one block of lines for each record."""
    if title:
        console.print(bold(title))
    width = max(map(cell_len, heads), default=0)
    for row in rows:
        console.print(bold(row[0]))
        for head, cell in zip(heads[1:], row[1:], strict=True):
            console.print(f"  {head:<{width}}  {cell}")


def show_list(title: str, rows: Iterable[Sequence[str]]) -> None:
    """Print a titled list in aligned columns; a long line is never cut, so that a path in it can be copied."""
    cells = [tuple(row) for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]) - 1)] if cells else []
    console = out()
    console.print(bold(title))
    for row in cells:
        line = " ".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True))
        indent = sum(widths) + len(widths)
        if cell_len(line) > console.width > indent + LEAST_PROSE and "/" not in row[-1]:
            line = textwrap.fill(row[-1], console.width, initial_indent=line[:indent], subsequent_indent=" " * indent)
        console.print(line, soft_wrap=True)


def show_json(value: Any) -> None:
    """Print a value as indented JSON on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def prepare_streams() -> None:
    """Make stdout and stderr take any text: closed ones take nothing, those that are not UTF-8 take escapes.

    A closed one (`>&-`) would otherwise be the next file that is opened, and be written into.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    codecs.register_error("groundbench-escape", _escape_as_json)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115  as long as we run
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="groundbench-escape")


def _escape_as_json(error: UnicodeError) -> tuple[str, int]:
    """Escape what cannot be encoded as JSON does, so that a JSON string remains one."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(json.dumps(c)[1:-1] for c in error.object[error.start : error.end]), error.end


def nats(value: float | None, digits: int = 3) -> str:
    """Return a number of nats, or `not measured`; never 0 for it."""
    return "not measured" if value is None else f"{value:z.{digits}f}"  # no negative zero


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return a 95 % interval, or nothing."""
    return "" if low is None or high is None else f"[{low:z.{digits}f}, {high:z.{digits}f}]"


def p_value(p: float | None) -> str:
    """Return a p-value, or that it could not be tested."""
    return written_p(p) or "not testable"


def about(seconds: float) -> str:
    """Write an estimate: `about 12 s`, or `under 1 s`."""
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def duration(seconds: float) -> str:
    """Write seconds as a person says them."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
