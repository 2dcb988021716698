"""The sections of a page on training runs: what is measured at each checkpoint, run beside run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from groundbench.report.charts.lines import Axes, Series, Values, line_chart
from groundbench.report.elements import Cell, Figure, Section, Table
from groundbench.results.run import AblationRecord, GainRecord, HeadsRecord, Regression
from groundbench.results.text.numbers import count, interval, number
from groundbench.results.trajectory import Trajectory, TrajectoryPoint

Trajectories = Sequence[Trajectory]
Read = Callable[[TrajectoryPoint], float | None]
STEP = "training step"
R2_PANELS = (("chunk", "log-count"), ("chunk", "pmi"), ("utterances", "log-count"), ("utterances", "pmi"))
"""Window and statistic of every regression on co-occurrence; the first is the one that a table at a glance shows."""
TWO, THREE = 420, 340


def steps_of(runs: Trajectories) -> tuple[float, float] | None:
    """Return the first and the last step of all runs: every chart over training has this x axis."""
    steps = [p.step for t in runs for p in t.points]
    return (float(min(steps)), float(max(steps))) if steps and min(steps) < max(steps) else None


def columns(runs: Trajectories) -> int:
    """Return three panels beside each other where there is one for each of three runs."""
    return 3 if len(runs) % 3 == 0 else 2


def width(runs: Trajectories) -> int:
    """Return the width of one panel, in pixels."""
    return THREE if columns(runs) == 3 else TWO


def gain_of(point: TrajectoryPoint) -> GainRecord | None:
    """Return the gain of a checkpoint."""
    return point.result.gain


def heads_of(point: TrajectoryPoint) -> HeadsRecord | None:
    """Return the headline's heads."""
    return point.result.heads[0] if point.result.heads else None


def ablation_of(point: TrajectoryPoint) -> AblationRecord | None:
    """Return the headline's ablation."""
    return point.result.ablations[0] if point.result.ablations else None


def regression_of(point: TrajectoryPoint, window: str, statistic: str, unit: str) -> Regression | None:
    """Return one regression of the gain on co-occurrence (protocol §7); None where it was not made."""
    found = point.result.cooccurrence
    cell = window, statistic, unit
    return next((r for r in found.regressions if (r.window, r.statistic, r.unit) == cell), None) if found else None


def r2(point: TrajectoryPoint, window: str, statistic: str) -> float | None:
    """Return adjusted R² over nouns."""
    found = regression_of(point, window, statistic, "noun")
    return None if found is None else found.r2_adjusted


def reader(of: Callable[[TrajectoryPoint], object | None], name: str) -> Read:
    """Return a reader of one number of one record, None where the record is missing."""

    def read(point: TrajectoryPoint) -> float | None:
        record = of(point)
        value = None if record is None else getattr(record, name)
        return None if value is None else float(value)

    return read


def series_of(t: Trajectory, colour: int, y: Read, low: Read | None = None, high: Read | None = None) -> Series | None:
    """Return one run's line over its checkpoints that have a value; None where there is none."""
    kept = [p for p in t.points if y(p) is not None]
    if not kept:
        return None
    ends: list[Values] = [[r(p) for p in kept] if r else () for r in (low, high)]
    return Series(t.name, [p.step for p in kept], [y(p) for p in kept], ends[0], ends[1], colour)


def chart(
    title: str,
    unit: str,
    runs: Trajectories,
    y: Read,
    decimals: int = 2,
    low: Read | None = None,
    high: Read | None = None,
    y_range: tuple[float, float] | None = None,
    table: Table | None = None,
) -> Figure | None:
    """Draw one line for each training run, half a page wide; the table behind it holds y alone by default."""
    found = [s for i, t in enumerate(runs) if (s := series_of(t, i + 1, y, low, high))]
    if not found:
        return None
    summary = "; ".join(f"{s.name}: {number(s.y[0], decimals)} to {number(s.y[-1], decimals)}" for s in found) + "."
    lines = line_chart(
        found, Axes(STEP, unit, decimals=decimals, y_range=y_range, x_range=steps_of(runs)), title, summary
    )
    return Figure(title, (lines,), table or _table(title, runs, y, decimals))


def _table(title: str, runs: Trajectories, y: Read, decimals: int) -> Table:
    steps = sorted({p.step for t in runs for p in t.points})
    by = [{p.step: number(y(p), decimals) for p in t.points} for t in runs]
    rows = tuple((count(s), *(b.get(s) for b in by)) for s in steps)
    return Table(title, ("Step", *(t.name for t in runs)), rows)


def hero(runs: Trajectories) -> Figure | None:
    """Return the gain of every run over its checkpoints, with 95 % bands: the page's first figure."""
    read, ends = reader(gain_of, "mean"), {"low": reader(gain_of, "ci_low"), "high": reader(gain_of, "ci_high")}
    found = [s for i, t in enumerate(runs) if (s := series_of(t, i + 1, read, **ends))]
    if not found:
        return None
    title = "Grounding gain over training"
    summary = "; ".join(f"{s.name} goes from {number(s.y[0])} to {number(s.y[-1])} nats" for s in found) + "."
    wide = line_chart(found, Axes(STEP, "gain (nats)", 860, 360, x_range=steps_of(runs)), title, summary)
    narrow = line_chart(found, Axes(STEP, "gain (nats)", 380, 300, x_range=steps_of(runs)), title, summary)
    table = Table(
        title,
        ("Step", *(t.name for t in runs)),
        tuple((count(s), *(_cell(t, s) for t in runs)) for s in sorted({p.step for t in runs for p in t.points})),
    )
    caption = "Bands are 95 % intervals, clustered by noun and frame. At 0 the word does not depend on what was shown."
    return Figure(title, (wide,), table, caption, narrow=(narrow,), wide=True)


