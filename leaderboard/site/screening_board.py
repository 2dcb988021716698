"""The screening board: error rates on question sets, beside guessing, with the best signal and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundbench.leaderboard.rows import RiskRow
from groundbench.leaderboard.site.columns import Value
from groundbench.results.risk_card import Estimated, RiskCard
from groundbench.results.text.numbers import interval, number, parameters, percent


@dataclass(frozen=True)
class ScreenRow:
    """A card's row."""

    row: RiskRow
    cells: tuple[Value, ...]


HEAD = (
    ("Model", "The submitter’s name for it, and who submitted it"),
    ("Verdict", "Whether the card’s policy was met; without a policy there is no verdict"),
    (
        "Errors",
        "How often the likeliest answer is wrong, with its 95 % interval over scenes or images; nothing where the "
        "answers were given with the records, since their errors are not the model’s. Cards of others that came "
        "without their answers could not be checked, and stand last",
    ),
    (
        "Guessing",
        "The error rate of answers drawn at random; below, of the best answer that never changes",
    ),
    (
        "Best signal",
        "The signal that best tells wrong answers from right ones within kinds of question (AUROC)",
    ),
    ("Size", "Parameters"),
)


def screening_tables(rows: Sequence[RiskRow]) -> list[tuple[str, tuple[ScreenRow, ...]]]:
    """Return the cards by question set and its hash, fewest errors first; those without their answers come last.

    Only the same questions stand in one table.
    """
    groups: dict[str, list[RiskRow]] = {}
    for row in rows:
        q = row.card.questions
        groups.setdefault(f"{', '.join(q.sets)} · {q.n} questions · {q.hash[:8]}", []).append(row)
    return [(name, tuple(_table_row(e) for e in sorted(g, key=_order))) for name, g in sorted(groups.items())]


def overall(card: RiskCard) -> Estimated | None:
    """Return the error rate over all questions."""
    found = next((e for e in card.errors if e.kind is None and e.form is None), None)
    return found.error if found else None


def answers_given(card: RiskCard) -> bool:
    """Return True where answers came with the records: their error rate is the data's, not the model's."""
    return card.records is not None and card.records.mode == "B"


def _order(row: RiskRow) -> tuple[bool, float, str]:
    error = overall(row.card)
    return not row.checked, (error.value if error and error.value is not None else 2.0), row.id


def rate(value: float | None) -> str | None:
    """Return a share in percent, with as many decimals as tell it from 50 %."""
    return percent(value)


def _table_row(row: RiskRow) -> ScreenRow:
    card = row.card
    whole = next((e for e in card.errors if e.kind is None and e.form is None), None)
    error = Value(None)
    guess = Value(None)
    if whole is not None and whole.error.value is not None:
        e = whole.error
        low, high = (None if v is None else 100 * v for v in (e.low, e.high))
        ends = interval(low, high, 0)
        told = (f"{ends}\u202f%" if ends else "", "" if row.checked else "answers not submitted")
        error = Value(rate(e.value), e.value, " · ".join(t for t in told if t))
        if answers_given(card):
            error = Value(None, None, f"answers given, {rate(e.value)} wrong")
        constant = rate(whole.constant)
        guess = Value(rate(whole.chance), whole.chance, f"constant {constant}" if constant else "")
    verdict = card.verdict.passed
    said = Value(None, None, "no policy") if verdict is None else Value("passed" if verdict else "failed", str(verdict))
    cells = (
        Value(row.model, row.model.lower(), row.submitter),
        said,
        error,
        guess,
        _signal(card),
        Value(parameters(row.parameters), row.parameters),
    )
    return ScreenRow(row, cells)


def _signal(card: RiskCard) -> Value:
    """Return the best signal within kinds, with its interval; "none" where no signal is better than chance."""
    known = [s for s in card.signals if s.auroc_within is not None and s.auroc_within.value is not None]
    if not known:
        return Value(None)
    best = max(known, key=lambda s: s.auroc_within.value if s.auroc_within and s.auroc_within.value else 0.0)
    a = best.auroc_within
    if a is None:
        return Value(None)
    if not card.predictors.above_within:
        return Value("none", 0.5, "better than chance")
    return Value(f"{best.name} {number(a.value)}", a.value, interval(a.low, a.high) or "")
