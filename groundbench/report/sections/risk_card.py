"""The sections of a risk card: the verdict first, then errors by kind, signals, the operating point, control."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Literal

from groundbench.report.charts.dots import Layout, Row, dot_plot
from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.elements import Cell, Facts, Figure, Section, Stat, Table
from groundbench.report.sections.risk_card_answers import (
    plain_section,
    quality_table,
    records_section,
    thresholds_section,
    worst_section,
)
from groundbench.results.risk_card import (
    EVERY,
    ErrorRecord,
    Estimated,
    HeadsUsed,
    MentionRecord,
    RiskCard,
    SignalRecord,
    StrengthenRecord,
)
from groundbench.results.text.card_sentences import (
    above_chance,
    comparison_sentence,
    control_sentence,
    verdict_sentence,
)
from groundbench.results.text.numbers import (
    NOT_MEASURED,
    count,
    number,
    p_value,
    percent,
    percent_interval,
    percent_with_interval,
    with_interval,
)

SHOWN_CURVES = 5
SHOWN_HEADS = 40
FOUND_BY = {
    "given": "given",
    "share": "detected by share alone",
    "size": "detected by share and magnitude (in some kinds the evidence is too long for a lift of 2)",
    "magnitude": "detected by share, lift and magnitude",
    "contrast": "those that carry the gain in another run, ranked by contrast",
}
HEAD = ("Error rate", "95 % interval", "Questions", "Scenes", "Guessing", "Constant")


def estimate(found: Estimated | None, decimals: int = 3) -> Cell:
    """Return a number with its interval in brackets."""
    return None if found is None else with_interval(found.value, found.low, found.high, decimals)


def share(found: Estimated | None) -> Cell:
    """Return a share as a percentage with its interval."""
    return None if found is None else percent_with_interval(found.value, found.low, found.high)


def card_sections(card: RiskCard) -> list[Section]:
    """Return the sections of one card's page, in order."""
    own = card.records is not None
    return [
        *([plain_section(card)] if own else []),
        verdict_section(card),
        errors_section(card),
        *([mentions_section(card.mentions)] if card.mentions else []),
        gain_section(card),
        signals_section(card),
        *([thresholds_section(card)] if own else []),
        *([worst_section(card)] if card.worst else []),
        *([records_section(card)] if own else []),
        calibration_section(card),
        operating_section(card),
        *([generation_section(card)] if card.generation else []),
        *([control_section(card.strengthen, "strengthen")] if card.strengthen else []),
        *([control_section(card.weaken, "weaken")] if card.weaken else []),
        failures_section(card),
    ]


def card_stats(card: RiskCard) -> list[Stat]:
    """Return the numbers of a card's header."""
    overall = card.errors[0]
    named = card.predictors.best
    # The best of signals that are all at chance predicts nothing.
    best = card.signal(named) if named is not None and named in card.predictors.above_chance else None
    passed = card.verdict.passed
    ends = percent_interval(overall.error.low, overall.error.high) or ""
    gains = {g.against: g.gain for g in card.gains}
    auroc = None if best is None or best.auroc_test is None else number(best.auroc_test.value)
    return [
        Stat("Verdict", {True: "pass", False: "fail", None: None}[passed], missing="no policy (--policy FILE)"),
        Stat("Wrong answers", percent(overall.error.value, 1), "", ends),
        Stat("Gain of the true answer", number(gains["without"].value) if "without" in gains else None, "nats"),
        Stat("Best predictor of errors", None if best is None else best.name, missing="none"),
        Stat("Its AUROC", auroc, "", "on the test split"),
        Stat(
            "Questions" if card.records is None else "Records",
            count(card.questions.n),
            "",
            f"in {count(card.questions.n_groups)} {'scenes' if card.records is None else 'groups'}",
        ),
    ]


def card_facts(card: RiskCard) -> Facts:
    """List the facts about the questions."""
    q = card.questions
    return Facts(
        "Questions",
        (
            ("Sets", ", ".join(q.sets)),
            ("Hash", q.hash),
            ("Kinds", ", ".join(q.kinds)),
            ("Forms", ", ".join(q.forms)),
            ("Splits", ", ".join(f"{name} {n}" for name, n in q.splits.items())),
            ("Drawn", "all" if q.drawn_from is None else f"a sample of {count(q.limit)} of {count(q.drawn_from)}"),
            ("Could not be asked", count(q.unasked.n)),
        ),
    )


def verdict_section(card: RiskCard) -> Section:
    """Return the policy, requirement by requirement."""
    if card.verdict.passed is None:
        return Section("verdict", "Verdict", "No policy was given: nothing was required, so nothing passed or failed.")
    rows = tuple(
        (c.name, c.wanted, c.found, "met" if c.passed else "not met" if c.measured else NOT_MEASURED, c.reason)
        for c in card.verdict.checks
    )
    table = Table("Requirements", ("Requirement", "Wanted", "Found", "Outcome", "Why"), rows, frozenset({0, 3, 4}))
    return Section("verdict", "Verdict", verdict_sentence(card), tables=(table,))


