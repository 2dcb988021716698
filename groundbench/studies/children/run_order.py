"""The order in which a training run's nouns ground, beside children's ages and the corpus's counts; and its plot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from groundbench.api.errors import BadInputError
from groundbench.results.trajectory import Trajectory
from groundbench.stats.bootstrap import N_RESAMPLES
from groundbench.studies.children.ages import production_ages
from groundbench.studies.children.onset import Floats, Order, onsets, order_beside_children

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gains_of(trajectory: Trajectory) -> tuple[list[int], list[str], Floats]:
    """Steps [C], nouns with an age of children's [V] and gains [C, V] (nats) of a run's checkpoints.

    Raises:
        BadInputError: a checkpoint without gains by noun.
    """
    rows: list[dict[str, float]] = []
    for point in trajectory.points:
        record = next((f.gain for f in point.result.forms if f.gain is not None), None)
        if record is None:
            raise BadInputError(f"{trajectory.name}: step {point.step} has no gain; expected the measure gain")
        rows.append({n.noun: n.gain for n in record.by_noun if n.gain is not None})
    ages = production_ages()
    nouns = [w for w in sorted(ages) if all(w in row for row in rows)]
    steps = [point.step for point in trajectory.points]
    return steps, nouns, np.array([[row[w] for w in nouns] for row in rows], dtype=np.float64)


def order_of(
    trajectory: Trajectory, said: Mapping[str, int], *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Order:
    """Correlations of one run; intervals over nouns (a trajectory holds each noun's mean over frames).

    Args:
        said: how often each noun is said in the corpus.
    """
    steps, nouns, gains = gains_of(trajectory)
    ages = np.array([production_ages()[w] for w in nouns])
    counts = np.array([said.get(w, 0) for w in nouns], dtype=np.float64)
    return order_beside_children(steps, gains[:, None, :], ages, counts, n_resamples=n_resamples, seed=seed)


def draw_order(trajectory: Trajectory, null: Trajectory | None = None) -> Figure:
    """Draw each noun's step of grounding over the age at which half of the children say it, the null run beside.

    Args:
        null: the same training with scenes shuffled between transcripts.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    ax = figure.subplots()
    for run, colour, label in ((trajectory, "#0b5cad", trajectory.name), (null, "#8a8f98", "shuffled scenes")):
        if run is None:
            continue
        steps, nouns, gains = gains_of(run)
        ages = [production_ages()[w] for w in nouns]
        found = onsets(steps, gains)
        ax.scatter(ages, found, s=14, color=colour, label=f"{label} ({int((~np.isnan(found)).sum())} nouns ground)")
    ax.set_xlabel("age at which half of the children say the noun (months)")
    ax.set_ylabel("step at which it grounds")
    ax.legend(fontsize=7, frameon=False)
    return figure
