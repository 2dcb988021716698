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


DETAILS = {"calibration", "records", "thresholds", "failures"}
"""Sections that `--explain` prints; one of failures is always printed where something failed."""


def show_card(card: RiskCard, *, explain: bool = False) -> None:
    """Print the card section by section, as on its page.

    Args:
        card: what was found.
        explain: print every table; else those that say how often the model is wrong and which signal tells.
    """
    console.say(
        console.bold(card.model.name),
        "  on  ",
        console.bold(", ".join(card.questions.sets)),
        f" ({card.questions.n:,} {_what_was_asked(card)})",
    )
    console.out().print(headline(card))
    sections = [s for s in card_sections(card) if explain or _is_shown(s, card)]
    for section in sorted(sections, key=lambda s: s.id == "verdict"):  # last: it is what is left on the screen
        _show(section, explain)
    if not explain:
        console.out().print("all tables: --explain, or the card's page")


def _is_shown(section: Section, card: RiskCard) -> bool:
    if section.missing:
        return False
    return section.id not in DETAILS or (section.id == "failures" and bool(card.failures))


def _what_was_asked(card: RiskCard) -> str:
    if card.records is None:
        return f"questions, {card.questions.n_groups:,} scenes"
    return f"records, {card.questions.n_groups:,} groups of evidence"


def _show(section: Section, explain: bool) -> None:
    tables = section.tables if explain or section.id != "signals" else section.tables[:1]
    for table in tables:
        _show_table(table, explain)
    if section.missing:
        console.out().print(f"{section.title}: {NOT_MEASURED}: {section.missing}")
        return
    for line in (section.lead, *section.notes):
        if line:
            console.out().print(line)


def _show_table(table: Table, explain: bool) -> None:
    """Print a table; without `explain`, rows and columns in which nothing was measured become a line."""
    rows = table.rows
    kept = [i for i, h in enumerate(table.head) if h not in WIDE]
    empty: list[str] = []
    if not explain:
        numbers = [i for i in kept if i not in table.text]
        empty = [str(row[0]) for row in rows if numbers and all(row[i] is None for i in numbers)]
        rows = tuple(row for row in rows if str(row[0]) not in empty)
        kept = [i for i in kept if i in table.text or any(row[i] is not None for row in rows)]
    cells = [tuple(NOT_MEASURED if row[i] is None else str(row[i]) for i in kept) for row in rows]
    right = [table.head[i] for i in kept if i not in table.text]
    if cells:
        console.show_table([table.head[i] for i in kept], cells, title=table.caption, right=right)
    if empty:
        console.out().print(f"{NOT_MEASURED}: {', '.join(empty)}")
