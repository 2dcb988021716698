"""Measurement of every run of the study: resumable, several seeds side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from groundbench.evaluation.seeds import mean_over_seeds
from groundbench.evaluation.training_provenance import Trained
from groundbench.evaluation.trajectory import TrajectoryOptions, trajectory
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.lens.options import LensOptions
from groundbench.registry import load_testbed
from groundbench.results.trajectory import AGGREGATE, MeanTrajectory, Trajectory
from groundbench.studies.paper.runs import Run
from groundbench.util.progress import Progress
from groundbench.util.workers import worker_pool

OPTIONS = TrajectoryOptions(
    measures=("gain", "heads", "causal", "ablation", "lens", "image"),
    points=8,
    costly_points=3,
    mismatches=10,
    heads=HeadOptions(denominator="total"),
    ablation=AblationOptions(
        selections=("crossfit", "instance"),
        controls=("layer", "saliency"),
        draws=20,
        instance_draws=5,
        gather=True,
    ),
    lens=LensOptions(steps=150),
)
NULL_POINTS = 4
LSTM_POINTS = 3
SEEN_STYLE = "image-seen-style"
"""The form of image-dialogue whose images are drawn as those of the training."""
FROZEN_POINTS, FROZEN_COSTLY_POINTS, FROZEN_NOUNS, FROZEN_DRAWS = 3, 1, 40, 5
"""At most so much of a frozen pretrained language model, which is a large one."""


@dataclass(frozen=True)
class Measured:
    """One run with each seed's trajectory and their mean.

    Attributes:
        seen: the last checkpoint's gain in the seen styles.
        folders: where each seed's checkpoints were measured, with their items.
    """

    run: Run
    trajectories: tuple[Trajectory, ...]
    mean: MeanTrajectory = field(repr=False)
    seen: Measured | None = field(default=None, repr=False)
    folders: tuple[Path, ...] = ()


def options_for(run: Run, options: TrajectoryOptions) -> TrajectoryOptions:
    """Return the measures of a run: everything; of the null gain and heads; of an LSTM, without heads, the gain.

    A run of images has a testbed of its own, and no corpus whose nouns are counted.
    """
    if run.kind == "vlm":
        return _of_images(run, options)
    if run.shuffled:
        return replace(options, measures=("gain", "heads"), points=min(NULL_POINTS, options.points or NULL_POINTS))
    if run.kind == "lstm":
        return replace(options, measures=("gain",), points=min(LSTM_POINTS, options.points or LSTM_POINTS))
    return options


def _of_images(run: Run, options: TrajectoryOptions) -> TrajectoryOptions:
    """Return options for a model of images. One pass gives the surprisal of every noun of one token, as all are here:
    such a model is compared with all mismatches. Where heads read in the image is measured of the null too."""
    options = replace(options, corpus=None, at_least=None)
    if run.frozen_part("language"):
        draws = min(FROZEN_DRAWS, options.ablation.draws or FROZEN_DRAWS)
        options = replace(
            options,
            measures=tuple(m for m in options.measures if m != "lens"),
            points=min(FROZEN_POINTS, options.points or FROZEN_POINTS),
            costly_points=min(FROZEN_COSTLY_POINTS, options.costly_points),
            limit=min(FROZEN_NOUNS, options.limit or FROZEN_NOUNS),
            heads=replace(options.heads, denominator="row"),
            ablation=replace(
                options.ablation,
                selections=("crossfit",),
                controls=("layer",),
                draws=draws,
                gather=False,
            ),
        )
    else:
        options = replace(options, mismatches=None)
    if run.shuffled:
        points = min(NULL_POINTS, options.points or NULL_POINTS)
        return replace(options, measures=("gain", "heads", "image"), points=points, costly_points=1)
    return options


def _of_seen_style(run: Run, options: TrajectoryOptions) -> TrajectoryOptions:
    return replace(options_for(run, options), measures=("gain",), points=1, forms=(SEEN_STYLE,))


def _has_seen_style(run: Run) -> bool:
    name = Trained(run.training).testbed_name()
    return name is not None and any(f.name == SEEN_STYLE for f in load_testbed(name).forms)


def measure_images(runs: Sequence[Run], out: Path, options: TrajectoryOptions, jobs: int) -> list[Measured]:
    """Measure as `measure_runs`, and the last checkpoint's gain in the training's styles where there are any."""
    found = measure_runs(runs, out / "test", options, jobs)
    both = [run for run in runs if _has_seen_style(run)]
    seen = {m.run.name: m for m in measure_runs(both, out / "seen-styles", options, jobs, _of_seen_style)}
    return [replace(m, seen=seen.get(m.run.name)) for m in found]


def measure_runs(
    runs: Sequence[Run],
    out: Path,
    options: TrajectoryOptions,
    jobs: int,
    choose: Callable[[Run, TrajectoryOptions], TrajectoryOptions] = options_for,
) -> list[Measured]:
    """Measure every seed of every run, `jobs` of them side by side with one thread each; the first failure is raised.

    A script that calls this with several jobs needs `if __name__ == "__main__":`.

    Args:
        choose: what is measured of which run.
    """
    tasks = [(run, seed, out / run.name / seed.name, choose(run, options)) for run in runs for seed in run.seeds]
    found = [_measure(*task) for task in tasks] if min(jobs, len(tasks)) <= 1 else _side_by_side(tasks, jobs)
    by_run: dict[str, list[Trajectory]] = {}
    for (run, *_), done in zip(tasks, found, strict=True):
        by_run.setdefault(run.name, []).append(done)
    measured = []
    for run in runs:
        mean = mean_over_seeds(by_run[run.name], name=run.name)
        mean.save(out / run.name / AGGREGATE)
        folders = tuple(out / run.name / seed.name for seed in run.seeds)
        measured.append(Measured(run, tuple(by_run[run.name]), mean, folders=folders))
    return measured


def _side_by_side(tasks: Sequence[tuple[Run, Path, Path, TrajectoryOptions]], jobs: int) -> list[Trajectory]:
    broken = "a process ended abruptly (out of memory?); the same command goes on"
    with worker_pool(jobs, broken=broken) as pool, Progress("measuring", len(tasks)) as bar:
        found = []
        for future in [pool.submit(_measure, *task) for task in tasks]:
            found.append(future.result())
            bar.advance()
        return found


def _measure(run: Run, seed: Path, out: Path, options: TrajectoryOptions) -> Trajectory:
    return trajectory(seed, out=out, options=options, name=f"{run.name}, {seed.name.replace('-', ' ')}")
