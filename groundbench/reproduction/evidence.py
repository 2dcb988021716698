"""Numbers that a verdict rests on: over seeds with t-intervals, or of one seed with its interval over nouns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from groundbench.report.numbers import number, with_interval
from groundbench.reproduction.measure import Measured
from groundbench.result import AblationRecord, HeadsRecord
from groundbench.result_trajectory import TrajectoryPoint
from groundbench.stats import Estimate, t_interval

Read = Callable[[TrajectoryPoint], float | None]
MIN_SEEDS = 3
"""Fewer give no t-interval worth the name: with two it is 12.7 standard errors wide."""


def at(measured: Measured, step: int, read: Read) -> list[float | None]:
    """The number of every seed at one step."""
    return [read(p) for t in measured.trajectories for p in t.points if p.step == step]


def steps_with(measured: Measured, read: Read) -> list[int]:
    """The steps at which every seed has the number."""
    steps = [p.step for p in measured.mean.points]
    return [s for s in steps if (found := at(measured, s, read)) and all(v is not None for v in found)]


def over_seeds(values: Sequence[float | None]) -> Estimate:
    """Mean and t-interval of what is known; no interval below three seeds."""
    known = [v for v in values if v is not None]
    found = t_interval(known)
    return found if len(known) >= MIN_SEEDS else Estimate(found.value, None, None, found.n)


def change(measured: Measured, read: Read, first: int, last: int) -> Estimate:
    """How much the number grew from one step to another, seed by seed."""
    pairs = zip(at(measured, first, read), at(measured, last, read), strict=True)
    return over_seeds([None if a is None or b is None else b - a for a, b in pairs])


def gain(point: TrajectoryPoint) -> float | None:
    """The gain in nats."""
    return point.result.gain.mean if point.result.gain else None


def gain_interval(measured: Measured, step: int) -> Estimate:
    """The gain at a step: t-interval over seeds; of fewer than three the widest of their intervals over nouns."""
    found = over_seeds(at(measured, step, gain))
    if found.low is not None:
        return found
    records = [p.result.gain for t in measured.trajectories for p in t.points if p.step == step and p.result.gain]
    lows = [r.ci_low for r in records if r.ci_low is not None]
    highs = [r.ci_high for r in records if r.ci_high is not None]
    return Estimate(found.value, min(lows, default=None), max(highs, default=None), found.n)


def heads(point: TrajectoryPoint) -> HeadsRecord | None:
    """The headline's record of heads."""
    return point.result.heads[0] if point.result.heads else None


def middle(layers: int) -> range:
    """The middle half of the layers, from 1: all but the first and the last quarter."""
    quarter = layers // 4
    return range(1 + quarter, layers - quarter + 1)


def middle_share(point: TrajectoryPoint, layers: int) -> float | None:
    """The part of all detections that falls into the middle half of the layers; None where nothing was detected."""
    record = heads(point)
    if record is None:
        return None
    total = sum(h.rate for h in record.by_head)
    return sum(h.rate for h in record.by_head if h.layer in middle(layers)) / total if total else None


def lens_middle(point: TrajectoryPoint, layers: int) -> float | None:
    """The part of the gain's rise over the layers, as the lens reads it, that falls into the middle half."""
    if not point.result.lens:
        return None
    by_layer = {r.layer: r.gain for r in point.result.lens[0].layers if r.gain is not None and r.layer >= 1}
    inside = middle(layers)
    first, last = by_layer.get(inside[0] - 1, 0.0), by_layer.get(inside[-1])
    end = by_layer.get(layers)
    return None if last is None or not end or end <= 0 else (last - first) / end


def cut(point: TrajectoryPoint, selection: str, kind: str = "aggregate") -> AblationRecord | None:
    """The first ablation of a selection and kind, which is the headline's; None if it was not made or cut nothing."""
    found = (a for a in point.result.ablations if (a.selection, a.kind) == (selection, kind))
    first = next(found, None)
    return None if first is None or first.ablated is None else first


def harm(selection: str, kind: str = "aggregate") -> Read:
    """A reader: how much more cutting the heads adds to matched surprisal than cutting the controls, in nats."""

    def read(point: TrajectoryPoint) -> float | None:
        found = cut(point, selection, kind)
        if found is None or found.ablated is None or found.control_mean is None:
            return None
        return found.ablated - found.control_mean

    return read


def lost(selection: str, kind: str = "aggregate") -> Read:
    """A reader: how much more of the gain is lost with the heads than with the controls, as a part of the gain."""

    def read(point: TrajectoryPoint) -> float | None:
        found = cut(point, selection, kind)
        if found is None or found.gain_ablated is None or found.gain_control is None or not found.gain_original:
            return None
        return (found.gain_control - found.gain_ablated) / found.gain_original

    return read


def r2(point: TrajectoryPoint) -> float | None:
    """Adjusted R² of the gain on the log count of co-occurrence within a chunk, over nouns (protocol §7)."""
    record = point.result.cooccurrence
    cell = ("chunk", "log-count", "noun")
    found = (r for r in record.regressions if (r.window, r.statistic, r.unit) == cell) if record else ()
    return next((r.r2_adjusted for r in found), None)


def said(estimate: Estimate, decimals: int = 2) -> str:
    """`mean [low, high]`."""
    return with_interval(estimate.value, estimate.low, estimate.high, decimals) or "not measured"


def plain(value: float | None, decimals: int = 2) -> str:
    """A number, or that it was not measured."""
    return number(value, decimals) or "not measured"
