"""Several seeds of one training run: each seed's trajectory, then means and t-intervals over seeds (protocol §5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Testbed
from groundbench.evaluation.trajectory import TrajectoryOptions, trajectory
from groundbench.results.run import AblationRecord, HeadsRecord, LensLayer, Regression, Result
from groundbench.results.trajectory import (
    AGGREGATE,
    AblationSeedMean,
    LensSeedMean,
    MeanPoint,
    MeanTrajectory,
    RegressionSeedMean,
    SeedMean,
    Trajectory,
    TrajectoryPoint,
)
from groundbench.stats.significance import t_interval


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
) -> MeanTrajectory:
    """Measure every seed of a training run, each as `trajectory` does, and average them; resumable.

    Args:
        run: a folder of `seed-*` folders with `step-*` checkpoints in them.
        out: gets a trajectory folder for each seed, and `aggregate.json`.

    Raises:
        BadInputError: no seeds, or as `trajectory` and `mean_over_seeds` raise it.
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
    mean = mean_over_seeds(done, name=title, description=description)
    mean.save(Path(out) / AGGREGATE)
    return mean


Points = Sequence[TrajectoryPoint]
CUT = ("n_heads", "original", "ablated", "control_mean", "gain_original", "gain_ablated", "gain_control")
TESTS = ("p_cluster", "p_draws", "p_rank")


def mean_over_seeds(trajectories: Sequence[Trajectory], *, name: str = "", description: str = "") -> MeanTrajectory:
    """Return the mean trajectory of several seeds, over the steps that all of them have.

    Raises:
        BadInputError: none is given, two have one seed, they differ in testbed or architecture, or share no step.
    """
    if not trajectories:
        raise BadInputError("no trajectory to average; expected one for each seed")
    ordered = sorted(trajectories, key=_seed)
    seeds = [_seed(t) for t in ordered]
    if len(set(seeds)) < len(seeds):
        raise BadInputError(f"trajectories of the seeds {', '.join(map(str, seeds))}: expected each seed once")
    first = ordered[0].last
    for t in ordered[1:]:
        _refuse_other(first, t.last)
    steps = sorted(set.intersection(*({p.step for p in t.points} for t in ordered)))
    if not steps:
        raise BadInputError(f"{first.model.name}: the seeds {', '.join(map(str, seeds))} share no measured step")
    by_step = [{p.step: p for p in t.points} for t in ordered]
    return MeanTrajectory(
        name=name or ordered[0].name,
        description=description or ordered[0].description,
        seeds=tuple(seeds),
        testbed=first.testbed,
        n_layers=max((m.layer for m in first.model.mixers), default=None),
        parameters=first.model.parameters,
        points=tuple(_point(step, [b[step] for b in by_step]) for step in steps),
    )


def seed_mean(values: Sequence[float | None]) -> SeedMean | None:
    """Return a number over seeds; None where no seed has it."""
    known = [v for v in values if v is not None]
    if not known:
        return None
    found = t_interval(known)
    return SeedMean.model_validate(
        {"mean": found.value, "ci_low": found.ci_low, "ci_high": found.ci_high, "values": tuple(values)}
    )


def over_some_seeds(found: SeedMean | None, kept: Sequence[bool]) -> SeedMean | None:
    """Return the same number over some of the seeds only; `kept` is in the order of the seeds."""
    return None if found is None else seed_mean([v if k else None for v, k in zip(found.values, kept, strict=True)])


def _seed(trajectory: Trajectory) -> int:
    return trajectory.last.model.seed or 0


def _refuse_other(first: Result, other: Result) -> None:
    for what, a, b in (
        ("testbed", first.testbed.hash, other.testbed.hash),
        ("ENV form", first.testbed.env_form, other.testbed.env_form),
        ("architecture", first.model.architecture, other.model.architecture),
        ("number of parameters", first.model.parameters, other.model.parameters),
    ):
        if a != b:
            raise BadInputError(
                f"seed {first.model.seed} has the {what} {a}, seed {other.model.seed} {b}; expected seeds of one model"
            )