def errors_section(card: RiskCard) -> Section:
    """Show error rates by kind beside those of guessing and of a constant answer."""
    overall = card.errors[0]
    kinds = [e for e in card.errors if e.form is None]
    forms = [e for e in card.errors if e.form is not None and e.kind is None]
    dots = [Row(_name(e), e.error.value, e.error.low, e.error.high, tick=e.chance) for e in kinds]
    summary = "The error rate of each kind of question, with its interval."
    wide, narrow = (
        dot_plot(dots, Layout("share of wrong answers", w, 26, left, decimals=3), "Errors by kind", summary)
        for w, left in ((620, 190), (380, 130))
    )
    if overall.error.value is None:
        missing = "The answers have no labels: nothing says which are wrong."
        return Section("errors", "Errors by kind of question", missing=missing)
    lead = f"The likeliest answer is wrong in {share(overall.error)} of {count(overall.error.n)} questions."
    if card.records is not None and card.records.mode == "B":
        lead = f"{share(overall.error)} of {count(overall.error.n)} given answers are labelled wrong."
    guessed = any(e.chance is not None for e in kinds)
    caption = f"Whiskers are 95 % intervals{'; upright strokes mark the error rate of guessing' if guessed else ''}."
    every = _errors("Every kind in every form", card.errors)
    figure = Figure("Errors by kind", (wide,), every, caption, narrow=(narrow,), wide=True)
    tables = (_errors("By kind", kinds), *((_errors("By form", forms),) if forms else ()))
    notes = ("Intervals: Wilson, at the effective number of questions (those about one scene are not independent).",)
    return Section("errors", "Errors by kind of question", lead, (figure,), tables, notes)


def _errors(caption: str, records: Sequence[ErrorRecord]) -> Table:
    head = ("Questions asked", *HEAD, "Says yes", "Should", "Says the usual")
    return Table(caption, head, tuple(_error_row(e) for e in records)).without_empty_columns()


def _error_row(e: ErrorRecord) -> tuple[Cell, ...]:
    ends = percent_interval(e.error.low, e.error.high)
    yes = None if e.yes is None else percent(e.yes.value, 1)
    return (
        _name(e),
        percent(e.error.value, 1),
        ends,
        count(e.error.n),
        count(e.n_groups),
        percent(e.chance, 1),
        percent(e.constant, 1),
        yes,
        percent(e.yes_true, 1),
        share(e.usual),
    )


def _name(e: ErrorRecord) -> str:
    return " as ".join(x for x in (e.kind or "all", e.form) if x)


def mentions_section(found: MentionRecord) -> Section:
    """Show CHAIR's rates by likelihood."""
    lead = (
        f"After words that lead up to a name, what is named next is not there with a probability of "
        f"{share(found.absent)}. What counts is how far that is below the same on blank evidence and on other "
        f"evidence: a model that names what is usual is right often without a look."
    )
    rows = (
        ("What is named next is not there", share(found.absent)),
        ("The same on blank evidence", share(found.without)),
        ("The same on other evidence", share(found.mismatched)),
        ("Lower with its own evidence than with other", share(found.lowered)),
        ("The same if all candidates were equally likely", percent(found.chance, 1)),
        (f"One of the {found.named} likeliest is not there", share(found.any_absent)),
        ("Candidates, and how many of them are there", f"{number(found.candidates, 1)}, {number(found.there, 1)}"),
        ("Candidates that the model cannot read", number(found.unreadable, 1)),
        ("Pictures", count(found.absent.n)),
    )
    table = Table("Mentions of what is not there (CHAIR, by likelihood)", ("Rate", "Value"), rows, frozenset({0}))
    note = (
        "CHAIR counts the objects of written captions; here no caption is written: the probabilities of all candidates "
        "are compared, so that words which no candidate is, and how many objects a caption names, play no part."
    )
    return Section("mentions", "Is something mentioned that is not there?", lead, tables=(table,), notes=(note,))


def gain_section(card: RiskCard) -> Section:
    """Show whether the evidence counts at all."""
    title = "Does the evidence count?"
    if not card.gains:
        return Section("gain", title, missing="No question was asked without its evidence or on other evidence.")
    against = {"without": "no evidence", "mismatched": "other evidence"}
    rows = tuple((against[g.against], estimate(g.gain), count(g.gain.n)) for g in card.gains)
    table = Table("Grounding gain of the true answer (nats)", ("Against", "Gain", "Questions"), rows)
    lead = "How much less surprising the true answer is with the evidence than without; 0 for a model that is blind."
    return Section("gain", title, lead, tables=(table,))


