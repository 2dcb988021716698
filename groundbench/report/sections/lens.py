"""The sections on layers and data: lens curves, and co-occurrence regressions."""

from __future__ import annotations

from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.elements import Figure, Section, Table
from groundbench.results.run import CooccurrenceRecord, LensRecord
from groundbench.results.text.numbers import count, interval, number

LENS = "Layer by layer"


def lens_section(lenses: tuple[LensRecord, ...]) -> Section:
    """Return surprisal and gain read at every layer (protocol §9)."""
    if not lenses:
        return Section(
            "lens", LENS, missing="The lens was not measured in this run: groundbench run MODEL --measure gain,lens."
        )
    main = lenses[0]
    known = [(row.layer, row.gain) for row in main.layers if row.gain is not None]
    lead = f"A {main.kind} lens reads the word at every layer."
    if known:
        half = known[-1][1] / 2
        layer = next((n for n, g in known if g >= half), known[-1][0])
        lead += f" Half of the final gain is there from layer {layer} of {known[-1][0]} on." if half > 0 else ""
    notes = tuple(dict.fromkeys(x.note for x in lenses if x.note))
    return Section("lens", LENS, lead, tuple(f for f in (_surprisals(main), _gains(lenses)) if f), notes=notes)


def _axes(layers: list[int], label: str) -> Axes:
    return Axes("layer", label, x_ticks=layers[:: max(1, len(layers) // 8)], zero=True)


def _surprisals(main: LensRecord) -> Figure:
    layers = [row.layer for row in main.layers]
    series = [Series("matched", layers, [row.matched for row in main.layers])]
    if any(row.mismatched is not None for row in main.layers):
        series.append(Series("mismatched", layers, [row.mismatched for row in main.layers], colour=2))
    first, last = main.layers[0], main.layers[-1]
    summary = f"Matched surprisal goes from {number(first.matched)} at layer {first.layer} to {number(last.matched)}."
    chart = line_chart(series, _axes(layers, "surprisal (nats)"), f"Surprisal by layer, {main.kind} lens", summary)
    table = Table(
        f"{main.kind.capitalize()} lens (nats)",
        ("Layer", "Matched", "Mismatched", "Gain"),
        tuple((str(r.layer), number(r.matched), number(r.mismatched), number(r.gain)) for r in main.layers),
    )
    return Figure(f"Surprisal, {main.kind} lens", (chart,), table, summary)


def _gains(lenses: tuple[LensRecord, ...]) -> Figure | None:
    kept = [x for x in lenses if any(row.gain is not None for row in x.layers)]
    if not kept:
        return None
    series = [
        Series(
            f"{x.kind} lens",
            [r.layer for r in x.layers],
            [r.gain for r in x.layers],
            colour=(1, 4)[i > 0],
            dashed=i > 0,
        )
        for i, x in enumerate(kept)
    ]
    layers = sorted({r.layer for x in kept for r in x.layers})
    by = [{r.layer: r.gain for r in x.layers} for x in kept]
    table = Table(
        "Gain by layer (nats)",
        ("Layer", *(f"{x.kind} lens" for x in kept)),
        tuple((str(n), *(number(b.get(n)) for b in by)) for n in layers),
    )
    summary = "Only the difference between mismatched and matched isolates grounding."
    chart = line_chart(series, _axes(layers, "gain (nats)"), "Gain by layer", summary)
    return Figure("Gain by layer", (chart,), table, summary)


def cooccurrence_section(record: CooccurrenceRecord | None) -> Section:
    """Show how much of the gain's spread over nouns co-occurrence explains (protocol §7)."""
    title = "Co-occurrence"
    if record is None:
        return Section(
            "cooccurrence",
            title,
            missing="Co-occurrence was not measured (groundbench trajectory … --corpus DIR does).",
        )
    rows = tuple(
        (
            f"{r.statistic}, {r.window}",
            f"per {r.unit}",
            number(r.r2_adjusted, 3),
            interval(r.ci_low, r.ci_high, 3),
            count(r.n),
        )
        for r in record.regressions
    )
    table = Table(
        "Adjusted R² of the gain on co-occurrence",
        ("Statistic", "Unit", "Adjusted R²", "95 % interval", "n"),
        rows,
        frozenset({0, 1}),
    )
    spread = number(record.gain_variance, 3)
    lead = f"The gain varies over nouns by {spread} nats² (variance); R² also falls when the gain saturates."
    return Section("cooccurrence", title, lead if spread else "", tables=(table,))
