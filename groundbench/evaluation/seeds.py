"""The measurements over several seeds of one training run: each seed's trajectory, then their mean (protocol §5)."""

from __future__ import annotations

from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Testbed
from groundbench.evaluation.aggregate import aggregate
from groundbench.evaluation.trajectory import TrajectoryOptions, trajectory
from groundbench.results.trajectory import AGGREGATE, Aggregate


def seed_folders(run: str | Path) -> list[Path]:
    """Return the folders `seed-*` of a training run that hold checkpoints, in the order of their seeds."""
    found = [p for p in Path(run).glob("seed-*") if any(p.glob("step-*"))]
    return sorted(found, key=lambda p: (len(p.name), p.name))


def trajectories(
    run: str | Path,
    testbed: str | Testbed | None = None,
    *,
    out: str | Path,
    options: TrajectoryOptions | None = None,
    name: str | None = None,
    description: str = "",
    force: bool = False,
) -> Aggregate:
    """Measure every seed of a training run, each as `trajectory` does, and average them; resumable.

    Args:
        run: a folder of `seed-*` folders with `step-*` checkpoints in them.
        out: gets a trajectory folder for each seed, and `aggregate.json`.

    Raises:
        BadInputError: no seeds, or as `trajectory` and `aggregate` raise it.
    """
    found = seed_folders(run)
    if not found:
        raise BadInputError(f"{run}: no checkpoints found, expected folders seed-42/step-000000 and so on")
    title = name or Path(run).name
    done = [
        trajectory(
            folder,
            testbed,
            out=Path(out) / folder.name,
            options=options,
            name=f"{title}, {folder.name.replace('-', ' ')}",
            description=description,
            force=force,
        )
        for folder in found
    ]
    mean = aggregate(done, name=title, description=description)
    mean.save(Path(out) / AGGREGATE)
    return mean
