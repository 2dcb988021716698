"""Every run measured: what of which, resumable, several seeds side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from groundbench.aggregate import aggregate
from groundbench.errors import GroundbenchError
from groundbench.lens_options import LensOptions
from groundbench.machine import begin_worker
from groundbench.mechanism import MechanismOptions
from groundbench.progress import Progress
from groundbench.reproduction.runs import Run
from groundbench.result_trajectory import AGGREGATE, Aggregate, Trajectory
from groundbench.trajectory import TrajectoryOptions, trajectory

MECHANISM = MechanismOptions(
    denominator="total",
    selections=("crossfit", "instance"),
    controls=("layer", "saliency"),
    draws=20,
    instance_draws=5,
    gather=True,
    lens=LensOptions(steps=150),
)
OPTIONS = TrajectoryOptions(points=8, costly_points=3, mismatches=10, mechanism=MECHANISM)
NULL_POINTS = 4
LSTM_POINTS = 8


@dataclass(frozen=True)
class Measured:
    """One run with each seed's trajectory and their mean."""

    run: Run
    trajectories: tuple[Trajectory, ...]
    mean: Aggregate = field(repr=False)


def options_for(run: Run, options: TrajectoryOptions) -> TrajectoryOptions:
    """What is measured of a run: everything; of the null gain and heads; of an LSTM, which has no heads, the gain."""
    if run.shuffled:
        return replace(options, measures=("gain", "heads"), points=min(NULL_POINTS, options.points or NULL_POINTS))
    if run.kind == "lstm":
        return replace(options, measures=("gain",), points=min(LSTM_POINTS, options.points or LSTM_POINTS))
    return options


def measure_runs(runs: Sequence[Run], out: Path, options: TrajectoryOptions, jobs: int) -> list[Measured]:
    """Measure every seed of every run, `jobs` of them side by side with one thread each; the first failure is raised.

    A script that calls this with several jobs needs `if __name__ == "__main__":`.
    """
    tasks = [(run, seed, out / run.name / seed.name, options_for(run, options)) for run in runs for seed in run.seeds]
    found = [_measure(*task) for task in tasks] if jobs == 1 else _side_by_side(tasks, jobs)
    by_run: dict[str, list[Trajectory]] = {}
    for (run, *_), done in zip(tasks, found, strict=True):
        by_run.setdefault(run.name, []).append(done)
    measured = []
    for run in runs:
        mean = aggregate(by_run[run.name], name=run.name)
        mean.save(out / run.name / AGGREGATE)
        measured.append(Measured(run, tuple(by_run[run.name]), mean))
    return measured


def _side_by_side(tasks: Sequence[tuple[Run, Path, Path, TrajectoryOptions]], jobs: int) -> list[Trajectory]:
    with ProcessPoolExecutor(jobs, get_context("spawn"), begin_worker, (os.getpid(), 1)) as pool:
        futures = [pool.submit(_measure, *task) for task in tasks]
        try:
            with Progress("measuring", len(tasks)) as bar:
                found = []
                for future in futures:
                    found.append(future.result())
                    bar.advance()
                return found
        except BrokenProcessPool as error:
            raise GroundbenchError("a process ended abruptly (out of memory?); the same command goes on") from error
        finally:
            for future in futures:
                future.cancel()


def _measure(run: Run, seed: Path, out: Path, options: TrajectoryOptions) -> Trajectory:
    return trajectory(seed, out=out, options=options, name=f"{run.name}, {seed.name.replace('-', ' ')}")
