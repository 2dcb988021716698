"""The section on cause by interchange: curve, cross-form matrix, edge knockout, identity of heads (protocol §15)."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench.report.charts.heatmap import MapStyle, heat_map
from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.charts.matrix import Grid, matrix_chart
from groundbench.report.charts.scatter import Dot, ScatterAxes, scatter_chart
from groundbench.report.elements import Cell, Figure, Section, Table
from groundbench.results.causal import CausalRecord, CurveRecord, HeadIdentity, Interval
from groundbench.results.run import ModelRecord
from groundbench.results.text.numbers import count, interval, number, p_value, percent
from groundbench.results.text.sentences import carried_sentence

TITLE = "Which heads carry it"
COLOURS = {"contrast": 1, "share": 2, "exact": 3, "contrast-ig": 4, "random": 6}
STEPS = {
    "direct": "prediction ← noun shown",
    "write": "later words ← noun shown",
    "read": "prediction ← later words",
}
LISTED = 20
IDENTITY = (
    ("induction", "Induction"),
    ("previous", "Previous"),
    ("duplicate", "Duplicate"),
    ("sink", "Sink"),
    ("ov_copy", "OV copy"),
)
"""Kinds of heads: the field of the record, and the title of the column."""
NOTHING = 0.01
"""Of the gain: the least effect of zeroing a head that shows."""


def causal_section(model: ModelRecord, records: Sequence[CausalRecord]) -> Section:
    """Show what the heads of a ranking carry, for every form; of the first form with curve, knockout and heads."""
    if not model.mixers:
        return Section("causal", TITLE, missing=f"{model.architecture} has no heads to interchange.")
    if not records:
        return Section(
            "causal",
            TITLE,
            missing="Head outputs were not interchanged in this run: groundbench run MODEL --measure gain,causal.",
        )
    first = records[0]
    identity = next((r.identity for r in records if r.identity), ())
    figures = [_curve(first), _knockout(first), _matrix(records), _identity(first, identity), _map(first)]
    tables = [_recovery_table(records), _head_table(first, identity)]
    notes = [f"{r.env_form}: {r.note}." for r in records if r.note]
    notes += [_opposed_note(r) for r in records if r.opposed]
    notes += [note for r in records for note in _repair_notes(r)]
    return Section(
        "causal",
        TITLE,
        carried_sentence(first),
        tuple(f for f in figures if f),
        tuple(tables),
        (*notes, _method_note(first)),
    )


def _method_note(record: CausalRecord) -> str:
    pairs = record.pairs
    left = f"; {pairs.n_left_out} items had no mismatch of equal length" if pairs.n_left_out else ""
    return (
        f"{pairs.n} pairs of a matched and a mismatched prompt of equal length ({pairs.n_nouns} nouns, "
        f"{pairs.n_frames} frames{left}). Heads are ranked on other nouns and other frames than those they are tested "
        "on; embeddings and MLPs stay as they come. Intervals: bootstrap over nouns."
    )


def _opposed_note(record: CausalRecord) -> str:
    named = ", ".join(f"{h.layer}.{h.head}" for h in record.opposed)
    return f"{record.env_form}: contrast and the exact effect differ in sign for {named}."


def _repair_notes(record: CausalRecord) -> list[str]:
    """Return heads that carry the noun although zeroing each alone shows nothing."""
    gain = record.pairs.gain.value
    if gain is None:
        return []
    named = [f"{s.layer}.{s.head}" for s in record.scores if s.zeroed is not None and s.zeroed < NOTHING * gain]
    if not named:
        return []
    return [
        f"{record.env_form}: zeroing {', '.join(named)} alone shows nothing, although the noun goes through "
        f"{'it' if len(named) == 1 else 'each of them'}: other heads take over, so that cutting heads misleads here."
    ]


def _share(value: Interval) -> Cell:
    return percent(value.value)


def ends_of(value: Interval) -> Cell:
    """Return the interval of a share in per cent; None where it is not known."""
    if value.ci_low is None or value.ci_high is None:
        return None
    return interval(100 * value.ci_low, 100 * value.ci_high, 0)


def _recovery_table(records: Sequence[CausalRecord]) -> Table:
    head = (
        "Form",
        "Pairs",
        "Gain (nats)",
        "Heads",
        "Recovered",
        "95 % interval (%)",
        "Random",
        "p rank",
        "p draws",
        "Lost",
        "Transfer",
        "Same answer",
        "Same category",
        "Heads for half",
        "CPR",
        "CMD",
    )
    rows = []
    for r in records:
        i = r.headline
        curve = r.headline_curve
        cells: list[Cell] = [r.env_form, count(r.pairs.n), number(r.pairs.gain.value)]
        if i is None:
            cells += [None] * 10
        else:
            cells += [
                f"{i.k} of {r.n_heads}",
                _share(i.recovered),
                ends_of(i.recovered),
                percent(i.random_mean),
                p_value(i.p_rank),
                p_value(i.p_draws),
                _share(i.lost),
                _share(i.transfer),
                _share(i.same_answer),
                _share(i.same_category),
                None if curve is None else number(curve.heads_for_half.value, 1),
            ]
        cells += [None, None] if curve is None else [number(curve.cpr), number(curve.cmd)]
        rows.append(tuple(cells[: len(head)]))
    return Table("What the first heads by contrast carry, cross-fitted", head, tuple(rows))


def _curve(record: CausalRecord) -> Figure | None:
    drawn = [c for c in record.curves if c.crossfit and any(p.f is not None for p in c.points)]
    if not drawn:
        return None
    series = [_series(c) for c in drawn]
    ticks = [p.k for p in drawn[0].points]
    axes = Axes(
        "heads that stay clean",
        "share of the gain",
        x_ticks=range(len(ticks)),
        x_labels=[str(k) for k in ticks],
        right=84,
    )
    chart = line_chart(series, axes, "Faithfulness", _curve_words(drawn))
    rows = tuple(
        (
            f"{c.ranking}{'' if c.crossfit else ', not cross-fitted'}",
            *(number(p.f) for p in c.points),
            number(c.cpr),
            number(c.cmd),
            number(c.heads_for_half.value, 1),
            interval(c.heads_for_half.ci_low, c.heads_for_half.ci_high, 1),
        )
        for c in record.curves
    )
    table = Table(
        f"f by number of heads, {record.env_form}",
        ("Ranking", *(str(k) for k in ticks), "CPR", "CMD", "Heads for half", "95 % interval"),
        rows,
    )
    caption = (
        f"The share f of the gain that is left when only the first heads of a ranking stay clean and all others come "
        f"from the mismatched prompt ({record.env_form}). CPR: area under f over the share of heads, linear; CMD: "
        "area of |1 − f|. Bands: 95 % over nouns; for random orders their range."
    )
    return Figure("How few heads are enough", (chart,), table, caption)


def _series(curve: CurveRecord) -> Series:
    x = list(range(len(curve.points)))
    return Series(
        curve.ranking,
        x,
        [p.f for p in curve.points],
        [p.ci_low for p in curve.points],
        [p.ci_high for p in curve.points],
        colour=COLOURS[curve.ranking],
        dashed=curve.ranking == "random",
    )


def _curve_words(curves: Sequence[CurveRecord]) -> str:
    told = [
        f"{c.ranking}: half of the gain with {number(c.heads_for_half.value, 1) or 'no number of'} heads"
        for c in curves
    ]
    return "; ".join(told) + "."


def _knockout(record: CausalRecord) -> Figure | None:
    windows = [k for k in record.knockout if k.heads == "all" and k.lost.value is not None]
    if not windows:
        return None
    series = []
    for i, step in enumerate(STEPS):
        own = [k for k in windows if k.step == step]
        series.append(
            Series(
                STEPS[step],
                [(k.first_layer + k.last_layer) / 2 for k in own],
                [k.lost.value for k in own],
                [k.lost.ci_low for k in own],
                [k.lost.ci_high for k in own],
                colour=i + 1,
                dashed=step != "direct",
            )
        )
    width = windows[0].last_layer - windows[0].first_layer + 1
    middles = sorted({(k.first_layer + k.last_layer) / 2 for k in windows})
    ticks = middles[:: max(1, len(middles) // 7)]
    axes = Axes(
        "middle of the window (layer)",
        "share of the gain lost",
        x_ticks=ticks,
        x_labels=[f"{t:g}" for t in ticks],
        right=16,
    )
    head = next((k for k in record.knockout if k.heads == "headline"), None)
    alone = "" if head is None else f" In the headline's heads alone the first loses {percent(head.lost.value)}."
    size = f"{width} layers" if width > 1 else "one layer"
    caption = f"Edges cut in all heads of {size} at a time ({record.env_form}), in both prompts.{alone}"
    rows = tuple(
        (
            STEPS[k.step],
            "headline" if k.heads == "headline" else f"{k.first_layer}-{k.last_layer}",
            _share(k.lost),
            ends_of(k.lost),
        )
        for k in record.knockout
    )
    table = Table("Edges cut", ("Edge", "Layers", "Gain lost", "95 % interval (%)"), rows, frozenset({0, 1}))
    legend = tuple((f"mark c{i + 1}", label) for i, label in enumerate(STEPS.values()))
    return Figure(
        "Where the noun is read",
        (line_chart(series, axes, "Edge knockout", caption, names=False),),
        table,
        caption,
        legend,
    )


def _matrix(records: Sequence[CausalRecord]) -> Figure | None:
    rows = [r for r in records if r.matrix]
    if all(c.recovered.value is None for r in rows for c in r.matrix):
        return None
    donors = [c.donor_form for c in rows[0].matrix]
    values = {(r.env_form, c.donor_form): c.recovered.value for r in rows for c in r.matrix}
    grid = Grid([r.env_form for r in rows], donors, values, "heads ranked and tested in", "outputs from")
    told = "; ".join(
        f"{r.env_form}: "
        + ", ".join(f"from {c.donor_form} {percent(c.recovered.value) or 'nothing to recover'}" for c in r.matrix)
        for r in rows
    )
    table = Table(
        "Recovered by heads of the row's form with outputs from the column's",
        ("Form", *donors),
        tuple((r.env_form, *(_share(c.recovered) for c in r.matrix)) for r in rows),
    )
    caption = (
        "Each row's heads, at the prediction position of its mismatched prompt, take the outputs that they have where "
        "the column's form shows the noun. A head that carries the noun works across forms; one that carries a token "
        "does not."
    )
    if any(value is None for value in values.values()):
        caption += " Dashed: not measured, since the gain of the pairs that have both forms cannot be told from 0."
    return Figure(
        "Do heads carry the noun or the token?", (matrix_chart(grid, "Cross-form matrix", told),), table, caption
    )


def _identity(record: CausalRecord, identity: Sequence[HeadIdentity]) -> Figure | None:
    by = {(h.layer, h.head): h for h in identity}
    best = {(h.layer, h.head) for h in (record.headline.heads if record.headline else ())}
    dots = []
    for s in record.scores:
        who = by.get((s.layer, s.head))
        if who is not None and who.induction is not None and s.contrast is not None:
            dots.append(Dot(who.induction, s.contrast, f"{s.layer}.{s.head}", (s.layer, s.head) in best))
    if not dots:
        return None
    axes = ScatterAxes("induction score", "contrast (nats)")
    caption = (
        f"One dot a head ({record.env_form}); filled: in the set of the headline. Induction: mean attention from a "
        "random token's repeat to what followed it first."
    )
    rows = tuple((d.name, number(d.x), number(d.y, 3)) for d in sorted(dots, key=lambda d: -d.y)[:LISTED])
    table = Table("The first heads by contrast", ("Head", "Induction", "Contrast (nats)"), rows)
    return Figure(
        "Are they induction heads?", (scatter_chart(dots, axes, "Contrast against induction", caption),), table, caption
    )


def _map(record: CausalRecord) -> Figure | None:
    values = {(s.layer, s.head): s.contrast for s in record.scores if s.contrast is not None}
    if not values:
        return None
    heads = [(s.layer, s.head) for s in record.scores]
    style = MapStyle("contrast (nats)", max(map(abs, values.values())), signed=True)
    best = sorted(values, key=lambda h: -values[h])[:LISTED]
    told = ", ".join(f"{a}.{b} {number(values[a, b])}" for a, b in best[:5])
    table = Table(
        "Contrast by head (nats)", ("Head", "Contrast"), tuple((f"{a}.{b}", number(values[a, b], 3)) for a, b in best)
    )
    caption = f"Contrast of every head ({record.env_form}): positive heads raise the noun that was shown."
    return Figure(
        "Every head", (heat_map(heads, values, style, "Contrast by head", f"The first: {told}."),), table, caption
    )


def _head_table(record: CausalRecord, identity: Sequence[HeadIdentity]) -> Table:
    by = {(h.layer, h.head): h for h in identity}
    rows = []
    ranked = sorted(record.scores, key=lambda s: -(s.contrast if s.contrast is not None else float("-inf")))
    for s in ranked[:LISTED]:
        who = by.get((s.layer, s.head))
        rows.append(
            (
                f"{s.layer}.{s.head}",
                number(s.contrast, 3),
                number(s.contrast_ig, 3),
                number(s.exact, 3),
                percent(s.share),
                *(number(getattr(who, n)) if who else None for n, _ in IDENTITY),
            )
        )
    head = ("Head", "Contrast", "Contrast-ig", "Exact", "Share", *(title for _, title in IDENTITY))
    agree = "; ".join(
        f"{a.first} and {a.second} {number(a.rank_correlation)}"
        for a in record.agreement
        if a.rank_correlation is not None
    )
    caption = f"What each head is, {record.env_form} (scores in nats; rank correlations: {agree or 'none'})"
    kept = [
        i for i in range(len(head)) if i == 0 or any(row[i] is not None for row in rows)
    ]  # the others: not asked for
    return Table(caption, tuple(head[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))
