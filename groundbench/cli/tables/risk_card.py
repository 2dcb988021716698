"""A risk card as tables in the terminal."""

from __future__ import annotations

from groundbench.cli import console
from groundbench.report.elements import Section, Table
from groundbench.report.sections.risk_card import card_sections
from groundbench.results.risk_card import RiskCard
from groundbench.results.text.card_sentences import headline
from groundbench.results.text.numbers import NOT_MEASURED

WIDE = {"What it is", "Role"}
"""Columns that the terminal leaves to the page."""


def show_card(card: RiskCard) -> None:
    """Print the card section by section, as on its page."""
    console.say(
        console.bold(card.model.name),
        "  on  ",
        console.bold(", ".join(card.questions.sets)),
        f" ({card.questions.n:,} {_what(card)})",
    )
    console.out().print(headline(card))
    sections = card_sections(card)
    for section in sorted(sections, key=lambda s: s.id == "verdict"):  # last: it is what is left on the screen
        _show(section)


def _what(card: RiskCard) -> str:
    if card.records is None:
        return f"questions, {card.questions.n_groups:,} scenes"
    return f"records, {card.questions.n_groups:,} groups of evidence"


def _show(section: Section) -> None:
    for table in section.tables:
        _show_table(table)
    if section.missing:
        console.out().print(f"{section.title}: {NOT_MEASURED}: {section.missing}")
        return
    for line in (section.lead, *section.notes):
        if line:
            console.out().print(line)


def _show_table(table: Table) -> None:
    kept = [i for i, h in enumerate(table.head) if h not in WIDE]
    rows = [tuple(NOT_MEASURED if row[i] is None else str(row[i]) for i in kept) for row in table.rows]
    right = [table.head[i] for i in kept if i not in table.text]
    console.show_table([table.head[i] for i in kept], rows, title=table.caption, right=right)
