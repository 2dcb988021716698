"""The sections of a page on several seeds of one or more models: means over seeds with their t-intervals as bands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.elements import Cell, Figure, Section, Table
from groundbench.results.text.numbers import count, number, with_interval
from groundbench.results.trajectory import AblationSeedMean, MeanPoint, MeanTrajectory, RegressionSeedMean, SeedMean

MeanTrajectories = Sequence[MeanTrajectory]
Read = Callable[[MeanPoint], SeedMean | None]
Steps = tuple[float, float] | None
STEP = "training step"
BANDS = "Lines are means over seeds, bands 95 % t-intervals over seeds."
CUTS = {
    "crossfit": ("cross-fitted", "Cut are heads found in other items"),
    "instance": ("each item's own", "Cut are the heads found in the item itself, as published (selection-biased)"),
}
"""Names of the choice of heads in an ablation's title and caption."""
UNTOUCHED, CUT_GAIN = ("original", "ablated", "control_mean"), ("gain_original", "gain_ablated", "gain_control")
COLOURS = 6
"""Lines beyond these begin again with the first, dashed."""
WINDOW, STATISTIC = "chunk", "log-count"
"""The regression that stands for all four where one is shown."""


def steps_of(runs: MeanTrajectories) -> Steps:
    """Return the first and the last step of all runs: every chart over training has this x axis."""
    found = [p.step for run in runs for p in run.points]
    return (float(min(found)), float(max(found))) if found and min(found) < max(found) else None


def reader(name: str) -> Read:
    """Return a reader of one number of a point."""

    def read(point: MeanPoint) -> SeedMean | None:
        found: SeedMean | None = getattr(point, name)
        return found

    return read


def regression(point: MeanPoint, window: str = WINDOW, statistic: str = STATISTIC) -> RegressionSeedMean | None:
    """Return one regression over nouns; None where it was not made."""
    cell = window, statistic, "noun"
    return next((r for r in point.regressions if (r.window, r.statistic, r.unit) == cell), None)


def r2(point: MeanPoint) -> SeedMean | None:
    """Return adjusted R² of the gain on the log count within a chunk."""
    found = regression(point)
    return None if found is None else found.r2_adjusted


def cut_of(point: MeanPoint, selection: str = "crossfit", kind: str = "aggregate") -> AblationSeedMean | None:
    """Return the first ablation of that selection and kind: layer-matched, detected by rows (aggregate heads)."""
    return next((a for a in point.ablations if (a.selection, a.kind) == (selection, kind)), None)


def seeds_cut(found: AblationSeedMean) -> str:
    """Count the seeds in which heads were cut: `3`, or `1 of 3` where not in all."""
    n = sum(found.cut)
    return str(n) if n == len(found.cut) else f"{n} of {len(found.cut)}"


def line(name: str, run: MeanTrajectory, read: Read, colour: int, dashed: bool = False) -> Series | None:
    """Return the mean over seeds at each step, with its interval; None where no step has one."""
    kept = [(p.step, s) for p in run.points if (s := read(p)) is not None]
    if not kept:
        return None
    lows, highs = [s.ci_low for _, s in kept], [s.ci_high for _, s in kept]
    return Series(name, [x for x, _ in kept], [s.mean for _, s in kept], lows, highs, colour, dashed)


def chart(
    title: str,
    unit: str,
    lines: Sequence[Series | None],
    table: Table,
    *,
    width: int = 420,
    zero: bool = True,
    note: str = "",
    steps: Steps = None,
) -> Figure | None:
    """Return a chart of the lines that there are; None where there is none.

    `note` stands first in its caption; `steps` is the range of x.
    """
    found = [s for s in lines if s is not None]
    if not found:
        return None
    ends = "; ".join(f"{s.name}: {number(s.y[0])} to {number(s.y[-1])}" for s in found) + "."
    plot = line_chart(found, Axes(STEP, unit, width, zero=zero, x_range=steps), title, ends)
    return Figure(title, (plot,), table, f"{note} {BANDS}".strip())


def by_run(title: str, unit: str, runs: MeanTrajectories, read: Read, *, width: int = 420) -> Figure | None:
    """Return one line for each model."""
    lines = [line(run.name, run, read, i % COLOURS + 1, dashed=i >= COLOURS) for i, run in enumerate(runs)]
    steps = sorted({p.step for run in runs for p in run.points})
    by = [{p.step: cell(read(p)) for p in run.points} for run in runs]
    rows = tuple((count(s), *(b.get(s) for b in by)) for s in steps)
    return chart(
        title, unit, lines, Table(title, ("Step", *(r.name for r in runs)), rows), width=width, steps=steps_of(runs)
    )


def by_number(
    title: str,
    unit: str,
    run: MeanTrajectory,
    reads: Sequence[tuple[str, Read]],
    *,
    zero: bool = True,
    note: str = "",
    steps: Steps = None,
) -> Figure | None:
    """Return one line for each of several numbers of one model."""
    lines = [line(name, run, read, i + 1, dashed=i == 2) for i, (name, read) in enumerate(reads)]
    rows = tuple(
        (count(p.step), *(cell(read(p)) for _, read in reads))
        for p in run.points
        if any(read(p) is not None for _, read in reads)
    )
    return chart(
        title, unit, lines, Table(title, ("Step", *(n for n, _ in reads)), rows), zero=zero, note=note, steps=steps
    )


def cell(spread: SeedMean | None) -> Cell:
    """Write `mean [low, high]`; without an interval where all seeds have the very same value, as of one reference."""
    if spread is None:
        return None
    same = len({v for v in spread.values if v is not None}) == 1
    return number(spread.mean) if same else with_interval(spread.mean, spread.ci_low, spread.ci_high)


