"""The measurements over a folder of checkpoints: when grounding emerges, and what carries it (protocol §7, §11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Testbed
from groundbench.evaluation.checkpoints import (
    Checkpoint,
    find_checkpoints,
    hub_checkpoints,
    load_finished,
    measurement_key,
    note_finished,
    subsample,
    training_curve,
)
from groundbench.evaluation.defaults import choose_testbed
from groundbench.evaluation.evaluate import evaluate_with
from groundbench.evaluation.options import Options
from groundbench.evaluation.training_provenance import Trained
from groundbench.measures.gain.cooccurrence import Cooccurrence, corpus_counts, measure_cooccurrence
from groundbench.registry import open_model
from groundbench.results.items import read_items
from groundbench.results.run import Failure, Result
from groundbench.results.trajectory import FILE_NAME, HolmTest, Trajectory, TrajectoryPoint
from groundbench.stats.significance import holm
from groundbench.util.progress import Progress


@dataclass(frozen=True, kw_only=True)
class TrajectoryOptions(Options):
    """The options of measuring a training run: those of one run, and the choice of checkpoints.

    Attributes:
        measures: `image` is left out where the testbed shows no images.
        corpus: where the imported corpus that the run was trained on lies now, if not where it lay.
        points: at most this many checkpoints, evenly spaced; all if None.
        costly_points: at most this many of them get the costly measures.
        steps, costly_steps: the checkpoints after these steps in their place, as far as they are there.
        costly: the measures that only those get.
        load: options of loading a checkpoint.
        at_least: ask for the nouns that it shows and says so often; by default the published threshold (protocol §3).
    """

    measures: tuple[str, ...] = ("gain", "heads", "ablation", "lens", "image")
    points: int | None = None
    costly_points: int = 4
    steps: tuple[int, ...] | None = None
    costly_steps: tuple[int, ...] | None = None
    costly: tuple[str, ...] = ("causal", "ablation", "lens", "image")
    load: dict[str, Any] = field(default_factory=dict)
    at_least: int | None = None

    def of_run(self, measures: Sequence[str], corpus: Any) -> Options:
        """Return the options of one checkpoint."""
        kept = {f.name: getattr(self, f.name) for f in fields(Options)}
        return Options(**kept | {"measures": tuple(measures), "corpus": corpus})


def trajectory(
    checkpoints: str | Path,
    testbed: str | Testbed | None = None,
    *,
    out: str | Path,
    options: TrajectoryOptions | None = None,
    name: str | None = None,
    description: str = "",
    force: bool = False,
) -> Trajectory:
    """Measure the checkpoints of one training run; resumable, since every checkpoint has a run directory of its own.

    A checkpoint that was measured under the same options is taken as it is, without opening its model.

    Args:
        checkpoints: a folder of `step-*` folders (or of one `seed-*` folder that holds them), or revisions of a
            repository on the hub, as `org/name@step1000,step2000`.
        out: where `trajectory.json` and a folder for each checkpoint go.
        force: measure every checkpoint anew, also where `out` holds another run.

    Raises:
        BadInputError: no checkpoints, or `out` holds another run.
    """
    options = options or TrajectoryOptions()
    on_hub = "@" in str(checkpoints) and not Path(checkpoints).exists()
    found = hub_checkpoints(str(checkpoints)) if on_hub else find_checkpoints(Path(checkpoints))
    chosen, costly = _choose_checkpoints(found, options)
    if not chosen:
        raise BadInputError(f"{checkpoints}: no checkpoint after any of the steps {options.steps}")
    trained = Trained(chosen[-1].training, options.corpus, options.at_least)
    run = _Run(_testbed(testbed, chosen[-1], trained, options), trained, Path(out), options, force)
    points = []
    with Progress(f"{name or Path(checkpoints).name}: checkpoints", len(chosen)) as bar:
        for checkpoint in chosen:
            points.append(_point(checkpoint, run.result(checkpoint, run.measures(checkpoint.step in costly))))
            bar.advance()
    done = correct_p_values(
        Trajectory(
            name=name or points[-1].result.model.name,
            description=description,
            points=tuple(points),
            curve=training_curve(chosen[-1].path.parent),
        )
    )
    done.save(Path(out) / FILE_NAME)
    return done


def measure_checkpoint(
    checkpoints: str | Path, step: int, testbed: str | Testbed, *, out: str | Path, options: TrajectoryOptions
) -> None:
    """Measure one checkpoint while later ones are trained: `trajectory` of the same arguments then takes its result.

    Args:
        options: with `steps` and `costly_steps`, since later checkpoints are not there yet.

    Raises:
        BadInputError: there is no checkpoint after this step.
    """
    found = [c for c in find_checkpoints(Path(checkpoints)) if c.step == step]
    if not found:
        raise BadInputError(f"{checkpoints}: no checkpoint after step {step}")
    _, costly = _choose_checkpoints(found, options)
    trained = Trained(found[0].training, options.corpus, options.at_least)
    run = _Run(_testbed(testbed, found[0], trained, options), trained, Path(out), options, False)
    run.result(found[0], run.measures(step in costly))


def _choose_checkpoints(found: list[Checkpoint], options: TrajectoryOptions) -> tuple[list[Checkpoint], frozenset[int]]:
    """Return the checkpoints to measure, and the steps of those that get the costly measures."""
    if options.steps is not None:
        chosen = [c for c in found if c.step in options.steps]
    else:
        chosen = found if options.points is None else subsample(found, options.points)
    if options.costly_steps is not None:
        return chosen, frozenset(options.costly_steps)
    later = [c for c in chosen if c.step > 0] or chosen  # an untrained model has nothing to cut
    return chosen, frozenset(c.step for c in subsample(later, options.costly_points))


def _testbed(asked: str | Testbed | None, last: Checkpoint, trained: Trained, options: TrajectoryOptions) -> Testbed:
    asked = asked or trained.testbed_name()
    if asked is None:
        return choose_testbed(open_model(last.model, **options.load), None)
    return trained.testbed(asked) if isinstance(asked, str) else asked


@dataclass
class _Run:
    """The checkpoints of one training run on one testbed; the corpus is counted once, and only if one is measured."""

    bed: Testbed
    trained: Trained
    out: Path
    options: TrajectoryOptions
    force: bool
    counts: tuple[Cooccurrence, ...] | None = None

    def measures(self, costly: bool) -> list[str]:
        """Return the measures of a checkpoint, by whether it gets the costly ones."""
        pictured = any(f.modality == "image" for f in self.bed.forms)
        possible = [m for m in self.options.measures if pictured or m != "image"]
        return [m for m in possible if costly or m not in self.options.costly]

    def result(self, checkpoint: Checkpoint, measures: Sequence[str]) -> Result:
        """Return a checkpoint's result: the finished one under these options, or measured now."""
        folder = self.out / checkpoint.name
        key = measurement_key(checkpoint, self.bed, self._deciding_options(measures))
        kept = None if self.force else load_finished(folder, key)
        if kept is not None:
            return kept
        corpus = self.trained.corpus(self.bed)
        measured = self._measure(checkpoint, folder, measures, corpus)
        result = self._with_cooccurrence(measured, checkpoint, folder, corpus)
        note_finished(folder, key)
        return result

    def _deciding_options(self, measures: Sequence[str]) -> dict[str, object]:
        """Return the options that decide one checkpoint's numbers, without other checkpoints and places."""
        others = {"points", "costly_points", "steps", "costly_steps", "costly", "corpus", "batch_tokens"}
        asked = {f.name: _to_json(getattr(self.options, f.name)) for f in fields(self.options) if f.name not in others}
        return asked | {"measures": list(measures), "corpus_found": self.trained.missing is None}

    def _measure(self, checkpoint: Checkpoint, folder: Path, measures: Sequence[str], corpus: Any | None) -> Result:
        adapter: Adapter = open_model(checkpoint.model, **self.options.load)
        return evaluate_with(self.options.of_run(measures, corpus), adapter, self.bed, out=folder, force=self.force)

    def _with_cooccurrence(self, result: Result, checkpoint: Checkpoint, folder: Path, corpus: Any | None) -> Result:
        if self.counts is None:
            self.counts = corpus_counts(self.bed, result, checkpoint.training, corpus)
        if self.trained.missing:
            lost = Failure(where="cooccurrence", reason=self.trained.missing)
            result = result.model_copy(update={"failures": (*result.failures, lost)})
            result.save(folder / "result.json")
        if not self.counts:
            return result
        table = read_items(folder / "items.parquet", form=result.testbed.env_form)
        record = measure_cooccurrence(table, self.counts, seed=self.options.seed, n_resamples=2_000)
        result = result.model_copy(update={"cooccurrence": record})
        result.save(folder / "result.json")
        return result


def _to_json(value: object) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _point(checkpoint: Checkpoint, result: Result) -> TrajectoryPoint:
    state = checkpoint.training
    return TrajectoryPoint(
        step=checkpoint.step,
        tokens=state.get("tokens"),
        train_loss=state.get("train_loss"),
        heldout_loss=state.get("heldout_loss"),
        result=result,
    )


def correct_p_values(trajectory: Trajectory) -> Trajectory:
    """Correct by Holm over the checkpoints the headline ablation's clustered test and the gain's."""
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
                result = points[i].result.with_headline(ablations=cut)
                points[i] = points[i].model_copy(update={"result": result})
    return trajectory.model_copy(update={"points": tuple(points), "holm": tuple(tests)})
