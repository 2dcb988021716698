"""The summary of a risk card: the best signals with AUROC and interval, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundbench.results.summary import Summary
from groundbench.results.text.card_sentences import above_chance, headline, in_plain_words
from groundbench.results.text.numbers import NOT_MEASURED, with_interval

if TYPE_CHECKING:
    from groundbench.results.risk_card import RiskCard

HEAD = ["signal", "AUROC", "within kinds"]
SHOWN_SIGNALS = 8


def of_card(card: RiskCard) -> Summary:
    """Return the headline, what was asked, the best signals with AUROC and interval, and the verdict."""
    return Summary(headline(card), _title(card), HEAD, _signals(card), _notes(card))


def _title(card: RiskCard) -> str:
    asked = "questions" if card.records is None else "records"
    return f"{card.model.name} on {', '.join(card.questions.sets)}, {card.questions.n:,} {asked}"


def _signals(card: RiskCard) -> list[list[str]]:
    """Return a row for each signal, best first within kinds of question, else over all."""
    known = [(s.name, s.auroc, s.auroc_within) for s in card.signals]
    judged = sorted(known, key=lambda row: -next((e.value for e in row[:0:-1] if e and e.value is not None), 0.0))
    return [
        [name, *((e and with_interval(e.value, e.low, e.high)) or NOT_MEASURED for e in (over_all, within))]
        for name, over_all, within in judged[:SHOWN_SIGNALS]
    ]


def _notes(card: RiskCard) -> list[str]:
    more = len(card.signals) - SHOWN_SIGNALS
    verdict = dict(in_plain_words(card))["What is the verdict?"]
    return [*([f"and {more} signals more"] if more > 0 else []), above_chance(card), verdict]
