"""The sections of a page on training runs: what is measured at each checkpoint, run beside run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from groundbench.report.figure import Cell, Figure, Section, Table
from groundbench.report.lines import Axes, Series, Values, line_chart
from groundbench.report.numbers import count, interval, number, p_value
from groundbench.result import AblationRecord, CooccurrenceRecord, GainRecord, HeadsRecord
from groundbench.result_trajectory import Trajectory, TrajectoryPoint

Trajectories = Sequence[Trajectory]
Read = Callable[[TrajectoryPoint], float | None]
STEP = "training step"
TWO, THREE = 420, 340


def _columns(runs: Trajectories) -> int:
    """Three panels beside each other where there is one for each of three runs."""
    return 3 if len(runs) % 3 == 0 else 2


def _width(runs: Trajectories) -> int:
    return THREE if _columns(runs) == 3 else TWO


def _gain(point: TrajectoryPoint) -> GainRecord | None:
    return point.result.gain


def _heads(point: TrajectoryPoint) -> HeadsRecord | None:
    return point.result.heads[0] if point.result.heads else None


def _ablation(point: TrajectoryPoint) -> AblationRecord | None:
    return point.result.ablations[0] if point.result.ablations else None


def _field(of: Callable[[TrajectoryPoint], object | None], name: str) -> Read:
    """A reader of one number of one record, None where the record is missing."""

    def read(point: TrajectoryPoint) -> float | None:
        record = of(point)
        value = None if record is None else getattr(record, name)
        return None if value is None else float(value)

    return read


def _series(t: Trajectory, colour: int, y: Read, low: Read | None = None, high: Read | None = None) -> Series | None:
    kept = [p for p in t.points if y(p) is not None]
    if not kept:
        return None
    ends: list[Values] = [[r(p) for p in kept] if r else () for r in (low, high)]
    return Series(t.name, [p.step for p in kept], [y(p) for p in kept], ends[0], ends[1], colour)


def _chart(
    title: str,
    unit: str,
    runs: Trajectories,
    y: Read,
    decimals: int = 2,
    low: Read | None = None,
    high: Read | None = None,
) -> Figure | None:
    """One line for each training run, as a panel half a page wide."""
    found = [s for i, t in enumerate(runs) if (s := _series(t, i + 1, y, low, high))]
    if not found:
        return None
    summary = "; ".join(f"{s.name}: {number(s.y[0], decimals)} to {number(s.y[-1], decimals)}" for s in found) + "."
    chart = line_chart(found, Axes(STEP, unit, decimals=decimals), title, summary)
    return Figure(title, (chart,), _table(title, runs, y, decimals))


def _table(title: str, runs: Trajectories, y: Read, decimals: int) -> Table:
    steps = sorted({p.step for t in runs for p in t.points})
    by = [{p.step: number(y(p), decimals) for p in t.points} for t in runs]
    rows = tuple((count(s), *(b.get(s) for b in by)) for s in steps)
    return Table(title, ("Step", *(t.name for t in runs)), rows)


def hero(runs: Trajectories) -> Figure | None:
    """The gain of every run over its checkpoints, with 95 % bands: the page's first figure."""
    read, ends = _field(_gain, "mean"), {"low": _field(_gain, "ci_low"), "high": _field(_gain, "ci_high")}
    found = [s for i, t in enumerate(runs) if (s := _series(t, i + 1, read, **ends))]
    if not found:
        return None
    title = "Grounding gain over training"
    summary = "; ".join(f"{s.name} goes from {number(s.y[0])} to {number(s.y[-1])} nats" for s in found) + "."
    wide = line_chart(found, Axes(STEP, "gain (nats)", 860, 360), title, summary)
    narrow = line_chart(found, Axes(STEP, "gain (nats)", 380, 300), title, summary)
    table = Table(
        title,
        ("Step", *(t.name for t in runs)),
        tuple((count(s), *(_cell(t, s) for t in runs)) for s in sorted({p.step for t in runs for p in t.points})),
    )
    caption = "Bands are 95 % intervals, bootstrapped over nouns. At 0 the word does not depend on what was shown."
    return Figure(title, (wide,), table, caption, narrow=(narrow,), wide=True)


