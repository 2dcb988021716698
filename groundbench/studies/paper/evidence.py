"""Numbers that a verdict rests on: over seeds with t-intervals, or of one seed with its interval over nouns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from groundbench.results.causal import CausalRecord
from groundbench.results.run import AblationRecord, HeadsRecord
from groundbench.results.text.numbers import number, p_value, with_interval
from groundbench.results.trajectory import TrajectoryPoint
from groundbench.stats.significance import Estimate, bootstrap_mean, t_interval
from groundbench.studies.paper.measure import Measured

Read = Callable[[TrajectoryPoint], float | None]
ReadInterval = Callable[[TrajectoryPoint], Estimate | None]
MIN_SEEDS = 3
"""Fewer give no t-interval worth the name: with two it is 12.7 standard errors wide."""
MOST_DECIMALS = 4


def at(measured: Measured, step: int, read: Read) -> list[float | None]:
    """Return the number of every seed at one step."""
    return [read(p) for p in points_at(measured, step)]


def steps_with(measured: Measured, read: Read) -> list[int]:
    """Return the steps at which every seed has the number."""
    steps = [p.step for p in measured.mean.points]
    return [s for s in steps if (found := at(measured, s, read)) and all(v is not None for v in found)]


def over_seeds(values: Sequence[float | None]) -> Estimate:
    """Compute the mean and t-interval of what is known; no interval below three seeds."""
    known = [v for v in values if v is not None]
    found = t_interval(known)
    return found if len(known) >= MIN_SEEDS else Estimate(found.value, None, None, found.n)


def last_with(measured: Measured, was_tried: Callable[[TrajectoryPoint], object]) -> int | None:
    """Return the last common step at which something was tried in any seed, whatever came of it; None if nowhere."""
    steps = [p.step for p in measured.mean.points if any(map(was_tried, points_at(measured, p.step)))]
    return steps[-1] if steps else None


def at_the_end(measured: Measured, read: Read, was_tried: Callable[[TrajectoryPoint], object]) -> Estimate | None:
    """Return mean and t-interval over seeds at the last step where it was tried; None if a seed has no number.

    An earlier step never stands in for the last.
    """
    last = last_with(measured, was_tried)
    found = [] if last is None else at(measured, last, read)
    return over_seeds(found) if found and None not in found else None


def interval_at(measured: Measured, read: ReadInterval, step: int | None) -> Estimate | None:
    """Return a number at a step; None where there is no such step or a seed lacks it.

    A t-interval over seeds; of fewer than three the widest of their own intervals, which are over nouns.
    """
    each = [] if step is None else [read(p) for p in points_at(measured, step)]
    known = [e for e in each if e is not None and e.value is not None]
    if not known or len(known) < len(each):
        return None
    found = over_seeds([e.value for e in known])
    return widest(known) if found.ci_low is None else found


def change(measured: Measured, read: Read, first: int, last: int) -> Estimate:
    """Return the growth of the number from one step to another, seed by seed."""
    pairs = zip(at(measured, first, read), at(measured, last, read), strict=True)
    return over_seeds([None if a is None or b is None else b - a for a, b in pairs])


def gain(point: TrajectoryPoint) -> float | None:
    """Return the gain in nats."""
    return point.result.gain.mean if point.result.gain else None


def gain_interval(measured: Measured, step: int) -> Estimate:
    """Return the gain at a step: t-interval over seeds; of fewer than three the widest of their intervals."""
    found = over_seeds(at(measured, step, gain))
    if found.ci_low is not None:
        return found
    records = [r for p in points_at(measured, step) if (r := p.result.gain) is not None]
    return widest([Estimate(r.mean, r.ci_low, r.ci_high, len(r.by_noun)) for r in records])


def no_gain(measured: Measured) -> str | None:
    """Return why the gain's carriers cannot be judged: its interval at the last step is not above 0; else None."""
    steps = steps_with(measured, gain)
    if not steps:
        return "the gain was not measured"
    last = gain_interval(measured, steps[-1])
    if last.ci_low is not None and last.ci_low > 0:
        return None
    return f"G {text(last)} at step {steps[-1]}: no gain is shown that anything could carry"


