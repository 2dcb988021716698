"""The sections on behaviour: the gain, per noun and per category."""

from __future__ import annotations

import math
from itertools import pairwise

from groundbench.report.charts.dots import Layout, Row, dot_plot, value_range
from groundbench.report.elements import Figure, Section, Table
from groundbench.results.run import GainRecord, NounGain
from groundbench.results.text.numbers import count, decimals_for, interval, number, p_value, signed_number
from groundbench.results.text.sentences import COPYING

COLUMNS = 3
MATCHED_LEGEND = (("mark c1", "its own noun was shown (matched)"), ("ring c2", "another noun was shown (mismatched)"))


def measures_section(gain: GainRecord, form: str) -> Section:
    """Return the gain's own numbers: intervals, tests and controls."""
    rows = (
        ("Grounding gain", *_value_and_interval(gain.mean, gain.ci_low, gain.ci_high), p_value(gain.p_cluster)),
        (
            "Gain within the noun's category",
            *_value_and_interval(gain.same_category, gain.same_category_ci_low, gain.same_category_ci_high),
            None,
        ),
        ("Surprisal, own noun shown", *_value_and_interval(gain.matched), None),
        ("Surprisal, another noun shown", *_value_and_interval(gain.mismatched), None),
        ("Sign-flip test over nouns", None, None, p_value(gain.p_signflip)),
        ("Spread over frames (SD)", *_value_and_interval(gain.per_frame_sd), None),
        ("Probe path minus scoring path", signed_number(gain.probe_gap, 4), None, None),
        ("Ideal observer", *_value_and_interval(gain.ideal), None),
        ("Smallest detectable gain", *_value_and_interval(gain.detectable), None),
    )
    kept = tuple(r for r in rows if any(r[1:]))
    table = Table("Behaviour, in nats", ("Measure", "Mean", "95 % interval", "p"), kept)
    failed = f"{count(gain.n_failed)} items failed and are counted as failures, not as scores." if gain.n_failed else ""
    notes = tuple(
        n
        for n in (
            COPYING if form == "word" else "",
            failed,
            "Intervals and two-sided p-values are clustered by noun and frame.",
        )
        if n
    )
    return Section("measures", "The gain in numbers", tables=(table,), notes=notes)


def _value_and_interval(
    value: float | None, low: float | None = None, high: float | None = None
) -> tuple[str | None, str | None]:
    """Return a number and its interval, in as many decimals as they need together."""
    places = decimals_for(value, low, high)
    return number(value, places), interval(low, high, places)


def noun_section(gain: GainRecord) -> Section:
    """Return matched against mismatched surprisal for every noun, largest gain first."""
    nouns = sorted(gain.by_noun, key=lambda n: -math.inf if n.gain is None else n.gain, reverse=True)
    if not nouns:
        return Section(
            "nouns",
            "Noun by noun",
            missing="Not measured: groundbench run MODEL --measure gain.",
        )
    known = [n.gain for n in nouns if n.gain is not None]
    above = sum(g > 0 for g in known)
    lead = f"Its own noun lowers the surprisal of {above} of {len(known)} words."
    return Section("nouns", "Noun by noun", lead, figures=(_noun_figure(nouns), _category_figure(gain)))


def _noun_figure(nouns: list[NounGain]) -> Figure:
    rows = [Row(n.noun, n.matched, other=n.mismatched) for n in nouns]
    low, high = value_range(rows, ())
    x_range = (low, high) if low > 0.4 * high else value_range(rows)
    panels = []
    n = min(COLUMNS, -(-len(rows) // 8))
    for start, stop in pairwise(round(len(rows) * i / n) for i in range(n + 1)):
        part = rows[start:stop]
        layout = Layout("surprisal (nats)", 350, 15.5, 92, x_range=x_range, radius=3.6)
        title = f"Matched and mismatched surprisal, nouns {start + 1} to {start + len(part)} by gain"
        panels.append(dot_plot(part, layout, title, _noun_summary(nouns[start:stop])))
    table = Table(
        "Surprisal and gain of every noun (nats)",
        ("Noun", "Category", "Matched", "Mismatched", "Gain"),
        tuple((n.noun, n.category, number(n.matched), number(n.mismatched), signed_number(n.gain)) for n in nouns),
        frozenset({0, 1}),
    )
    caption = "A long line is a strong tie: the word is expected when its noun was shown, and a surprise otherwise."
    return Figure("Matched against mismatched", tuple(panels), table, caption, MATCHED_LEGEND, wide=True)


def _noun_summary(nouns: list[NounGain]) -> str:
    first, last = nouns[0], nouns[-1]
    return f"From {first.noun} (gain {number(first.gain)} nats) to {last.noun} (gain {number(last.gain)} nats)."


def _category_figure(gain: GainRecord) -> Figure:
    found = sorted(gain.by_category, key=lambda c: -math.inf if c.gain is None else c.gain, reverse=True)
    by = {c.category: [n.gain for n in gain.by_noun if n.category == c.category and n.gain is not None] for c in found}
    rows = [Row(c.category, c.gain, cloud=by[c.category]) for c in found]
    summary = "Mean gain by category: " + "; ".join(f"{c.category} {number(c.gain)}" for c in found) + " nats."
    layout = Layout("gain (nats)", 420, 24, 118)
    table = Table(
        "Gain by category (nats)",
        ("Category", "Nouns", "Gain"),
        tuple((c.category, count(c.n_nouns), signed_number(c.gain)) for c in found),
    )
    legend = (("mark c1", "mean of the category"), ("cloud c1", "one noun"))
    return Figure("By category", (dot_plot(rows, layout, "Gain by category", summary),), table, "", legend)
