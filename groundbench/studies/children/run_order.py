"""The order in which a model's nouns ground in training, beside children's ages and the corpus's counts.

Wordbank's ages are of children; the counts are of what is said in the training corpus. The null is the same training
with scenes shuffled between transcripts: its nouns ground by nothing that was shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundbench.api.errors import BadInputError
from groundbench.measures.gain.measure import item_gains
from groundbench.report.charts.scatter import Dot, ScatterAxes, scatter_chart
from groundbench.report.elements import Figure, Table
from groundbench.results.items import read_items
from groundbench.results.text.numbers import count, interval, number, with_interval
from groundbench.results.trajectory import Trajectory
from groundbench.stats.bootstrap import N_RESAMPLES, Estimate
from groundbench.studies.children.ages import production_ages
from groundbench.studies.children.onset import Floats, Order, order_beside_children

TITLE = "The order in which nouns ground, beside children's"
AGE = "age at which half of the children say the noun (months)"


@dataclass(frozen=True)
class RunOrder:
    """One model's order, over the mean of its seeds.

    Attributes:
        nouns: those with an age, in the order of `ages` (months) and of the order's steps.
        shuffled: True for the null.
        frames: how many frames of each noun its intervals are over; 1: over nouns alone, since only means were kept.
    """

    name: str
    seeds: int
    shuffled: bool
    nouns: tuple[str, ...]
    ages: Floats
    order: Order
    frames: int = 1


Gains = Mapping[int, Mapping[str, Sequence[float]]]
"""Step -> noun -> the gain in each of its frames, nats; NaN where it was not measured."""


def gains_of_frames(folder: Path) -> dict[int, dict[str, list[float]]]:
    """Return the gains of a trajectory's directory, from the items.parquet of its checkpoints (of the first form each).

    Raises:
        BadInputError: a file that is no items.parquet.
    """
    found: dict[int, dict[str, list[float]]] = {}
    for path in sorted(folder.glob("step-*/items.parquet")):
        table = read_items(path)
        rows = zip(table.nouns, item_gains(table).tolist(), strict=True)
        found[int(path.parent.name.removeprefix("step-"))] = dict(rows)
    return found


def gains_of_nouns(trajectory: Trajectory) -> dict[int, dict[str, list[float]]]:
    """Return the gains of a trajectory alone, which keeps each noun's mean over its frames: one value a noun.

    Raises:
        BadInputError: a checkpoint without gains by noun.
    """
    found: dict[int, dict[str, list[float]]] = {}
    for point in trajectory.points:
        record = next((f.gain for f in point.result.forms if f.gain is not None), None)
        if record is None:
            raise BadInputError(f"{trajectory.name}: step {point.step} has no gain; expected the measure gain")
        found[point.step] = {n.noun: [n.gain] for n in record.by_noun if n.gain is not None}
    return found


def mean_gains(seeds: Sequence[Gains]) -> tuple[list[int], list[str], Floats]:
    """Return steps [C], nouns with an age of children's [V] and gains [C, F, V] (nats), the mean over seeds.

    Only steps and nouns that every seed has are kept. A noun with fewer frames than another has NaN in the rest.
    """
    steps = [s for s in seeds[0] if all(s in seed for seed in seeds)]
    nouns = [w for w in sorted(production_ages()) if all(w in seed[s] for seed in seeds for s in steps)]
    frames = max((len(seed[s][w]) for seed in seeds for s in steps for w in nouns), default=1)
    gains = np.full((len(seeds), len(steps), frames, len(nouns)), np.nan)
    for i, seed in enumerate(seeds):
        for c, step in enumerate(steps):
            for v, noun in enumerate(nouns):
                values = seed[step][noun]
                gains[i, c, : len(values), v] = values
    return steps, nouns, gains.mean(axis=0)


def order_of(
    seeds: Sequence[Gains],
    said: Mapping[str, int],
    *,
    name: str,
    shuffled: bool = False,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> RunOrder | None:
    """Relate one model's order to children's; intervals are over nouns and, where there are several, over their frames.

    None where fewer than two checkpoints or no noun with an age were measured.

    Args:
        seeds: the gains of one model's trajectories.
        said: how often each noun is said in the corpus.
        name: of the model, `shuffled`: that it is the null.
    """
    steps, nouns, gains = mean_gains(seeds)
    if len(steps) < 2 or not nouns:
        return None
    ages = np.array([production_ages()[w] for w in nouns])
    counts = np.array([said.get(w, 0) for w in nouns], dtype=np.float64)
    found = order_beside_children(steps, gains, ages, counts, n_resamples=n_resamples, seed=seed)
    return RunOrder(name, len(seeds), shuffled, tuple(nouns), ages, found, gains.shape[1])


def order_sentence(run: RunOrder) -> str:
    """Return what the interval of the correlation with age allows to say, and no more."""
    age, partial = run.order.age, run.order.partial
    whose = f"{run.name}{' (the null)' if run.shuffled else ''}"
    if age.value is None:
        return f"{whose}: {run.order.nouns} of {len(run.nouns)} nouns ground, too few for an order."
    told = f"{_direction(age, 'earlier', 'later')} ({_with_ends(age)})"
    if partial.value is not None:
        told += f"; with frequency held constant, {_direction(partial, 'earlier', 'later')} ({_with_ends(partial)})"
    return f"{whose}: {told}; {run.order.nouns} of {len(run.nouns)} nouns ground."


def orders_text(runs: Sequence[RunOrder]) -> str:
    """Return the sentences of all runs; says so where none is the null."""
    told = [order_sentence(r) for r in runs]
    if not any(r.shuffled for r in runs):
        told.append("No model trained on shuffled scenes was measured, so this order has no null beside it.")
    return " ".join(told)


def order_table(runs: Sequence[RunOrder]) -> Table:
    """Tabulate the rank correlations of each run with their intervals."""
    rows = tuple(
        (
            f"{r.name}{' (scenes shuffled)' if r.shuffled else ''}",
            count(r.seeds),
            f"{r.order.nouns} of {len(r.nouns)}",
            *(None if e.value is None else _with_ends(e) for e in (r.order.age, r.order.frequency, r.order.partial)),
        )
        for r in runs
    )
    head = ("Model", "Seeds", "Nouns that ground", "With age", "With log frequency", "With age, frequency held")
    caption = (
        "Rank correlation of the step at which a noun grounds (its gain first passes half of its last) with the age at "
        f"which half of the children say it and with how often it is said in the corpus; 95 % bootstrap intervals over "
        f"{_resampled_units(runs)}, of the mean over seeds"
    )
    return Table(caption, head, rows)


def order_figures(runs: Sequence[RunOrder]) -> list[Figure]:
    """Draw each noun's step over its age, one plot for each run in which any grounds."""
    return [f for r in runs if (f := _figure(r)) is not None]


