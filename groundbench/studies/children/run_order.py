"""The order in which a model's nouns ground in training, beside children's ages and the corpus's counts.

Wordbank's ages are of children; the counts are of what is said in the training corpus. The null is the same training
with scenes shuffled between transcripts: its nouns ground by nothing that was shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from groundbench.api.errors import BadInputError
from groundbench.report.charts.scatter import Dot, ScatterAxes, scatter_chart
from groundbench.report.elements import Figure, Table
from groundbench.results.text.numbers import count, interval, number
from groundbench.results.trajectory import Trajectory
from groundbench.stats.bootstrap import N_RESAMPLES, Estimate
from groundbench.studies.children.ages import production_ages
from groundbench.studies.children.onset import Floats, Order, onsets, order_beside_children

TITLE = "The order in which nouns ground, beside children's"
AGE = "age at which half of the children say the noun (months)"


@dataclass(frozen=True)
class RunOrder:
    """One model's order, over the mean of its seeds.

    Attributes:
        nouns: those with an age, in the order of `ages` (months) and of `steps` (NaN: the noun does not ground).
        shuffled: True for the null.
    """

    name: str
    seeds: int
    shuffled: bool
    nouns: tuple[str, ...]
    ages: Floats
    steps: Floats
    order: Order


def gains_of(seeds: Sequence[Trajectory]) -> tuple[list[int], list[str], Floats]:
    """Return steps [C], nouns with an age of children's [V] and gains [C, V] (nats), the mean over seeds.

    Only steps and nouns that every seed has are kept.

    Raises:
        BadInputError: a checkpoint without gains by noun.
    """
    rows: list[dict[int, dict[str, float]]] = []
    for trajectory in seeds:
        found: dict[int, dict[str, float]] = {}
        for point in trajectory.points:
            record = next((f.gain for f in point.result.forms if f.gain is not None), None)
            if record is None:
                raise BadInputError(f"{trajectory.name}: step {point.step} has no gain; expected the measure gain")
            found[point.step] = {n.noun: n.gain for n in record.by_noun if n.gain is not None}
        rows.append(found)
    steps = [s for s in rows[0] if all(s in r for r in rows)]
    nouns = [w for w in sorted(production_ages()) if all(w in r[s] for r in rows for s in steps)]
    gains = np.array([[[r[s][w] for w in nouns] for s in steps] for r in rows], dtype=np.float64)
    return steps, nouns, gains.reshape(len(rows), len(steps), len(nouns)).mean(axis=0)


def order_of(
    seeds: Sequence[Trajectory],
    said: Mapping[str, int],
    *,
    name: str,
    shuffled: bool = False,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> RunOrder | None:
    """Relate one model's order to children's; intervals over nouns (a trajectory holds each noun's mean over frames).

    None where fewer than two checkpoints or no noun with an age were measured.

    Args:
        seeds: the trajectories of one model.
        said: how often each noun is said in the corpus.
        name: of the model, `shuffled`: that it is the null.
    """
    steps, nouns, gains = gains_of(seeds)
    if len(steps) < 2 or not nouns:
        return None
    ages = np.array([production_ages()[w] for w in nouns])
    counts = np.array([said.get(w, 0) for w in nouns], dtype=np.float64)
    found = order_beside_children(steps, gains[:, None, :], ages, counts, n_resamples=n_resamples, seed=seed)
    return RunOrder(name, len(seeds), shuffled, tuple(nouns), ages, onsets(steps, gains), found)


def order_sentence(run: RunOrder) -> str:
    """Return what the interval of the correlation with age allows to say, and no more."""
    age, partial = run.order.age, run.order.partial
    whose = f"{run.name}{' (the null)' if run.shuffled else ''}"
    if age.value is None:
        return f"{whose}: {run.order.nouns} of {len(run.nouns)} nouns ground, too few for an order."
    told = _direction(age, "earlier", "later")
    held = "" if partial.value is None else f"; with frequency held constant {_said(partial)}"
    return f"{whose}: {told} ({_said(age)}{held}; {run.order.nouns} of {len(run.nouns)} nouns ground)."


def order_table(runs: Sequence[RunOrder]) -> Table:
    """Tabulate the rank correlations of each run with their intervals."""
    rows = tuple(
        (
            f"{r.name}{' (scenes shuffled)' if r.shuffled else ''}",
            count(r.seeds),
            f"{r.order.nouns} of {len(r.nouns)}",
            *(None if e.value is None else _said(e) for e in (r.order.age, r.order.frequency, r.order.partial)),
        )
        for r in runs
    )
    head = ("Model", "Seeds", "Nouns that ground", "With age", "With log frequency", "With age, frequency held")
    caption = (
        "Rank correlation of the step at which a noun grounds (its gain first passes half of its last) with the age at "
        "which half of the children say it and with how often it is said in the corpus; 95 % bootstrap intervals over "
        "nouns, of the mean over seeds"
    )
    return Table(caption, head, rows)


def order_figures(runs: Sequence[RunOrder]) -> list[Figure]:
    """Draw each noun's step over its age, one plot for each run in which any grounds."""
    return [f for r in runs if (f := _figure(r)) is not None]


def _figure(run: RunOrder) -> Figure | None:
    grounded = [(w, a, s) for w, a, s in zip(run.nouns, run.ages, run.steps, strict=True) if not np.isnan(s)]
    if not grounded:
        return None
    title = f"{TITLE}: {run.name}{', scenes shuffled (null)' if run.shuffled else ''}"
    axes = ScatterAxes(AGE, "step at which it grounds", from_zero=False)
    dots = [Dot(float(a), float(s), w) for w, a, s in grounded]
    table = Table(
        title,
        ("Noun", "Age (months)", "Step"),
        tuple((w, number(float(a), 1), number(float(s), 0)) for w, a, s in sorted(grounded, key=lambda g: g[2])),
    )
    caption = f"{order_sentence(run)} Ages: Wordbank, CC BY 4.0; 16 and 31 months are bounds."
    return Figure(title, (scatter_chart(dots, axes, title, caption),), table, caption)


def _direction(found: Estimate, above: str, below: str) -> str:
    """Put the sign into words where the interval has one."""
    if found.ci_low is not None and found.ci_low > 0:
        return f"nouns that children say earlier ground {above}"
    if found.ci_high is not None and found.ci_high < 0:
        return f"nouns that children say earlier ground {below}"
    return "no relation to children's order is shown"


def _said(found: Estimate) -> str:
    ends = interval(found.ci_low, found.ci_high)
    return f"{number(found.value)}{'' if ends is None else f' {ends}'}"
