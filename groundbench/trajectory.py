"""The measurements over a folder of checkpoints: when grounding emerges, and what carries it (protocol §7, §11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from groundbench.adapter import Adapter
from groundbench.checkpoints import Checkpoint, find_checkpoints, spread, training_curve
from groundbench.choices import Options, choose_testbed
from groundbench.cooccurrence import Cooccurrence, measure_cooccurrence
from groundbench.corpus_counts import corpus_counts
from groundbench.evaluate import evaluate
from groundbench.items import read_items
from groundbench.mechanism import MechanismOptions
from groundbench.progress import Progress
from groundbench.registry import open_model, trained_on
from groundbench.result import Result
from groundbench.result_trajectory import FILE_NAME, HolmTest, Trajectory, TrajectoryPoint
from groundbench.stats import holm
from groundbench.testbed import Testbed


@dataclass(frozen=True)
class TrajectoryOptions:
    """What is measured along a training run.

    Attributes:
        points: at most this many checkpoints, evenly spaced; all if None.
        costly_points: at most this many of them get the costly measures (ablation, lens).
        costly: the measures that only those get.
    """

    measures: tuple[str, ...] = ("gain", "heads", "ablation", "lens")
    points: int | None = None
    costly_points: int = 4
    costly: tuple[str, ...] = ("ablation", "lens")
    forms: tuple[str, ...] = ()
    limit: int | None = None
    mismatches: int | None = None
    seed: int = 0
    mechanism: MechanismOptions = field(default_factory=MechanismOptions)
    load: dict[str, Any] = field(default_factory=dict)


def trajectory(
    checkpoints: str | Path,
    testbed: str | Testbed | None = None,
    *,
    out: str | Path,
    options: TrajectoryOptions | None = None,
    name: str | None = None,
    description: str = "",
) -> Trajectory:
    """Measure the checkpoints of one training run; resumable, since every checkpoint has a run directory of its own.

    Args:
        checkpoints: a folder of `step-*` folders (or of one `seed-*` folder that holds them).
        out: where `trajectory.json` and a folder for each checkpoint go.

    Raises:
        BadInputError: no checkpoints, or `out` holds another run.
    """
    options = options or TrajectoryOptions()
    Options(options.forms, options.measures, options.limit, options.mismatches)  # checks them before any work
    found = find_checkpoints(Path(checkpoints))
    chosen = found if options.points is None else spread(found, options.points)
    later = [c for c in chosen if c.step > 0] or chosen  # an untrained model has nothing to cut
    costly = {c.step for c in spread(later, options.costly_points)}
    bed = choose_testbed(open_model(str(chosen[-1].path), **options.load), testbed)
    counts: tuple[Cooccurrence, ...] | None = None
    points = []
    with Progress(f"{name or Path(checkpoints).name}: checkpoints", len(chosen)) as bar:
        for checkpoint in chosen:
            measures = [m for m in options.measures if checkpoint.step in costly or m not in options.costly]
            result = _measure(checkpoint, bed, Path(out), measures, options)
            if counts is None:
                counts = corpus_counts(bed, result, checkpoint.training, trained_on(bed, checkpoint.training))
            points.append(_point(checkpoint, _with_cooccurrence(result, Path(out), checkpoint, counts, options)))
            bar.advance()
    done = _corrected(
        Trajectory(
            name=name or points[-1].result.model.name,
            description=description,
            points=tuple(points),
            curve=training_curve(chosen[-1].path.parent),
        )
    )
    done.save(Path(out) / FILE_NAME)
    return done


def _measure(
    checkpoint: Checkpoint, bed: Testbed, out: Path, measures: Sequence[str], options: TrajectoryOptions
) -> Result:
    folder = out / checkpoint.path.name
    adapter: Adapter = open_model(str(checkpoint.path), **options.load)
    return evaluate(
        adapter,
        bed,
        forms=options.forms,
        measures=measures,
        limit=options.limit,
        mismatches=options.mismatches,
        seed=options.seed,
        out=folder,
        mechanism=replace(options.mechanism, seed=options.seed),
        corpus=trained_on(bed, checkpoint.training),
    )


def _with_cooccurrence(
    result: Result, out: Path, checkpoint: Checkpoint, counts: Iterable[Cooccurrence], options: TrajectoryOptions
) -> Result:
    counts = tuple(counts)
    if not counts:
        return result
    folder = out / checkpoint.path.name
    table = read_items(folder / "items.parquet", form=result.testbed.env_form)
    record = measure_cooccurrence(table, counts, seed=options.seed, n_resamples=2_000)
    result = result.model_copy(update={"cooccurrence": record})
    result.save(folder / "result.json")
    return result


def _point(checkpoint: Checkpoint, result: Result) -> TrajectoryPoint:
    state = checkpoint.training
    return TrajectoryPoint(
        step=checkpoint.step,
        tokens=state.get("tokens"),
        train_loss=state.get("train_loss"),
        heldout_loss=state.get("heldout_loss"),
        result=result,
    )


def _corrected(trajectory: Trajectory) -> Trajectory:
    """Holm over the checkpoints, for the headline ablation's clustered test and for the gain's."""
    points = list(trajectory.points)
    tests: list[HolmTest] = []
    gains = [p.result.gain.p_cluster if p.result.gain else None for p in points]
    cuts = [p.result.ablations[0].p_cluster if p.result.ablations else None for p in points]
    for test, values in (("gain", gains), ("ablation", cuts)):
        for i, (p, corrected) in enumerate(zip(values, holm(values), strict=True)):
            if p is None or corrected is None:
                continue
            tests.append(HolmTest(test=test, step=points[i].step, p=p, p_holm=corrected))
            if test == "ablation":
                head = points[i].result.ablations
                cut = (head[0].model_copy(update={"p_holm": corrected}), *head[1:])
                result = points[i].result.model_copy(update={"ablations": cut})
                points[i] = points[i].model_copy(update={"result": result})
    return trajectory.model_copy(update={"points": tuple(points), "holm": tuple(tests)})
