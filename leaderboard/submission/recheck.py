"""Scoring a random sample of a submission's items again: the one check that a consistent forgery does not pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from groundbench.leaderboard.submission.items_parquet import Item, sample_items
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError
from groundbench.leaderboard.submission.submission import Run

Rescore = Callable[[Run, Sequence[Item]], Sequence[float]]
"""Scores items of a run again with the weights at hand (nats)."""
TOLERANCE = 0.01
"""Nats by which another machine may differ; two CPUs in fp32 differ by less than 1e-4."""


@dataclass(frozen=True)
class Rechecked:
    """The largest distance of the sample's surprisals from the submitted ones (nats)."""

    run: str
    n_items: int
    worst: float


def recheck(
    folder: Path, run: Run, rescore: Rescore, *, n: int = 50, seed: int = 0, tolerance: float = TOLERANCE
) -> Rechecked:
    """Score a seeded sample of a run's items again.

    Args:
        folder: the submission's folder.
        n: how many items, at most.

    Raises:
        RefusedError: the run has no items.parquet, or an item differs by more than `tolerance`.
    """
    where = f"{folder.name}/{run.name}/items.parquet"
    table = run.tables.get(run.last.testbed.env_form)
    if table is None:
        raise RefusedError(f"{where}: is missing; only scored items can be scored again")
    items = sample_items(table, n, seed)
    again = rescore(run, items)
    off = [abs(item.surprisal - value) for item, value in zip(items, again, strict=True)]
    worst = max(range(len(off)), key=off.__getitem__)
    if not off[worst] <= tolerance:  # also true of NaN
        item = items[worst]
        raise RefusedError(
            f"{where}: {item.target!r} after {item.env!r} in frame {item.frame!r} has {item.surprisal:.4f} nats, but "
            f"scoring it again gives {again[worst]:.4f} ({sum(not o <= tolerance for o in off)} of {len(off)} differ)"
        )
    return Rechecked(f"{folder.name}/{run.name}", len(items), off[worst])
