"""The answer to "may I ship it?": what screenings say of the best grounded model."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench.leaderboard.rows import ResultRow, RiskRow
from groundbench.leaderboard.site.screening_board import answers_given, overall, rate
from groundbench.leaderboard.site.tabs import Tab
from groundbench.results.risk_card import RiskCard

QUESTION = "May you ship it?"
CAUTION = "Being grounded is not being right: run groundbench screen on your own questions."


def may_it_ship(tab: Tab | None, risks: Sequence[RiskRow]) -> str:
    """Answer for the best grounded model of the first tab: no, yes by its policy, or not known."""
    best = None if tab is None else _best(tab)
    if tab is None or best is None:
        return (
            f"{QUESTION} Being grounded is not being right. The screening table says how often a model’s answers "
            "contradict what it was shown."
        )
    cards = [r for r in risks if speaks_for(r, best)]
    answered = [r for r in cards if not answers_given(r.card)]
    if not answered:
        why = (
            f"{best.model} was screened on given answers only, so whether its own are right is not known."
            if cards
            else f"{best.model} was not screened here."
        )
        return f"{QUESTION} No answer yet: {why} {_another(tab, risks)}{CAUTION}"
    failed = [r for r in answered if r.card.verdict.passed is False]
    passed = [r for r in answered if r.card.verdict.passed]
    told = "; ".join(_rate_of(r) for r in (failed or passed or answered))
    if failed:
        return f"{QUESTION} No: {best.model} failed its screening, with {told}. {_another(tab, risks)}{CAUTION}"
    if passed:
        by = "its screening" if any(r.own for r in passed) else "its submitter’s screening"
        return f"{QUESTION} By {by}, yes: {best.model} met its policy, with {told}. {CAUTION}"
    return f"{QUESTION} That depends on what you allow: {best.model} gave {told}, and no policy was set. {CAUTION}"


def speaks_for(risk: RiskRow, row: ResultRow) -> bool:
    """Return True for a screening of a row's weights by the board itself or by who submitted the row."""
    return risk.fingerprint == row.fingerprint and (risk.own or risk.slug == row.slug)


def _best(tab: Tab) -> ResultRow | None:
    return next((e for e in tab.rows if (p := tab.places[e.id]).rank and p.rank.rank == 1 and not p.aside), None)


def _rate_of(risk: RiskRow) -> str:
    """Say how often answers were wrong, and how often they were allowed to be."""
    card = risk.card
    error = overall(card)
    value = error.value if error else None
    allowed = _risk_limit(card)
    if allowed is not None and value is not None and (card.verdict.passed or value > allowed):
        aside = f" ({rate(allowed)} were allowed)"
    else:
        aside = " (its card says what was not met)" if card.verdict.passed is False else ""
    return f"{rate(value) or 'an unknown share of'} wrong answers on {', '.join(card.questions.sets)}{aside}"


def _risk_limit(card: RiskCard) -> float | None:
    """Return the error rate that a card's policy allows."""
    found = (card.verdict.policy or {}).get("max_risk")
    return float(found) if isinstance(found, int | float) and 0 <= found <= 1 else None


def _another(tab: Tab, risks: Sequence[RiskRow]) -> str:
    """Name the best grounded of the models whose policy was met."""
    met = [r for r in risks if r.card.verdict.passed and not answers_given(r.card)]
    found = next((e for e in tab.rows if any(speaks_for(r, e) for r in met)), None)
    return "" if found is None else f"Of the models whose policy was met, {found.model} is grounded best. "