def signals_section(card: RiskCard) -> Section:
    """Return every signal's AUROC and risk-coverage curve, and how heads compare with baselines."""
    title = "Which signal tells wrong answers from right ones?"
    if not card.signals:
        return Section("signals", title, missing="No signal was asked for: groundbench screen MODEL --signals all.")
    table = Table(
        "Signals, on questions in which no head was detected",
        ("Signal", "AUROC", "Holm p", "Within kinds", "On test", "AURC", "Role"),
        tuple(_signal_row(s) for s in card.signals),
        frozenset({0, 6}),
    )
    told = Table(
        "What the signals are",
        ("Signal", "Cost of one answer", "What it is"),
        tuple((s.name, s.cost, _signal_text(s)) for s in card.signals),
        frozenset({0, 1, 2}),
    )
    quality = quality_table(card)
    measured = [s for s in card.signals if s.auroc is not None and s.auroc.value is not None]
    figures = (*((_aurocs(measured, table),) if measured else ()), *_curves(card))
    notes = tuple(comparison_sentence(c) for c in card.predictors.comparisons)
    if card.heads is not None and card.heads.heads:
        notes = (*notes, _heads_note(card.heads))
    if card.carriers is not None:
        notes = (*notes, _heads_note(card.carriers))
    return Section(
        "signals",
        title,
        above_chance(card),
        figures,
        (table, *((quality,) if quality else ()), *_by_kind(card), told),
        notes,
    )


def _heads_note(heads: HeadsUsed) -> str:
    """Say which heads were watched, and how they were found."""
    names = ", ".join(f"{layer}.{head}" for layer, head in heads.heads[:SHOWN_HEADS])
    more = " …" if len(heads.heads) > SHOWN_HEADS else ""
    what = "Carriers" if heads.selection == "contrast" else "Heads"
    return (
        f"{what} watched (layer.head): {names}{more}; {len(heads.heads)} of {heads.total} heads, "
        f"{FOUND_BY[heads.selection]}."
    )


def _by_kind(card: RiskCard) -> tuple[Table, ...]:
    """Return each signal's AUROC in each kind; nothing where there is one kind."""
    found = {s.name: {k.kind: estimate(k.auroc, 2) for k in s.by_kind} for s in card.signals if s.by_kind}
    kinds = [k for k in card.questions.kinds if any(k in own for own in found.values())]
    if len(kinds) < 2:
        return ()
    rows = tuple((name, *(own.get(k) for k in kinds)) for name, own in found.items())
    return (Table("AUROC in each kind of question", ("Signal", *kinds), rows),)


def _signal_row(s: SignalRecord) -> tuple[Cell, ...]:
    if s.missing is not None:
        return (s.name, None, None, None, None, None, s.role)
    return (
        s.name,
        estimate(s.auroc),
        p_value(s.p_holm),
        estimate(s.auroc_within),
        estimate(s.auroc_test),
        estimate(s.aurc),
        s.role,
    )


def _signal_text(s: SignalRecord) -> str:
    if s.missing is not None:
        return f"not measured: {s.missing}"
    more = f" ({s.source})" if s.source else ""
    return f"{s.description}{more}"


def _aurocs(measured: list[SignalRecord], table: Table) -> Figure:
    rows = [
        Row(s.name, s.auroc.value, s.auroc.low, s.auroc.high, colour=1 if s.role == "signal" else 2)
        for s in measured
        if s.auroc is not None
    ]
    layout = Layout("AUROC", 420, 26, 130, include=(), reference=0.5, reference_label="chance")
    chart = dot_plot(rows, layout, "AUROC of each signal", "How well each signal ranks wrong answers above right ones.")
    legend = (("mark c1", "signal"), ("mark c2", "baseline"))
    return Figure("AUROC", (chart,), table, "0.5 is chance; whiskers: bootstrap over scenes.", legend)


def _curves(card: RiskCard) -> tuple[Figure, ...]:
    shown = sorted(
        (s for s in card.signals if s.curve and s.auroc is not None and s.auroc.value is not None),
        key=lambda s: -(s.auroc.value or 0) if s.auroc else 0.0,
    )[:SHOWN_CURVES]
    if not shown:
        return ()
    series = [
        Series(s.name, [p.coverage for p in s.curve], [p.error for p in s.curve], colour=i + 1)
        for i, s in enumerate(shown)
    ]
    summary = "Share of wrong answers among those kept, when the riskiest are withheld."
    chart = line_chart(series, Axes("share of answers kept", "share wrong", decimals=3), "Risk and coverage", summary)
    points = sorted({p.coverage for s in shown for p in s.curve})
    kept = [{p.coverage: percent_with_interval(p.error, p.low, p.high) for p in s.curve} for s in shown]
    rows = tuple((percent(c), *(own.get(c) for own in kept)) for c in points)
    return (Figure("Risk and coverage", (chart,), Table(summary, ("Kept", *(s.name for s in shown)), rows), summary),)


