"""The section on the ladder of ENV forms: gain, heads and ablation by form, and what the forms share (protocol §13)."""

from __future__ import annotations

from collections.abc import Iterator

from groundbench.report.charts.dots import Layout, Row, dot_plot
from groundbench.report.elements import Cell, Figure, Section, Table
from groundbench.results.run import FormRecord, Result
from groundbench.results.text.numbers import count, decimals_for, interval, number, p_value, percent

TITLE = "Ladder of forms"
NAMED = 12
"""This many of the nouns that a form leaves out are named on the page."""


def ladder_section(result: Result) -> Section:
    """Return the gain, the heads and the ablation with every way of showing a noun."""
    if len(result.forms) < 2:
        why = (
            f"Only the form “{result.testbed.env_form}” was measured: groundbench run MODEL --testbed "
            f"{result.testbed.name} --env-form all measures every form of its testbed."
        )
        return Section("ladder", TITLE, missing=why)
    tables = [t for t in (_mechanism(result.forms), *_shared_heads(result)) if t]
    notes = (*_left_out(result.forms), *_sample_notes(result.forms), *_lone_head_notes(result))
    return Section("ladder", TITLE, _copy_sentence(result), (_gains(result.forms),), tuple(tables), notes)


def _gains(forms: tuple[FormRecord, ...]) -> Figure:
    rows = [_form_row(f) for f in forms]
    summary = "; ".join(f"{r.label} {number(r.value) or 'not measured'}" for r in rows)
    layout = Layout("gain (nats)", 420, 30, 118)
    chart = dot_plot(rows, layout, "Gain by the form shown", f"Gain in nats: {summary}.")
    head = ("Form", "Nouns", "Gain", "95 % interval", "Within category", "Matched surprisal", "Nouns left out")
    table = Table("The ladder of forms (nats)", head, tuple(_gain_cells(f) for f in forms))
    caption = (
        "From what copying alone can reach (word) to what shares nothing with the word. Line: clustered 95 % interval."
    )
    return Figure("How the noun was shown", (chart,), table, caption)


def _form_row(form: FormRecord) -> Row:
    if form.gain is None:
        return Row(form.env_form, None)
    return Row(form.env_form, form.gain.mean, form.gain.ci_low, form.gain.ci_high)


def _gain_cells(form: FormRecord) -> tuple[Cell, ...]:
    nouns, left_out = count(form.n_nouns), count(len(form.excluded))
    gain = form.gain
    if gain is None:
        return (form.env_form, nouns, None, None, None, None, left_out)
    places = decimals_for(gain.mean, gain.ci_low, gain.ci_high)
    ends = interval(gain.ci_low, gain.ci_high, places)
    within, matched = number(gain.same_category, places), number(gain.matched)
    return (form.env_form, nouns, number(gain.mean, places), ends, within, matched, left_out)


def _mechanism(forms: tuple[FormRecord, ...]) -> Table | None:
    """Return the headline record of heads and of ablation, a row for each form."""
    if not any(f.heads or f.ablations for f in forms):
        return None
    head = (
        "Form",
        "Heads per item",
        "Other span",
        "Untrained",
        "Nouns cut on",
        "Gain",
        "Heads cut",
        "Controls cut",
        "Removed",
        "p rank",
    )
    rows = tuple(_mechanism_cells(f) for f in forms)
    return Table("Heads and ablation by form (gain in nats)", head, rows).without_empty_columns()


def _mechanism_cells(form: FormRecord) -> tuple[Cell, ...]:
    heads: tuple[Cell, ...] = (None, None, None)
    if form.heads:
        h = form.heads[0]
        heads = (number(h.mean_count), number(h.null_count), number(h.untrained_count))
    if not form.ablations:
        return (form.env_form, *heads, *[None] * 6)
    a = form.ablations[0]
    gains = (number(a.gain_original), number(a.gain_ablated), number(a.gain_control))
    tested = count(len(a.nouns) or form.n_nouns)
    return (form.env_form, *heads, tested, *gains, percent(a.gain_removed), p_value(a.p_rank))


def _shared_heads(result: Result) -> Iterator[Table]:
    several = [h for h in result.head_forms if len(h.forms) > 1]
    if several:
        rows = tuple((f"{h.layer}.{h.head}", count(len(h.forms)), ", ".join(h.forms)) for h in several)
        yield Table("Heads that serve several forms", ("Layer.head", "Forms", "Which"), rows, frozenset({0, 2}))


def _lone_head_notes(result: Result) -> Iterator[str]:
    """Count the heads that only one form's list holds."""
    if result.head_forms:
        alone = sum(len(h.forms) == 1 for h in result.head_forms)
        yield (
            f"{count(len(result.head_forms))} heads are detected in at least half of the items of some form, "
            f"{count(len(result.head_forms) - alone)} of them of several forms."
        )


def _left_out(forms: tuple[FormRecord, ...]) -> Iterator[str]:
    for form in forms:
        if not form.excluded:
            continue
        words = [e.noun for e in form.excluded]
        more = f" and {count(len(words) - NAMED)} more" if len(words) > NAMED else ""
        yield f"“{form.env_form}” leaves out {', '.join(words[:NAMED])}{more}; result.json gives the reasons."


def _sample_notes(forms: tuple[FormRecord, ...]) -> tuple[str, ...]:
    """Say on which sample the ablations were tested; one line for all forms that say the same."""
    said = [(f.ablations[0].note, f.env_form) for f in forms if f.ablations and f.ablations[0].nouns]
    notes = dict.fromkeys(note for note, _ in said if note)
    return tuple(f"Ablation ({', '.join(f for n, f in said if n == note)}): {note}." for note in notes)


def _copy_sentence(result: Result) -> str:
    copy = result.copy_corrected
    if copy is None:
        return "The copy-corrected gain (definition over word) was not measured."
    if copy.ratio is None:
        return "There is no copy-corrected gain: the gain with the word itself cannot be told from 0."
    ends = interval(copy.ci_low, copy.ci_high)
    within = f" (95 % interval {ends})" if ends else ""
    nouns = "" if copy.n_nouns is None else f" on {copy.n_nouns} nouns"
    return (
        f"Shown a definition instead of the word, {percent(copy.ratio)} of the gain remains: a copy-corrected gain of "
        f"{number(copy.ratio)}{within}, {number(copy.gain_gloss)} of {number(copy.gain_word)} nats within categories"
        f"{nouns}."
    )