def _figure(run: RunOrder) -> Figure | None:
    order = run.order
    columns = zip(run.nouns, run.ages, order.steps, order.steps_low, order.steps_high, strict=True)
    grounded = [row for row in columns if not np.isnan(row[2])]
    if not grounded:
        return None
    title = f"{TITLE}: {run.name}{', scenes shuffled (null)' if run.shuffled else ''}"
    axes = ScatterAxes(AGE, "step at which it grounds", from_zero=False)
    dots = [Dot(float(a), float(s), w) for w, a, s, _, _ in grounded]
    table = Table(
        title,
        ("Noun", "Age (months)", "Step", "95 % interval over its frames"),
        tuple(
            (w, number(float(a), 1), number(float(s), 0), _steps(low, high))
            for w, a, s, low, high in sorted(grounded, key=lambda g: g[2])
        ),
    )
    caption = f"{order_sentence(run)} Ages: Wordbank, CC BY 4.0; 16 and 31 months are bounds."
    return Figure(title, (scatter_chart(dots, axes, title, caption),), table, caption)


def _resampled_units(runs: Sequence[RunOrder]) -> str:
    return "nouns and their frames" if all(r.frames > 1 for r in runs) else "nouns"


def _steps(low: float, high: float) -> str | None:
    """Write an interval of steps; one that reaches past the training has no upper end."""
    if np.isnan(low):
        return None
    if np.isinf(low):
        return "not in this training"
    return f"from {number(low, 0)}" if np.isinf(high) else interval(low, high, 0)


def _direction(found: Estimate, above: str, below: str) -> str:
    """Put the sign into words where the interval has one."""
    if found.ci_low is not None and found.ci_low > 0:
        return f"nouns that children say earlier ground {above}"
    if found.ci_high is not None and found.ci_high < 0:
        return f"nouns that children say earlier ground {below}"
    return "no relation to children's order is shown"


def _with_ends(found: Estimate) -> str:
    return with_interval(found.value, found.ci_low, found.ci_high) or "not measured"