def _cell(t: Trajectory, step: int) -> Cell:
    gain = next((p.result.gain for p in t.points if p.step == step), None)
    if gain is None or gain.mean is None:
        return None
    ends = interval(gain.ci_low, gain.ci_high)
    return f"{number(gain.mean)}{f' ({ends})' if ends else ''}"


def surprisal_section(runs: Trajectories) -> Section:
    """Matched and mismatched surprisal, one panel for each run on one scale."""
    figures = []
    ends = [
        getattr(p.result.gain, n) for t in runs for p in t.points if p.result.gain for n in ("matched", "mismatched")
    ]
    known = [v for v in ends if v is not None]
    if not known:
        return Section("surprisal", "Matched and mismatched", missing="Surprisals were not recorded.")
    for t in runs:
        pair = [
            Series(label, [p.step for p in t.points], [_field(_gain, label)(p) for p in t.points], colour=colour)
            for label, colour in (("matched", 1), ("mismatched", 2))
        ]
        axes = Axes(STEP, "surprisal (nats)", _width(runs), y_range=(0.0, max(known) * 1.04), zero=True, height=230)
        last = t.last.gain
        summary = "" if last is None else f"At the end {number(last.matched)} matched, {number(last.mismatched)} not."
        table = Table(
            t.name,
            ("Step", "Matched", "Mismatched"),
            tuple((count(p.step), *(number(_field(_gain, n)(p)) for n in ("matched", "mismatched"))) for p in t.points),
        )
        figures.append(Figure(t.name, (line_chart(pair, axes, f"{t.name}: surprisal over training", summary),), table))
    lead = "Where the lines part, the word has come to depend on the noun shown; where both fall, only on the text."
    return Section("surprisal", "Matched and mismatched", lead, tuple(figures), columns=_columns(runs))


def training_section(runs: Trajectories) -> Section:
    """Losses beside the checkpoints: “did not train” and “does not ground” are different verdicts."""
    figures = (
        _chart("Held-out loss", "nats per token", runs, lambda p: p.heldout_loss),
        _chart("Training loss", "nats per token", runs, lambda p: p.train_loss),
    )
    kept = tuple(f for f in figures if f)
    if not kept:
        return Section("training", "Did they train?", missing="Losses were not recorded.")
    lead = "A model that did not learn its corpus cannot be said not to ground: losses stand beside the gain."
    return Section("training", "Did they train?", lead, kept)


def heads_section(runs: Trajectories) -> Section:
    """Head count and mean layer over training."""
    low, high = _field(_heads, "ci_low"), _field(_heads, "ci_high")
    figures = (
        _chart("Aggregate heads", "heads (mean over items)", runs, _field(_heads, "mean_count"), low=low, high=high),
        _chart("Their mean layer", "layer", runs, _field(_heads, "mean_layer"), 1),
    )
    kept = tuple(f for f in figures if f)
    title = "Heads over training"
    if not kept:
        return Section("heads-over-training", title, missing="Heads were not measured, or the models have none.")
    headless = [t.name for t in runs if not t.last.model.mixers]
    notes = (f"{', '.join(headless)}: no heads, so nothing is drawn.",) if headless else ()
    return Section("heads-over-training", title, "", kept, notes=notes)


def ablation_section(runs: Trajectories) -> Section:
    """The gain untouched, with the heads cut, with controls cut: one panel for each run that has them."""
    figures = tuple(f for t in runs if (f := _ablation_panel(t)))
    title = "Cutting the heads, over training"
    if not figures:
        return Section("ablation-over-training", title, missing="Ablations were not measured, or there are no heads.")
    lead = "If the detected heads carry the tie, cutting them takes the gain away, and cutting others does not."
    return Section("ablation-over-training", title, lead, figures)


def _ablation_panel(t: Trajectory) -> Figure | None:
    kept = [p for p in t.points if (a := _ablation(p)) is not None and a.gain_ablated is not None]
    if not kept:
        return None
    lines = (("untouched", "gain_original", 1), ("heads cut", "gain_ablated", 2), ("others cut", "gain_control", 3))
    series = [
        Series(
            label, [p.step for p in kept], [_field(_ablation, key)(p) for p in kept], colour=colour, dashed=colour == 3
        )
        for label, key, colour in lines
    ]
    last = _ablation(kept[-1])
    summary = (
        "" if last is None else f"At the end {number(last.gain_original)} nats, {number(last.gain_ablated)} when cut."
    )
    holm = {h.step: h for h in t.holm}
    table = Table(
        t.name,
        ("Step", "Untouched", "Heads cut", "Others cut", "p Holm"),
        tuple(
            (count(p.step), *(number(_field(_ablation, key)(p)) for _, key, _ in lines), _holm(p, holm.get(p.step)))
            for p in kept
        ),
    )
    return Figure(t.name, (line_chart(series, Axes(STEP, "gain (nats)"), f"{t.name}: gain left", summary),), table)


