"""Ablation over training: gain, and matched surprisal as in the paper's table."""

from __future__ import annotations

from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.elements import Cell, Figure, Section, Table
from groundbench.report.sections.training_gain import STEP, Trajectories, ablation_of, heads_of, steps_of
from groundbench.results.run import AblationRecord
from groundbench.results.text.numbers import count, number, p_value
from groundbench.results.trajectory import Trajectory, TrajectoryPoint

LINES = (("untouched", 1), ("heads cut", 2), ("others cut", 3))
GAIN = ("gain_original", "gain_ablated", "gain_control", "gain_control_draws")
MATCHED = ("original", "ablated", "control_mean", "control_draws")


def ablation_section(runs: Trajectories) -> Section:
    """Show gain and matched surprisal untouched, with heads cut, with controls cut: a row for each run."""
    title = "Cutting the heads, over training"
    steps = steps_of(runs)
    figures = [
        figure
        for t in runs
        for fields, unit in ((GAIN, "gain (nats)"), (MATCHED, "matched surprisal (nats)"))
        if (figure := _panel(t, fields, unit, steps))
    ]
    tables = tuple(table for t in runs if (table := _paper_table(t)))
    if not figures:
        return Section(
            "ablation-over-training",
            title,
            missing="Not measured (groundbench trajectory … --measure gain,heads,ablation), or there are no heads.",
        )
    lead = (
        "If the detected heads carry the tie, cutting them takes the gain away and makes the word more surprising, "
        "and cutting others does not. Bands span the control draws."
    )
    return Section("ablation-over-training", title, lead, tuple(figures), tables)


def _points_with(t: Trajectory, field: str) -> list[tuple[TrajectoryPoint, AblationRecord]]:
    """Return the checkpoints whose headline ablation has this value."""
    found = ((p, ablation_of(p)) for p in t.points)
    return [(p, a) for p, a in found if a is not None and getattr(a, field) is not None]


def _panel(
    t: Trajectory, fields: tuple[str, str, str, str], unit: str, x_range: tuple[float, float] | None
) -> Figure | None:
    *keys, draws = fields
    kept = _points_with(t, keys[1])
    if not kept:
        return None
    steps = [p.step for p, _ in kept]
    values = {key: [getattr(a, key) for _, a in kept] for key in keys}
    spread = [getattr(a, draws) for _, a in kept]
    low, high = [min(d, default=None) for d in spread], [max(d, default=None) for d in spread]
    series = []
    for key, (label, colour) in zip(keys, LINES, strict=True):
        control = colour == 3
        ends = {"low": low, "high": high} if control else {}
        series.append(Series(label, steps, values[key], **ends, colour=colour, dashed=control))
    last = kept[-1][1]
    before, after, others = (number(getattr(last, key)) for key in keys)
    summary = f"At the end {before} nats, {after} with the heads cut, {others} with others cut."
    what = unit.removesuffix(" (nats)")
    table = Table(
        f"{t.name}: {unit}",
        ("Step", "Untouched", "Heads cut", "Others cut", "Lowest draw", "Highest draw", "p rank", "p Holm"),
        tuple(
            (
                count(p.step),
                *(number(getattr(a, key)) for key in keys),
                number(lo),
                number(hi),
                p_value(a.p_rank),
                p_value(a.p_holm),
            )
            for (p, a), lo, hi in zip(kept, low, high, strict=True)
        ),
    )
    chart = line_chart(series, Axes(STEP, unit, x_range=x_range), f"{t.name}: {what} with heads cut", summary)
    return Figure(f"{t.name}: {what}", (chart,), table)


def _paper_table(t: Trajectory) -> Table | None:
    """Step, heads, mean layer, and matched surprisal ablated, control, original, for both selections."""
    rows = tuple(row for p in t.points for row in _paper_rows(p))
    if not rows:
        return None
    head = ("Step", "Heads of", "Heads", "Mean layer", "Ablated", "Control", "Original", "p", "p Holm")
    return Table(f"{t.name}: matched surprisal (nats), as in the paper's table", head, rows, frozenset({0, 1}))


def _paper_rows(point: TrajectoryPoint) -> list[tuple[Cell, ...]]:
    heads, seen = heads_of(point), set[str]()
    rows: list[tuple[Cell, ...]] = []
    for a in point.result.ablations:
        if a.kind == "gather" or a.selection in seen or a.ablated is None:
            continue
        seen.add(a.selection)
        rows.append(
            (
                count(point.step),
                a.selection if a.selection == "crossfit" else "instance (selection-biased)",
                number(a.n_heads),
                number(None if heads is None else heads.mean_layer, 1),
                number(a.ablated),
                number(a.control_mean),
                number(a.original),
                p_value(a.p_cluster),
                p_value(a.p_holm),
            )
        )
    return rows
