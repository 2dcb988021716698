"""Is a trajectory one training run? One model, one testbed, steps that grow."""

from __future__ import annotations

from groundbench.leaderboard.submission.strict_json_yaml import shorten
from groundbench.results.trajectory import Trajectory

MOST_CHECKPOINTS = 500


def trajectory_fault(trajectory: Trajectory) -> str | None:
    """Return the first thing that parts the checkpoints, as a clause; None if they can be of one run."""
    if len(trajectory.points) > MOST_CHECKPOINTS:
        return f"points has {len(trajectory.points):,} checkpoints; expected at most {MOST_CHECKPOINTS}"
    first = trajectory.points[0].result
    for i, point in enumerate(trajectory.points):
        model, bed = point.result.model, point.result.testbed
        if model.step is not None and model.step != point.step:
            return f"points[{i}].result.model.step is {model.step}, but points[{i}].step is {point.step}"
        for name in ("family", "architecture", "parameters", "mixers", "seed"):
            if getattr(model, name) != getattr(first.model, name):
                return (
                    f"points[{i}].result.model.{name} is {shorten(str(getattr(model, name)))}, unlike the first point's"
                )
        for name in ("name", "version", "hash", "frames", "env_form"):
            if getattr(bed, name) != getattr(first.testbed, name):
                return (
                    f"points[{i}].result.testbed.{name} is {shorten(str(getattr(bed, name)))}, unlike the first point's"
                )
    prints = [p.result.model.fingerprint for p in trajectory.points]
    twice = next((i for i, p in enumerate(prints) if prints.index(p) < i), None)
    if twice is not None:
        return f"points[{twice}] has the weights of an earlier point: a run's checkpoints differ"
    return None
