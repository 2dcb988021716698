"""The sections of a risk card about given answers and users' own records: plain words, worst answers, thresholds."""

from __future__ import annotations

from markupsafe import Markup, escape

from groundbench.report.elements import Cell, Section, Table
from groundbench.results.risk_card import RiskCard
from groundbench.results.risk_card_answers import WorstAnswer
from groundbench.results.text.card_sentences import in_plain_words
from groundbench.results.text.numbers import count, number, percent, with_interval

LEVELS = 5
"""Shades of a token."""
MODE = {
    "A": "candidates, answered by likelihood",
    "B": "given answers with labels",
    "C": "given answers without labels: a ranking",
}


class Shaded(str):
    """An answer whose tokens are shaded on the page by their risk; elsewhere plain text."""

    __slots__ = ("html",)
    html: Markup

    @classmethod
    def of(cls, worst: WorstAnswer) -> Shaded:
        """Return the question and the answer; tokens of the largest risk of this answer are the darkest."""
        plain = " — ".join(x for x in (worst.question, worst.answer) if x)
        made = cls(plain)
        known = [s for s in worst.shades if s is not None]
        if len(worst.tokens) != len(worst.shades) or not known:
            made.html = escape(plain)
            return made
        low, high = min(known), max(known)
        parts = []
        for token, shade in zip(worst.tokens, worst.shades, strict=True):
            level = 0 if shade is None or high <= low else round((LEVELS - 1) * (shade - low) / (high - low))
            parts.append(Markup('<span class="risk{}">{}</span>').format(level, token))
        question = Markup("{}<br>").format(worst.question) if worst.question else Markup("")
        made.html = question + Markup("").join(parts)
        return made

    def __html__(self) -> Markup:
        return self.html


def plain_section(card: RiskCard) -> Section:
    """Return the first screen: what was asked, how often it is wrong, which signal to use, the verdict and why."""
    rows: tuple[tuple[Cell, ...], ...] = in_plain_words(card)
    table = Table("This card in plain words", ("Question", "Answer"), rows, frozenset({0, 1}))
    return Section("plain", "In plain words", tables=(table,))


def records_section(card: RiskCard) -> Section:
    """Show what was read of the file, and what was left out."""
    r = card.records
    assert r is not None
    rows = (
        ("Mode", MODE[r.mode]),
        ("Records read", count(r.read)),
        ("Left out as faulty", count(r.faulty)),
        ("Refused by this model (too long, or not to be told apart in its tokens)", count(r.refused)),
        ("Evidence cut at a sentence border", f"{count(r.cut)} records, {count(r.characters_cut)} characters"),
        ("Without other evidence to compare with", count(r.without_other)),
    )
    table = Table("The file of records", ("What", "How many"), rows, frozenset({0, 1}))
    return Section("records", "The file of records", tables=(table,), notes=r.notes)


def thresholds_section(card: RiskCard) -> Section:
    """Show what every threshold of the best signal would do."""
    title = "Where to draw the line"
    if not card.thresholds or card.predictors.best is None:
        return Section("thresholds", title, missing="No signal could be fitted on one split and tested on another.")
    rows = tuple(
        (number(t.threshold, 4), percent(t.flagged, 1), percent(t.caught, 1), percent(t.wrong_kept, 1))
        for t in card.thresholds
    )
    head = ("Flag above", "Answers flagged", "Wrong ones caught", "Wrong among those kept")
    lead = f"Thresholds of {card.predictors.best}, taken at tenths of the fit split and measured on the test split."
    return Section("thresholds", title, lead, tables=(Table("Thresholds", head, rows, frozenset()),))


def worst_section(card: RiskCard) -> Section:
    """Return the answers with the largest risk."""
    signal = card.protocol.get("ranked by") or card.predictors.best
    by = f" by {signal}" if signal else ""
    label = {True: "wrong", False: "right", None: "no label"}
    rows = tuple(
        (
            " · ".join(
                x
                for x in (
                    w.id,
                    label[w.wrong],
                    f"risk {number(w.risk)}" if w.probability is None else f"{percent(w.probability, 1)} likely wrong",
                )
                if x
            ),
            Shaded.of(w),
            w.sentence if w.sentence is None or w.carried is None else f"{w.sentence} ({number(w.carried)} nats)",
        )
        for w in card.worst
    )
    lead = (
        f"The {len(rows)} answers with the largest risk{by}, worst first; within an answer the darkest tokens "
        "are the riskiest. Beside it the sentence of the evidence without which the answer loses most."
    )
    head = ("Record", "Question and answer", "Evidence that carries most")
    return Section(
        "worst", "The worst answers", lead, tables=(Table("Worst answers", head, rows, frozenset({0, 1, 2})),)
    )


def quality_table(card: RiskCard) -> Table | None:
    """Tabulate AUPRC, PRR and other aggregates of every signal; None in cards that have none."""
    rows = []
    for s in card.signals:
        if s.auprc is None and not s.aggregates:
            continue
        how = {a.how: a.auroc.value for a in s.aggregates}
        tokens = None if s.tokens is None else with_interval(*_ends(s.tokens.auroc), 3)
        rows.append(
            (
                s.name,
                None if s.auprc is None else with_interval(*_ends(s.auprc), 3),
                None if s.prr is None else with_interval(*_ends(s.prr), 3),
                number(how.get("worst"), 3),
                number(how.get("window"), 3),
                tokens,
            )
        )
    if not rows:
        return None
    head = ("Signal", "AUPRC", "PRR", "AUROC of the worst token", "of the worst run", "of tokens in spans")
    return Table("Other measures of quality", head, tuple(rows))


def _ends(found: object) -> tuple[float | None, float | None, float | None]:
    return (getattr(found, "value", None), getattr(found, "low", None), getattr(found, "high", None))