def _cell(t: Trajectory, step: int) -> Cell:
    gain = next((p.result.gain for p in t.points if p.step == step), None)
    if gain is None or gain.mean is None:
        return None
    ends = interval(gain.ci_low, gain.ci_high)
    return f"{number(gain.mean)}{f' ({ends})' if ends else ''}"


def surprisal_section(runs: Trajectories) -> Section:
    """Return matched and mismatched surprisal, one panel for each run on one scale."""
    figures = []
    ends = [
        getattr(p.result.gain, n) for t in runs for p in t.points if p.result.gain for n in ("matched", "mismatched")
    ]
    known = [v for v in ends if v is not None]
    if not known:
        return Section(
            "surprisal", "Matched and mismatched", missing="Not measured: groundbench trajectory … --measure gain."
        )
    for t in runs:
        pair = [
            Series(label, [p.step for p in t.points], [reader(gain_of, label)(p) for p in t.points], colour=colour)
            for label, colour in (("matched", 1), ("mismatched", 2))
        ]
        span = (0.0, max(known) * 1.04)
        axes = Axes(STEP, "surprisal (nats)", width(runs), y_range=span, x_range=steps_of(runs), height=230)
        last = t.last.gain
        summary = "" if last is None else f"At the end {number(last.matched)} matched, {number(last.mismatched)} not."
        table = Table(
            t.name,
            ("Step", "Matched", "Mismatched"),
            tuple(
                (count(p.step), *(number(reader(gain_of, n)(p)) for n in ("matched", "mismatched"))) for p in t.points
            ),
        )
        figures.append(Figure(t.name, (line_chart(pair, axes, f"{t.name}: surprisal over training", summary),), table))
    lead = "Where the lines part, the word has come to depend on the noun shown; where both fall, only on the text."
    return Section("surprisal", "Matched and mismatched", lead, tuple(figures), columns=columns(runs))


def training_section(runs: Trajectories) -> Section:
    """Show losses beside the checkpoints: “did not train” and “does not ground” are different verdicts."""
    figures = (
        chart("Held-out loss", "nats per token", runs, lambda p: p.heldout_loss),
        chart("Training loss", "nats per token", runs, lambda p: p.train_loss),
    )
    kept = tuple(f for f in figures if f)
    title = "Did it train?" if len(runs) == 1 else "Did they train?"
    if not kept:
        return Section(
            "training",
            title,
            missing="Losses were not recorded: groundbench train writes log.jsonl beside its checkpoints.",
        )
    lead = "A model that did not learn its corpus cannot be said not to ground: losses stand beside the gain."
    return Section("training", title, lead, kept)


def heads_section(runs: Trajectories) -> Section:
    """Show head count and mean layer over training."""
    low, high = reader(heads_of, "ci_low"), reader(heads_of, "ci_high")
    layer_ends = reader(heads_of, "mean_layer_ci_low"), reader(heads_of, "mean_layer_ci_high")
    figures = (
        chart("Aggregate heads", "heads (mean over items)", runs, reader(heads_of, "mean_count"), low=low, high=high),
        chart("Their mean layer", "layer", runs, reader(heads_of, "mean_layer"), 1, *layer_ends),
    )
    kept = tuple(f for f in figures if f)
    title = "Heads over training"
    if not kept:
        return Section(
            "heads-over-training",
            title,
            missing="Heads were not measured (groundbench trajectory … --measure gain,heads), or the models have none.",
        )
    headless = [t.name for t in runs if not t.last.model.mixers]
    notes = (f"{', '.join(headless)}: no heads, so nothing is drawn.",) if headless else ()
    return Section("heads-over-training", title, "", kept, notes=notes)


def checkpoints_table(t: Trajectory) -> Table:
    """Return one row for each checkpoint of a run: everything at a glance."""
    rows = []
    for p in t.points:
        g, h, a = gain_of(p) or GainRecord(mean=None), heads_of(p), ablation_of(p)
        rows.append(
            (
                count(p.step),
                count(p.tokens),
                number(p.heldout_loss),
                number(g.mean),
                interval(g.ci_low, g.ci_high),
                number(g.matched),
                number(g.mismatched),
                number(None if h is None else h.mean_count),
                number(None if h is None else h.mean_layer, 1),
                number(None if a is None else a.gain_ablated),
                number(None if a is None else a.gain_control),
                number(None if a is None else a.ablated),
                number(None if a is None else a.control_mean),
                number(r2(p, *R2_PANELS[0])),
            )
        )
    head = (
        "Step",
        "Tokens",
        "Held-out loss",
        "Gain",
        "95 % interval",
        "Matched",
        "Mismatched",
        "Heads",
        "Mean layer",
        "Gain, heads cut",
        "Gain, others cut",
        "Matched, heads cut",
        "Matched, others cut",
        "R²",
    )
    return Table(f"{t.name}: every checkpoint", head, tuple(rows))