def surprisal_figure(run: MeanTrajectory, steps: Steps = None) -> Figure | None:
    """Return matched and mismatched surprisal."""
    reads = [("matched", reader("matched")), ("mismatched", reader("mismatched"))]
    return by_number(f"{run.name}: surprisal", "surprisal (nats)", run, reads, zero=False, steps=steps)


def ablation_figure(
    run: MeanTrajectory, of_gain: bool, selection: str = "crossfit", steps: Steps = None
) -> Figure | None:
    """Draw gain or matched surprisal untouched, with the heads cut, with others cut, of the seeds with heads."""

    def of(name: str) -> Read:
        def read(point: MeanPoint) -> SeedMean | None:
            found = cut_of(point, selection)
            return None if found is None or found.ablated is None else getattr(found, name)

        return read

    unit, names = ("gain", CUT_GAIN) if of_gain else ("matched surprisal", UNTOUCHED)
    which, caption = CUTS[selection]
    reads = list(zip(("untouched", "heads cut", "others cut"), map(of, names), strict=True))
    cuts = [(p.step, a) for p in run.points if (a := cut_of(p, selection)) is not None and a.ablated is not None]
    fewer = ", ".join(f"{seeds_cut(a)} at step {count(step)}" for step, a in cuts if not all(a.cut))
    note = f"{caption}. " + (f"There were heads to cut in fewer than all seeds: {fewer}." if fewer else "")
    title = f"{run.name}: {unit} with heads cut, {which}"
    return by_number(title, f"{unit} (nats)", run, reads, zero=of_gain, note=note.strip(), steps=steps)


def lens_figure(run: MeanTrajectory, field: str = "gain") -> Figure | None:
    """Return a lens' reading by layer, a line for each step that has one."""
    kept = [p for p in run.points if p.lens][-6:]
    series = []
    for i, p in enumerate(kept):
        rows = [(r.layer, s) for r in p.lens if (s := getattr(r, field)) is not None]
        if rows:
            series.append(
                Series(
                    f"step {count(p.step)}",
                    [n for n, _ in rows],
                    [s.mean for _, s in rows],
                    [s.ci_low for _, s in rows],
                    [s.ci_high for _, s in rows],
                    i + 1,
                )
            )
    if not series:
        return None
    layers = sorted({int(x) for s in series for x in s.x})
    title = f"{run.name}: {field} by layer"
    axes = Axes("layer", f"{field} (nats)", x_ticks=layers[:: max(1, len(layers) // 8)], zero=field == "gain")
    by = [{r.layer: cell(getattr(r, field)) for r in p.lens} for p in kept]
    numbers = tuple((str(n), *(b.get(n) for b in by)) for n in layers)
    table = Table(title, ("Layer", *(f"step {count(p.step)}" for p in kept)), numbers)
    return Figure(title, (line_chart(series, axes, title, f"The {field} a lens reads at each layer."),), table, BANDS)


def seed_sections(runs: MeanTrajectories) -> list[Section]:
    """Return everything measured over seeds, model beside model."""
    steps = steps_of(runs)
    heads = [
        by_run("Aggregate heads", "heads (mean over items)", runs, reader("heads")),
        by_run("Their mean layer", "layer", runs, reader("mean_layer")),
    ]
    cuts = [ablation_figure(run, of_gain, s, steps) for run in runs for s in CUTS for of_gain in (True, False)]
    lens = [f for run in runs for f in (lens_figure(run), lens_figure(run, "matched"))]
    cooccurrence = [
        by_run("Adjusted R² of the gain on co-occurrence", "adjusted R²", runs, r2),
        by_run("Variance of the gain over nouns", "nats²", runs, reader("gain_variance")),
    ]
    losses = [by_run("Held-out loss", "nats per token", runs, reader("heldout_loss"))]
    return [
        _section("training", "Did they train?", losses, "groundbench train writes it beside each checkpoint"),
        _section(
            "surprisal", "Matched and mismatched", [surprisal_figure(run, steps) for run in runs], _command_with("gain")
        ),
        _section("heads-over-training", "Heads over training", heads, _command_with("gain,heads")),
        _section("ablation-over-training", "Cutting the heads", cuts, _command_with("gain,heads,ablation")),
        _section("lens-over-training", "Where in the model the gain appears", lens, _command_with("gain,lens")),
        _section(
            "cooccurrence-over-training", "Is it co-occurrence?", cooccurrence, "groundbench trajectory … --corpus DIR"
        ),
    ]


def _command_with(measures: str) -> str:
    return f"groundbench trajectory … --measure {measures}"


def _section(mark: str, title: str, figures: Sequence[Figure | None], command: str) -> Section:
    """Return a section; one without a figure names the command that fills it."""
    kept = tuple(f for f in figures if f is not None)
    missing = "" if kept else f"Not measured ({command}), or the models have none."
    return Section(mark, title, figures=kept, missing=missing)


def hero(runs: MeanTrajectories) -> Figure | None:
    """Return the gain of every model over training: the page's first figure."""
    return by_run("Grounding gain over training", "gain (nats)", runs, reader("gain"), width=860)


def summary_table(runs: MeanTrajectories) -> Table:
    """Return one row for each model: seeds, parameters, and where it ended."""
    head = ("Model", "Seeds", "Parameters", "Step", "Held-out loss", "Gain", "Matched", "Mismatched", "Heads")
    reads = [reader(n) for n in ("heldout_loss", "gain", "matched", "mismatched", "heads")]
    rows = tuple(
        (
            run.name,
            str(len(run.seeds)),
            count(run.parameters),
            count(run.last.step),
            *(cell(read(run.last)) for read in reads),
        )
        for run in runs
    )
    return Table("Each model at its last step: mean over seeds [95 % t-interval]", head, rows)
