"""Cause over training: from which checkpoint on a few heads carry the gain."""

from __future__ import annotations

from groundbench.report.charts.lines import Axes, Series, line_chart
from groundbench.report.elements import Cell, Figure, Section, Table
from groundbench.report.sections.causal import ends_of
from groundbench.report.sections.training_gain import STEP, Trajectories, steps_of
from groundbench.results.causal import CausalRecord, InterchangeRecord
from groundbench.results.text.numbers import count, number, p_value, percent
from groundbench.results.text.sentences import random_effect
from groundbench.results.trajectory import Trajectory, TrajectoryPoint

TITLE = "How few heads carry it, over training"
SHARE = "share of the gain"


def causes_over_training(runs: Trajectories) -> Section:
    """Show what the first heads by contrast recover at the checkpoints that were measured so (protocol §15)."""
    figures = tuple(f for t in runs if (f := _recovery_figure(t, steps_of(runs))))
    if not figures:
        return Section(
            "causes-over-training",
            TITLE,
            missing="Not measured (groundbench trajectory … --measure gain,heads,causal), or there are no heads.",
        )
    lead = (
        "The share of the gain that comes back when the first heads by contrast, ranked on other nouns and frames, get "
        "their outputs from the prompt that shows the noun; beside it equally many random heads. Checkpoints whose "
        "gain cannot be told from 0 have nothing to share. Bands: 95 % intervals, bootstrap over nouns."
    )
    return Section("causes-over-training", TITLE, lead, figures)


def _headlines(t: Trajectory) -> list[tuple[TrajectoryPoint, CausalRecord, InterchangeRecord]]:
    """Return the checkpoints at which a few heads were interchanged, in the testbed's headline form."""
    found = []
    for point in t.points:
        record = next(iter(point.result.causal), None)
        if record is not None and record.headline is not None:
            found.append((point, record, record.headline))
    return found


def _recovery_figure(t: Trajectory, x_range: tuple[float, float] | None) -> Figure | None:
    found = _headlines(t)
    if not found:
        return None
    steps = [p.step for p, _, _ in found]
    shares = [h.recovered for _, _, h in found]
    series = (
        Series(
            "first heads by contrast",
            steps,
            [s.value for s in shares],
            low=[s.ci_low for s in shares],
            high=[s.ci_high for s in shares],
            colour=1,
        ),
        Series("random heads", steps, [h.random_mean for _, _, h in found], colour=3, dashed=True),
    )
    _, record, last = found[-1]
    beside = random_effect(last)
    summary = f"At the end {last.k} of {record.n_heads} heads recover {percent(last.recovered.value)} of the gain" + (
        f"; as many random heads {beside}." if beside else "."
    )
    head = ("Step", "Gain of the pairs", "Heads", "Recovered", "95 % interval (%)", "Random", "p rank", "For half")
    chart = line_chart(series, Axes(STEP, SHARE, x_range=x_range), f"{t.name}: {SHARE} that few heads carry", summary)
    rows = tuple(_row(p, r, h) for p, r, h in found)
    return Figure(f"{t.name}: what few heads carry", (chart,), Table(f"{t.name}: what few heads carry", head, rows))


def _row(point: TrajectoryPoint, record: CausalRecord, headline: InterchangeRecord) -> tuple[Cell, ...]:
    curve = record.headline_curve
    return (
        count(point.step),
        number(record.pairs.gain.value),
        count(headline.k),
        percent(headline.recovered.value),
        ends_of(headline.recovered),
        percent(headline.random_mean),
        p_value(headline.p_rank),
        None if curve is None else number(curve.heads_for_half.value, 1),
    )