def _point(step: int, points: Points) -> MeanPoint:
    def over(read: Callable[[TrajectoryPoint], object | None], name: str) -> SeedMean | None:
        return seed_mean([None if (record := read(p)) is None else getattr(record, name) for p in points])

    return MeanPoint(
        step=step,
        tokens=seed_mean([p.tokens for p in points]),
        train_loss=seed_mean([p.train_loss for p in points]),
        heldout_loss=seed_mean([p.heldout_loss for p in points]),
        **{n: over(lambda p: p.result.gain, g) for n, g in (("gain", "mean"), *((x, x) for x in _GAINS))},
        heads=over(_headline, "mean_count"),
        null_heads=over(_headline, "null_count"),
        untrained_heads=over(_headline, "untrained_count"),
        mean_layer=over(_headline, "mean_layer"),
        gather_heads=over(_gather, "mean_count"),
        gain_variance=over(lambda p: p.result.cooccurrence, "gain_variance"),
        regressions=_regressions(points),
        ablations=_ablations(points),
        lens=_lens(points),
    )


_GAINS = ("matched", "mismatched", "same_category")


def _headline(point: TrajectoryPoint) -> HeadsRecord | None:
    return point.result.heads[0] if point.result.heads else None


def _gather(point: TrajectoryPoint) -> HeadsRecord | None:
    return next((h for h in point.result.heads if h.kind == "gather"), None)


def _regressions(points: Points) -> tuple[RegressionSeedMean, ...]:
    found: dict[tuple[str, str, str], list[Regression | None]] = {}
    for i, p in enumerate(points):
        for r in p.result.cooccurrence.regressions if p.result.cooccurrence else ():
            found.setdefault((r.window, r.statistic, r.unit), [None] * len(points))[i] = r
    return tuple(
        RegressionSeedMean.model_validate(
            {
                **dict(zip(("window", "statistic", "unit"), key, strict=True)),
                "r2_adjusted": seed_mean([None if r is None else r.r2_adjusted for r in records]),
            }
        )
        for key, records in found.items()
    )


def _ablations(points: Points) -> tuple[AblationSeedMean, ...]:
    found: dict[tuple[str, ...], list[AblationRecord | None]] = {}
    for i, p in enumerate(points):
        for a in p.result.ablations:
            key = (a.kind, a.selection, a.denominator, a.control)
            found.setdefault(key, [None] * len(points))[i] = a
    return tuple(
        AblationSeedMean.model_validate(
            {
                **dict(zip(("kind", "selection", "denominator", "control"), key, strict=True)),
                **{n: seed_mean([None if a is None else getattr(a, n) for a in _cut_records(records)]) for n in CUT},
                **{n: tuple(None if a is None else getattr(a, n) for a in records) for n in TESTS},
            }
        )
        for key, records in found.items()
    )


def _cut_records(records: Sequence[AblationRecord | None]) -> Sequence[AblationRecord | None]:
    """Return the records of the seeds in which heads were cut, all of them where that was in none.

    What is untouched must be of the same seeds as what is cut, or their difference is one between seeds.
    """
    kept = [a if a is not None and a.ablated is not None else None for a in records]
    return kept if any(kept) else records


def _lens(points: Points) -> tuple[LensSeedMean, ...]:
    found: dict[int, list[LensLayer | None]] = {}
    for i, p in enumerate(points):
        for row in p.result.lens[0].layers if p.result.lens else ():
            found.setdefault(row.layer, [None] * len(points))[i] = row

    def over(rows: Sequence[LensLayer | None], name: str) -> SeedMean | None:
        return seed_mean([None if r is None else getattr(r, name) for r in rows])

    return tuple(
        LensSeedMean(layer=n, **{x: over(rows, x) for x in ("matched", "mismatched", "gain")})
        for n, rows in sorted(found.items())
        if n >= 1
    )