def gain_growth(measured: Measured, first: int, last: int) -> Estimate:
    """Estimate the growth of the gain: t-interval over seeds; of fewer than three the widest of their bootstraps."""
    found = change(measured, gain, first, last)
    if found.ci_low is not None:
        return found
    seeds = zip(points_at(measured, first), points_at(measured, last), strict=True)
    return widest([_noun_growth(a, b) for a, b in seeds])


def _noun_growth(first: TrajectoryPoint, last: TrajectoryPoint) -> Estimate:
    before, after = _by_noun(first), _by_noun(last)
    both = [after[noun] - before[noun] for noun in before if noun in after]
    return bootstrap_mean(np.array(both)) if both else Estimate(None, None, None, 0)


def _by_noun(point: TrajectoryPoint) -> dict[str, float]:
    record = point.result.gain
    return {n.noun: n.gain for n in record.by_noun if n.gain is not None} if record else {}


def count_growth(measured: Measured, first: int, last: int) -> Estimate:
    """Count more heads an item has: over seeds; of fewer than three from the ends of their intervals over nouns."""
    found = change(measured, lambda p: r.mean_count if (r := heads(p)) else None, first, last)
    if found.ci_low is not None:
        return found
    pairs = zip(points_at(measured, first), points_at(measured, last), strict=True)
    records = [(a, b) for p, q in pairs if (a := heads(p)) and (b := heads(q))]
    return widest([_difference(b, a.mean_count, a.ci_low, a.ci_high) for a, b in records])


def count_excess(measured: Measured, step: int) -> Estimate:
    """Return heads an item beyond those for an equally long span of other words: over seeds, or over nouns as above."""

    def read(point: TrajectoryPoint) -> float | None:
        r = heads(point)
        return None if r is None or r.mean_count is None or r.null_count is None else r.mean_count - r.null_count

    found = over_seeds(at(measured, step, read))
    if found.ci_low is not None:
        return found
    records = [r for p in points_at(measured, step) if (r := heads(p)) is not None]
    return widest([_difference(r, r.null_count, r.null_count, r.null_count) for r in records])


def _difference(record: HeadsRecord, mean: float | None, low: float | None, high: float | None) -> Estimate:
    """Return the difference of two counts, with the widest interval that their ends allow."""
    if None in (record.mean_count, record.ci_low, record.ci_high, mean, low, high):
        return Estimate(None, None, None, 0)
    values = [record.mean_count, record.ci_low, record.ci_high, mean, high, low]
    value, below, above = (
        a - b for a, b in zip(values[:3], values[3:], strict=True) if a is not None and b is not None
    )
    return Estimate(value, below, above, record.n_items)


