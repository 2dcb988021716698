"""The summary of a record: a few lines of text for `print`, and a small HTML table for notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from html import escape
from textwrap import wrap
from typing import NamedTuple

from groundbench.results.text.numbers import decimals_for, number

WIDTH = 80
"""Of the sentence: a terminal's usual columns."""
UNMEASURED = "-"


class Summary(NamedTuple):
    """A sentence, a title, and a table whose first column is text and the others numbers, with notes below it."""

    sentence: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def as_text(self) -> str:
        """Write it in lines; the sentences are wrapped to 80 columns."""
        shown = [self.head, *self.rows]
        width = [max(len(r[i]) for r in shown) for i in range(len(self.head))]
        lines = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in _cells(r, width)) for r in shown]
        below = [line for note in self.notes for line in wrap(note, WIDTH)]
        return "\n".join([*wrap(self.sentence, WIDTH), self.title, *(line.rstrip() for line in lines), *below])

    def as_html(self) -> str:
        """Write it as HTML: it takes the notebook's own style, its text is no markup, and no cell wraps."""
        table = _line("th", self.head) + "".join(_line("td", row) for row in self.rows)
        said = f"<p><b>{escape(self.sentence)}</b></p><p>{escape(self.title)}</p>"
        below = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f'{said}<div style="overflow-x:auto"><table>{table}</table></div>{below}'


class Summarized(ABC):
    """Base of records that print as their summary and that a notebook shows as a table."""

    @abstractmethod
    def _summary(self) -> Summary:
        """Return the parts of the summary."""

    def summary(self) -> str:
        """Summarise in a few lines of 80 columns: the finding, what was measured, and a small table.

        The table has a line for each form of a result, each checkpoint of a trajectory, each run of a comparison or
        each signal of a risk card. Unmeasured is `-`, never 0.

        Example:
            >>> next(line for line in RESULT.summary().splitlines() if "parameters" in line)
            'synthetic-0 (1,300,000 parameters) on childworld 1, 1,000 items'
        """
        return self._summary().as_text()

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return self._summary().as_html()


def with_ends(value: float | None, low: float | None, high: float | None) -> str:
    """Return a number with its interval in brackets, in as many decimals as it needs; `-` for null."""
    if value is None:
        return UNMEASURED
    places = decimals_for(value, low, high)
    ends = "" if low is None or high is None else f" [{number(low, places)}, {number(high, places)}]"
    return f"{number(value, places)}{ends}"


def _cells(row: Sequence[str], width: Sequence[int]) -> Iterable[tuple[int, tuple[str, int]]]:
    return enumerate(zip(row, width, strict=True))


def _line(tag: str, row: Sequence[str]) -> str:
    side = ("left", *("right" for _ in row[1:]))
    cells = zip(row, side, strict=True)
    style = "text-align:{};white-space:nowrap"
    return "<tr>" + "".join(f'<{tag} style="{style.format(s)}">{escape(c)}</{tag}>' for c, s in cells) + "</tr>"