def calibration_section(card: RiskCard) -> Section:
    """Show whether a predicted risk of 10 % means one error in ten."""
    title = "Does a risk mean what it says?"
    rows = tuple(
        (s.name, c.method, number(c.ece, 3), number(c.ece_high, 3), number(c.brier, 3), count(c.n_fit), count(c.n_test))
        for s in card.signals
        for c in s.calibration
    )
    if not rows:
        return Section("calibration", title, missing="No signal was measured in both splits.")
    head = ("Signal", "Method", "ECE", "Upper end", "Brier score", "Fitted on", "Tested on")
    lead = (
        "Risks fitted on one split and tested on another; ECE in ten bins of equal mass, with its interval's upper end."
    )
    return Section("calibration", title, lead, tables=(Table("Calibration", head, rows, frozenset({0, 1})),))


def operating_section(card: RiskCard) -> Section:
    """Show when to answer and when to withhold."""
    point = card.operating
    if point is None:
        return Section("operating", "Operating point", missing="The policy asks for none, or no signal was measured.")
    rows: tuple[tuple[Cell, ...], ...] = (
        ("fit", percent(point.fit_coverage, 1), percent(point.fit_error, 1)),
        ("test", share(point.coverage), share(point.error)),
    )
    threshold = "no threshold" if point.threshold is None else f"{point.signal} ≤ {number(point.threshold, 4)}"
    if point.threshold == EVERY:
        threshold = "the model says anything: no answer is withheld"
    wanted = f"for at most {percent(point.max_risk, 1)} wrong among the answers kept"
    lead = f"Answer where {threshold}, withhold the rest ({wanted}): {'met' if point.met else 'not met'}; {point.why}."
    table = Table("Operating point", ("Split", "Answers kept", "Wrong among them"), rows)
    return Section("operating", "Operating point", lead, tables=(table,))


def generation_section(card: RiskCard) -> Section:
    """Show the answers by a short continuation."""
    g = card.generation
    assert g is not None
    rows = (
        ("cannot be read as a candidate", share(g.unparseable)),
        ("wrong, unreadable ones included", share(g.error)),
        ("yes, of readable yes/no answers", share(g.yes)),
        ("the likeliest candidate, of readable ones", share(g.agreement)),
    )
    table = Table(f"{count(g.n)} greedy continuations of {g.tokens} tokens", ("Answers that are", "Share"), rows)
    notes = (f"Unreadable, for example: {'; '.join(repr(e) for e in g.examples)}",) if g.examples else ()
    return Section("generation", "Answers by generation", tables=(table,), notes=notes)


def control_section(s: StrengthenRecord, name: Literal["strengthen", "weaken"]) -> Section:
    """Show the effect of strengthening the detected heads, or of weakening those that raise wrong answers."""
    whose = "detected heads" if name == "strengthen" else "heads that raise wrong answers"
    rows = (
        ("untouched", number(1.0), share(s.before), number(s.perplexity_before)),
        (whose, number(s.factor), share(s.after), number(s.perplexity_after)),
        *(
            (f"random heads {i + 1}", number(s.factor), percent(e, 1), number(p))
            for i, (e, p) in enumerate(zip_longest(s.random, s.perplexity_random))
        ),
    )
    table = Table("On the test split", ("Heads", "Multiplied by", "Wrong answers", "Perplexity"), rows)
    tried = tuple((number(t.factor), percent(t.error, 1), number(t.perplexity)) for t in s.tried)
    fit = Table("Factors tried on the fit split", ("Factor", "Wrong answers", "Perplexity"), tried)
    notes = tuple(n for n in (f"Perplexity per token of {s.text}.", s.note) if n)
    title = "Strengthening the heads" if name == "strengthen" else "Weakening heads that raise wrong answers"
    anchor = "control" if name == "strengthen" else "weakened"
    return Section(anchor, title, control_sentence(s), tables=(table, fit), notes=notes)


def failures_section(card: RiskCard) -> Section:
    """List what could not be asked or measured."""
    if not card.failures:
        return Section("failures", "Failures", "Every question could be asked.")
    rows = tuple((f.where, f.reason) for f in card.failures[:50])
    lead = f"{count(len(card.failures))} questions or measurements failed; none is counted as a score."
    table = Table("Failed questions and measurements", ("Where", "Why"), rows, frozenset({0, 1}))
    return Section("failures", "Failures", lead, tables=(table,))
