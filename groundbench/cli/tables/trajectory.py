"""Training runs as tables in the terminal: every checkpoint, the heads cut, the lens by layer, co-occurrence."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench.cli import console
from groundbench.cli.console import interval, p_value
from groundbench.cli.tables.result import or_dash, show_used
from groundbench.results.run import AblationRecord, GainRecord, HeadsRecord, Regression
from groundbench.results.text.sentences import headline
from groundbench.results.trajectory import MeanPoint, MeanTrajectory, SeedMean, Trajectory, TrajectoryPoint

LEGEND = """\
loss, held-out: nats per token; gain, matched, mismatched: nats (95 %, clustered); heads: aggregate ones per item
cut, control: with the detected heads cut, and with as many others of the same layers cut
R²: adjusted, of the gain on co-occurrence within a chunk or within 5 utterances (95 % over nouns)"""


def show_trajectories(trajectories: Sequence[Trajectory], *, explain: bool = True) -> None:
    """Print every checkpoint of each run, a row each; then the measures of some checkpoints only.

    Args:
        explain: print what the columns mean.
    """
    for trajectory in trajectories:
        last = trajectory.points[-1]
        name = f"{trajectory.name}, step {last.step:,}: " if trajectory.name else f"Step {last.step:,}: "
        console.say(console.bold(name), headline(last.result))
    for trajectory in trajectories:
        _show_checkpoints(trajectory)
        _show_cuts(trajectory)
        _show_lens(trajectory)
        _show_cooccurrence(trajectory)
    if explain:
        console.out().print(LEGEND)


def show_seeds(mean: MeanTrajectory, *, explain: bool = True) -> None:
    """Return several seeds of one run: means over seeds with t-intervals, a row for each step."""
    last = mean.points[-1] if mean.points else None
    if last is not None and last.gain is not None:
        ends = interval(last.gain.ci_low, last.gain.ci_high, 2)
        mean_gain = or_dash(last.gain.mean)
        console.say(
            console.bold(f"{mean.name}, step {last.step:,}: "),
            f"a grounding gain of {mean_gain} nats, mean over {len(mean.seeds)} seeds"
            + (f" (95 % over seeds {ends})." if ends else " (no interval)."),
        )
    columns = ("step", "held-out", "gain", "95 % over seeds", "matched", "mismatched", "heads", "cut", "control", "R²")
    rows = [_seeds_row(point) for point in mean.points]
    seeds = ", ".join(map(str, mean.seeds))
    show_used(columns, rows, title=f"{mean.name}: mean over the seeds {seeds}", right=columns, secondary=SECONDARY)
    if explain:
        console.out().print(LEGEND)


SECONDARY = ("loss", "layer", "mismatched", "matched", "R²", "control", "held-out", "original", "gain original")


def _seeds_row(point: MeanPoint) -> tuple[str, ...]:
    def of(spread: SeedMean | None) -> str:
        return or_dash(None if spread is None else spread.mean)

    cut = next((a for a in point.ablations if a.selection == "crossfit"), None)
    r2 = next((r.r2_adjusted for r in point.regressions if r.unit == "noun"), None)
    ends = "" if point.gain is None else interval(point.gain.ci_low, point.gain.ci_high, 2)
    gains = (None, None) if cut is None else (cut.gain_ablated, cut.gain_control)
    middle = (point.matched, point.mismatched, point.heads, *gains, r2)
    return (str(point.step), of(point.heldout_loss), of(point.gain), ends, *map(of, middle))


def _show_checkpoints(trajectory: Trajectory) -> None:
    """Print losses, gain, heads and the headline ablation."""
    numbers = ("step", "loss", "held-out", "gain", "matched", "mismatched", "heads", "cut", "control", "layer")
    columns = (*numbers[:4], "95 %", *numbers[4:])
    rows = [_checkpoint(point) for point in trajectory.points]
    title = f"{trajectory.name}: {trajectory.description}".rstrip(": ")
    show_used(columns, rows, title=title, right=numbers, secondary=SECONDARY)


def _checkpoint(point: TrajectoryPoint) -> tuple[str, ...]:
    gain, heads = point.result.gain or GainRecord(mean=None), _heads(point)
    cuts = point.result.ablations
    return (
        str(point.step),
        or_dash(point.train_loss),
        or_dash(point.heldout_loss),
        or_dash(gain.mean),
        interval(gain.ci_low, gain.ci_high, 2),
        or_dash(gain.matched),
        or_dash(gain.mismatched),
        or_dash(heads.mean_count if heads else None),
        or_dash(cuts[0].gain_ablated if cuts else None),
        or_dash(cuts[0].gain_control if cuts else None),
        or_dash(heads.mean_layer if heads else None),
    )


def _heads(point: TrajectoryPoint) -> HeadsRecord | None:
    return point.result.heads[0] if point.result.heads else None


def _show_cuts(trajectory: Trajectory) -> None:
    """Return matched surprisal and gain untouched and with heads cut, one row for each selection's first record."""
    rows = [
        (str(point.step), *_ablation_cells(cut))
        for point in trajectory.points
        for cut in _first_of_each_selection(point.result.ablations)
    ]
    if not rows:
        return
    surprisal = ("original", "ablated", "control")
    numbers = ("step", "cut heads", *surprisal, *(f"gain {n}" for n in surprisal), "p rank", "p Holm")
    columns = ("step", "heads of", *numbers[1:])
    title = f"{trajectory.name}: matched surprisal and gain (nats) with heads cut"
    show_used(columns, rows, title=title, right=numbers, secondary=SECONDARY)