def widest(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of several seeds' numbers within the lowest and highest ends of their intervals."""
    values = [e.value for e in estimates if e.value is not None]
    lows = [e.ci_low for e in estimates if e.ci_low is not None]
    highs = [e.ci_high for e in estimates if e.ci_high is not None]
    if not values or len(lows) < len(values):
        return Estimate(sum(values) / len(values) if values else None, None, None, len(values))
    return Estimate(sum(values) / len(values), min(lows), max(highs), len(values))


def points_at(measured: Measured, step: int) -> list[TrajectoryPoint]:
    """Return every seed's checkpoint at a step."""
    return [p for t in measured.trajectories for p in t.points if p.step == step]


def heads(point: TrajectoryPoint) -> HeadsRecord | None:
    """Return the headline's record of heads."""
    return point.result.heads[0] if point.result.heads else None


def causes_of(point: TrajectoryPoint) -> CausalRecord | None:
    """Return the headline form's record of causes; None where it was not measured."""
    return point.result.causal[0] if point.result.causal else None


def recovered_beyond_random(point: TrajectoryPoint) -> Estimate | None:
    """Return the share of the gain that the first heads by contrast recover beyond as many random ones, over nouns."""
    record = causes_of(point)
    head = record.headline if record else None
    if record is None or head is None or head.recovered.value is None or head.random_mean is None:
        return None
    random = head.random_mean
    low, high = (None if e is None else e - random for e in (head.recovered.ci_low, head.recovered.ci_high))
    return Estimate(head.recovered.value - random, low, high, record.pairs.n_nouns)


def middle(layers: int) -> range:
    """Return the middle half of the layers, from 1: all but the first and the last quarter."""
    quarter = layers // 4
    return range(1 + quarter, layers - quarter + 1)


def middle_share(point: TrajectoryPoint, layers: int) -> float | None:
    """Return the part of all detections in the middle half of the layers; None where nothing was detected."""
    record = heads(point)
    if record is None:
        return None
    total = sum(h.rate for h in record.by_head)
    return sum(h.rate for h in record.by_head if h.layer in middle(layers)) / total if total else None


def lens_middle(point: TrajectoryPoint, layers: int) -> float | None:
    """Return the part of the gain's rise over the layers, as the lens reads it, that falls into the middle half."""
    if not point.result.lens:
        return None
    by_layer = {r.layer: r.gain for r in point.result.lens[0].layers if r.gain is not None and r.layer >= 1}
    inside = middle(layers)
    first, last, end = (by_layer.get(n) for n in (inside[0] - 1, inside[-1], layers))
    return None if first is None or last is None or not end or end <= 0 else (last - first) / end


def ablation_of(point: TrajectoryPoint, selection: str, kind: str = "aggregate") -> AblationRecord | None:
    """Return the first ablation of a selection and kind (the headline's); None if it was not made or cut nothing."""
    found = (a for a in point.result.ablations if (a.selection, a.kind) == (selection, kind))
    first = next(found, None)
    return None if first is None or first.ablated is None else first


def has_ablation(selection: str, kind: str = "aggregate") -> Callable[[TrajectoryPoint], bool]:
    """Return a reader: whether an ablation of that selection and kind was tried, even if there was no head to cut."""
    return lambda point: any((a.selection, a.kind) == (selection, kind) for a in point.result.ablations)


def harm(selection: str, kind: str = "aggregate") -> Read:
    """Return a reader: how much more cutting the heads adds to matched surprisal than cutting the controls, in nats."""

    def read(point: TrajectoryPoint) -> float | None:
        found = ablation_of(point, selection, kind)
        if found is None or found.ablated is None or found.control_mean is None:
            return None
        return found.ablated - found.control_mean

    return read


def lost_share(selection: str, kind: str = "aggregate") -> Read:
    """Make a reader of how much more of the gain is lost with the heads than with the controls, as a part of it."""

    def read(point: TrajectoryPoint) -> float | None:
        found = ablation_of(point, selection, kind)
        if found is None or found.gain_ablated is None or found.gain_control is None or not found.gain_original:
            return None
        return (found.gain_control - found.gain_ablated) / found.gain_original

    return read


def r2(point: TrajectoryPoint) -> float | None:
    """Return adjusted R² of the gain on the log count of co-occurrence within a chunk, over nouns (protocol §7)."""
    record = point.result.cooccurrence
    cell = ("chunk", "log-count", "noun")
    found = (r for r in record.regressions if (r.window, r.statistic, r.unit) == cell) if record else ()
    return next((r.r2_adjusted for r in found), None)


def text(estimate: Estimate, decimals: int = 2) -> str:
    """Write `mean [low, high]`; with up to two decimals more where an end that decides a verdict would round to 0."""
    ends = [e for e in (estimate.ci_low, estimate.ci_high) if e]
    while decimals < MOST_DECIMALS and any(round(e, decimals) == 0 for e in ends):
        decimals += 1
    return with_interval(estimate.value, estimate.ci_low, estimate.ci_high, decimals) or "not measured"


def few(measured: Measured, instead: str = "no interval over seeds") -> str:
    """Write what a sentence adds where there are too few seeds for an interval over them."""
    n = len(measured.trajectories)
    return "" if n >= MIN_SEEDS else f" ({n} seed{'s' if n > 1 else ''}: {instead})"


def over_nouns(measured: Measured) -> str:
    """Write what a sentence adds where intervals are not over seeds."""
    return few(measured, "intervals over nouns")


def plain(value: float | None, decimals: int = 2) -> str:
    """Return a number, or that it was not measured."""
    return number(value, decimals) or "not measured"


def probability(value: float | None) -> str:
    """Return a p-value, or that it was not measured."""
    return p_value(value) or "not measured"
