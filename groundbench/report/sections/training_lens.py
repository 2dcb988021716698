"""The layers from which the word is read, and the part that co-occurrence explains, over training."""

from __future__ import annotations

from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.charts.scale import domain
from groundbench.report.elements import Cell, Figure, Section, Table
from groundbench.report.sections.training_gain import (
    R2_PANELS,
    Read,
    Trajectories,
    chart,
    r2,
    regression_of,
)
from groundbench.results.run import Regression
from groundbench.results.text.numbers import count, number, with_interval
from groundbench.results.trajectory import Trajectory, TrajectoryPoint

MOST_CURVES = 6
WINDOWS = {"chunk": "within a chunk", "utterances": "within 5 utterances"}
STATISTICS = {"log-count": "log count", "pmi": "PMI"}


def lens_over_training(runs: Trajectories) -> Section:
    """Show gain and matched surprisal by layer at the checkpoints with a lens, a row for each run (protocol §9)."""
    panels = (("gain", "gain (nats)"), ("matched", "matched surprisal (nats)"))
    figures = tuple(f for t in runs for field, unit in panels if (f := _by_layer(t, field, unit)))
    title = "Where in the model the gain appears"
    if not figures:
        return Section(
            "lens-over-training",
            title,
            missing="The lens was not measured: groundbench trajectory … --measure gain,lens.",
        )
    lead = "Matched surprisal falls for many reasons; only the gain, its distance from mismatched, isolates grounding."
    return Section("lens-over-training", title, lead, figures)


def _by_layer(t: Trajectory, field: str, unit: str) -> Figure | None:
    kept = [p for p in t.points if p.result.lens and _has_values(p, field)][-MOST_CURVES:]
    if not kept:
        return None
    series = [
        Series(
            f"step {count(p.step)}",
            [r.layer for r in p.result.lens[0].layers],
            [getattr(r, field) for r in p.result.lens[0].layers],
            colour=i + 1,
        )
        for i, p in enumerate(kept)
    ]
    layers = sorted({int(x) for s in series for x in s.x})
    axes = Axes("layer", unit, x_ticks=layers[:: max(1, len(layers) // 8)], zero=field == "gain")
    what = unit.removesuffix(" (nats)")
    name = f"{t.name}: {what} by layer"
    rows = tuple((str(n), *(number(dict(zip(s.x, s.y, strict=True)).get(n)) for s in series)) for n in layers)
    table = Table(f"{name} (nats)", ("Layer", *(s.name for s in series)), rows)
    kind = kept[-1].result.lens[0].kind
    summary = f"The {what} that a {kind} lens reads from each layer, at several checkpoints."
    return Figure(name, (line_chart(series, axes, name, summary),), table)


def _has_values(point: TrajectoryPoint, field: str) -> bool:
    return any(getattr(row, field) is not None for row in point.result.lens[0].layers)


def cooccurrence_over_training(runs: Trajectories) -> Section:
    """Show R² of the per-noun gain on co-occurrence in both windows and statistics, beside var(G) (§7)."""
    ends = [getattr(r, n) for t in runs for p in t.points for r in _over_nouns(p) for n in ("ci_low", "ci_high")]
    means = [r.r2_adjusted for t in runs for p in t.points for r in _over_nouns(p)]
    y_range = domain((*ends, *means), (0.0,))
    panels = [_r2_chart(runs, window, statistic, y_range) for window, statistic in R2_PANELS]
    panels.append(chart("Variance of the gain over nouns", "nats²", runs, _variance))
    figures = tuple(f for f in panels if f)
    title = "Is it co-occurrence?"
    if not figures:
        return Section(
            "cooccurrence-over-training",
            title,
            missing="Co-occurrence was not measured: groundbench trajectory … --corpus DIR, of an imported corpus.",
        )
    lead = (
        "R² that falls while the gain rises speaks against co-occurrence alone, unless the gain's variance falls too. "
        "Bands are 95 % intervals, bootstrapped over nouns."
    )
    return Section("cooccurrence-over-training", title, lead, figures)


def _over_nouns(point: TrajectoryPoint) -> list[Regression]:
    found = (regression_of(point, window, statistic, "noun") for window, statistic in R2_PANELS)
    return [r for r in found if r is not None]


def _r2_chart(runs: Trajectories, window: str, statistic: str, y_range: tuple[float, float]) -> Figure | None:
    """Draw one line for each run; the table behind it has the intervals and the regression over pairs too."""
    title = f"Adjusted R²: {STATISTICS[statistic]}, {WINDOWS[window]}"

    def end(name: str) -> Read:
        def read(point: TrajectoryPoint) -> float | None:
            found = regression_of(point, window, statistic, "noun")
            return None if found is None else getattr(found, name)

        return read

    def cell(t: Trajectory, step: int, unit: str) -> Cell:
        point = next((p for p in t.points if p.step == step), None)
        found = None if point is None else regression_of(point, window, statistic, unit)
        return None if found is None else with_interval(found.r2_adjusted, found.ci_low, found.ci_high)

    steps = sorted({p.step for t in runs for p in t.points})
    table = Table(
        f"{title} (95 % interval)",
        ("Step", *(f"{t.name}, {over}" for t in runs for over in ("nouns", "pairs"))),
        tuple((count(s), *(cell(t, s, unit) for t in runs for unit in ("noun", "pair"))) for s in steps),
    )
    low, high = end("ci_low"), end("ci_high")
    return chart(title, "adjusted R²", runs, lambda p: r2(p, window, statistic), 2, low, high, y_range, table)


def _variance(point: TrajectoryPoint) -> float | None:
    record = point.result.cooccurrence
    return None if record is None else record.gain_variance