def _first_of_each_selection(cuts: Sequence[AblationRecord]) -> list[AblationRecord]:
    return [
        a for i, a in enumerate(cuts) if a.kind == "aggregate" and a.selection not in {b.selection for b in cuts[:i]}
    ]


def _ablation_cells(cut: AblationRecord) -> tuple[str, ...]:
    values = (cut.n_heads, cut.original, cut.ablated, cut.control_mean)
    gains = (cut.gain_original, cut.gain_ablated, cut.gain_control)
    tests = (cut.p_rank, cut.p_holm)
    return (cut.selection, *map(or_dash, (*values, *gains)), *("-" if p is None else p_value(p) for p in tests))


def _show_lens(trajectory: Trajectory) -> None:
    """Return the gain by layer, a column for each checkpoint that has a lens."""
    read = [p for p in trajectory.points if p.result.lens]
    if not read:
        return
    gains = [{row.layer: row.gain for row in p.result.lens[0].layers} for p in read]
    columns = ("layer", *(f"step {p.step}" for p in read))
    rows = [(str(n), *(or_dash(g.get(n)) for g in gains)) for n in sorted({n for g in gains for n in g})]
    title = f"{trajectory.name}: gain (nats) by layer, {read[-1].result.lens[0].kind} lens"
    show_used(columns, rows, title=title, right=columns)


def _show_cooccurrence(trajectory: Trajectory) -> None:
    """Return adjusted R² over nouns for each window and statistic, beside the gain's variance (protocol §7)."""
    found = [(p.step, c) for p in trajectory.points if (c := p.result.cooccurrence) is not None]
    cells = [{_cell(r): _r2(r) for r in record.regressions if r.unit == "noun"} for _, record in found]
    names = tuple(dict.fromkeys(name for cell in cells for name in cell))
    if not names:
        return
    rows = [
        (str(step), *(cell.get(name, "-") for name in names), or_dash(record.gain_variance))
        for (step, record), cell in zip(found, cells, strict=True)
    ]
    columns = ("step", *names, "variance")
    title = f"{trajectory.name}: adjusted R² of the gain on co-occurrence"
    show_used(columns, rows, title=title, right=columns)


def _cell(regression: Regression) -> str:
    return f"{regression.statistic}, {regression.window}"


def _r2(regression: Regression) -> str:
    ends = interval(regression.ci_low, regression.ci_high, 2)
    return f"{or_dash(regression.r2_adjusted)} {ends}".rstrip()
