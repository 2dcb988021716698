"""Sections as Markdown, for places where a page cannot be shown: a pull request, a model's README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from groundbench.report.elements import Cell, Facts, Section, Stat, Table
from groundbench.results.text.numbers import NOT_MEASURED


def markdown(
    title: str, sentence: str, stats: Sequence[Stat], sections: Sequence[Section], facts: Sequence[Facts]
) -> str:
    """Return a document with one heading for each section; in place of figures it has tables of their numbers."""
    parts = [f"# {_escape_markdown(title)}", _escape_markdown(sentence), _list((s.label, _stat(s)) for s in stats)]
    for s in sections:
        parts.append(f"## {_escape_markdown(s.title)}")
        if s.missing:
            parts.append(f"*{NOT_MEASURED}*: {_escape_markdown(s.missing)}")
            continue
        parts += [_escape_markdown(s.lead)] if s.lead else []
        parts += [table(t) for t in s.tables]
        parts += [_escape_markdown(n) for n in s.notes]
    for group in facts:
        parts += [f"## {_escape_markdown(group.title)}", _list((k, v) for k, v in group.rows)]
    return "\n\n".join(parts) + "\n"


def _stat(s: Stat) -> str:
    if s.value is None:
        return s.missing
    return " ".join(x for x in (s.value, s.unit, f"({s.detail})" if s.detail else "") if x)


def _list(rows: Iterable[tuple[str, Cell]]) -> str:
    return "\n".join(f"- {_escape_markdown(k)}: {_cell(v)}" for k, v in rows)


def table(t: Table) -> str:
    """Return a table with its caption; numbers are set right."""
    head = "| " + " | ".join(_cell(h) for h in t.head) + " |"
    rule = "|" + "|".join(":--" if i in t.text else "--:" for i in range(len(t.head))) + "|"
    rows = ["| " + " | ".join(_cell(c) for c in row) + " |" for row in t.rows]
    return "\n".join([f"**{_escape_markdown(t.caption)}**", "", head, rule, *rows])


def _cell(value: Cell) -> str:
    return NOT_MEASURED if value is None else _escape_markdown(value).replace("|", "\\|")


def _escape_markdown(text: str) -> str:
    """Return text on one line that Markdown takes for text."""
    line = " ".join(text.split())
    for mark in ("\\", "`", "*", "_", "<", "[", "]"):
        line = line.replace(mark, f"\\{mark}")
    return line