def _holm(point: TrajectoryPoint, found: object | None) -> Cell:
    a = _ablation(point)
    if a is not None and a.p_holm is not None:
        return p_value(a.p_holm)
    return p_value(getattr(found, "p_holm", None))


def lens_over_training(runs: Trajectories) -> Section:
    """Gain by layer at the checkpoints that have a lens, one panel for each run."""
    figures = []
    for t in runs:
        kept = [p for p in t.points if p.result.lens and any(r.gain is not None for r in p.result.lens[0].layers)][-6:]
        if not kept:
            continue
        series = [
            Series(
                f"step {count(p.step)}",
                [r.layer for r in p.result.lens[0].layers],
                [r.gain for r in p.result.lens[0].layers],
                colour=i + 1,
            )
            for i, p in enumerate(kept)
        ]
        layers = sorted({int(x) for s in series for x in s.x})
        axes = Axes("layer", "gain (nats)", x_ticks=layers[:: max(1, len(layers) // 8)])
        rows = tuple((str(n), *(number(dict(zip(s.x, s.y, strict=True)).get(n)) for s in series)) for n in layers)
        table = Table(t.name, ("Layer", *(s.name for s in series)), rows)
        summary = "The gain read from each layer, at several checkpoints."
        figures.append(Figure(t.name, (line_chart(series, axes, f"{t.name}: gain by layer", summary),), table))
    title = "Where in the model the gain appears"
    if not figures:
        return Section("lens-over-training", title, missing="The lens was not measured.")
    return Section("lens-over-training", title, "", tuple(figures))


def cooccurrence_over_training(runs: Trajectories) -> Section:
    """R² of the per-noun gain on co-occurrence, beside the gain's variance (protocol §7)."""
    figures = (
        _chart("Explained by co-occurrence (adjusted R²)", "adjusted R²", runs, _r2),
        _chart("Variance of the gain over nouns", "nats²", runs, _variance),
    )
    kept = tuple(f for f in figures if f)
    title = "Is it co-occurrence?"
    if not kept:
        return Section("cooccurrence-over-training", title, missing="Co-occurrence was not measured.")
    lead = (
        "R² that falls while the gain rises speaks against co-occurrence alone, unless the gain's variance falls too."
    )
    return Section("cooccurrence-over-training", title, lead, kept)


def _cooccurrence(point: TrajectoryPoint) -> CooccurrenceRecord | None:
    return point.result.cooccurrence


def _r2(point: TrajectoryPoint) -> float | None:
    record = _cooccurrence(point)
    first = next((r for r in record.regressions if r.unit == "noun"), None) if record else None
    return None if first is None else first.r2_adjusted


def _variance(point: TrajectoryPoint) -> float | None:
    record = _cooccurrence(point)
    return None if record is None else record.gain_variance


def checkpoints_table(t: Trajectory) -> Table:
    """One row for each checkpoint of a run: everything at a glance."""
    rows = []
    for p in t.points:
        g, h, a = _gain(p), _heads(p), _ablation(p)
        rows.append(
            (
                count(p.step),
                count(p.tokens),
                number(p.heldout_loss),
                number(None if g is None else g.mean),
                None if g is None else interval(g.ci_low, g.ci_high),
                number(None if h is None else h.mean_count),
                number(None if h is None else h.mean_layer, 1),
                number(None if a is None else a.gain_ablated),
                number(None if a is None else a.gain_control),
            )
        )
    head = (
        "Step",
        "Tokens",
        "Held-out loss",
        "Gain",
        "95 % interval",
        "Heads",
        "Mean layer",
        "Gain, heads cut",
        "Gain, others cut",
    )
    return Table(f"{t.name}: every checkpoint", head, tuple(rows))
