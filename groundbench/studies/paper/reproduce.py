"""The whole study in one call: train, measure, decide, write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.evaluation.trajectory import TrajectoryOptions
from groundbench.studies.children.run_order import RunOrder, gains_of_frames, gains_of_nouns, order_of
from groundbench.studies.paper import page
from groundbench.studies.paper.claims import claims_of
from groundbench.studies.paper.figures import write_figures, write_image_figures, write_order_figures
from groundbench.studies.paper.image_claims import claims_on_images
from groundbench.studies.paper.measure import OPTIONS, Measured, measure_images, measure_runs
from groundbench.studies.paper.runs import Run, find_runs
from groundbench.studies.paper.training_plan import SEEDS, SizeName, plan_parts, size_of, train_parts
from groundbench.tasks.corpora import load_manifest, select_nouns
from groundbench.tasks.corpora.noun_selection import AT_LEAST
from groundbench.util.atomic_files import write_text
from groundbench.util.workers import usable_cores

VERDICTS = "verdicts.json"
PAGE = "report.html"


def reproduce(
    corpus: str | Path | None = None,
    *,
    size: SizeName = "mini",
    archs: Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS[:3],
    out: str | Path = "reproduction",
    runs: str | Path | None = None,
    images: str | Path | None = None,
    unfinished: bool = False,
    override: Mapping[str, object] | None = None,
    vocabulary: int | None = None,
    docs: str | Path | None = None,
    options: TrajectoryOptions = OPTIONS,
    jobs: int | None = None,
    commands: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> page.Study:
    """Train what is not trained, measure what is not measured, and write the report; the same call resumes.

    Args:
        corpus: an imported corpus folder; also where a corpus that existing runs were trained on lies now. None:
            only `images` are measured.
        size: `mini` for two cores, `paper` for the published sizes.
        archs: only these presets of the size.
        out: gets trainings, measurements, `report.html`, `verdicts.json`, and `reproduction.md` without `docs`.
        runs: existing trainings DIR/NAME/seed-*/step-* to measure instead of training; what is unfinished is left out.
        images: trainings of models that see images, DIR/NAME/seed-*/step-*; they get a section of their own.
        unfinished: measure existing trainings that ended early as far as they came; the report says how far.
        override: other values of every preset that is trained, by dotted key.
        vocabulary: words kept of the corpus in place of the size's.
        docs: the Markdown file to write; its plots go to `images/NAME` beside it, by the file's name.
        options: what is measured of a model with heads.
        jobs: seeds trained and measured side by side; as many as there are cores by default. A script that calls this
            with several jobs needs `if __name__ == "__main__":`.
        commands: what was run, for the record.
        notes: sentences that the report carries on how it was made.

    Raises:
        BadInputError: neither corpus nor images, no finished run, a run trained on another corpus, or an unknown
            name.
    """
    out, jobs = Path(out), max(1, jobs or usable_cores())
    if corpus is None and images is None:
        raise BadInputError("nothing to measure; expected an imported corpus, or trainings of models that see images")
    if (override or vocabulary) and (corpus is None or runs is not None):
        raise BadInputError("values of presets and the vocabulary are for models that are trained; none is")
    folder = None if corpus is None else Path(corpus)
    seen = (
        [] if images is None else _images_in_order(find_runs(images, images=True, unfinished=unfinished))
    )  # before any training
    measured: list[Measured] = []
    if folder is not None:
        load_manifest(folder)  # before any training
        where = out / "training" if runs is None else Path(runs)
        if runs is None:
            asked = size_of(size, override, vocabulary)
            train_parts(plan_parts(asked, archs, seeds), asked, folder, where, jobs)
        found = _text_runs(where, folder, archs, unfinished)
        measured = measure_runs(found, out / "measured", replace(options, corpus=folder), jobs)
    measured_images = measure_images(seen, out / "measured-pictures", options, jobs)
    threshold = AT_LEAST if options.at_least is None else options.at_least
    study = page.Study(
        measured=tuple(measured),
        claims=tuple(claims_of(measured)) if measured else (),
        corpus=folder,
        commands=tuple(commands),
        notes=tuple(notes),
        at_least=threshold,
        image_runs=tuple(measured_images),
        claims_on_images=tuple(claims_on_images(measured_images)),
        orders=tuple(orders_of(measured, folder)),
    )
    _write(study, out, out / "reproduction.md" if docs is None else Path(docs))
    return study


def orders_of(measured: Sequence[Measured], corpus: Path | None) -> list[RunOrder]:
    """Compare the order in which each model's nouns ground with children's; null controls are kept, LSTMs left out."""
    if corpus is None:
        return []
    said = {v.noun: v.lan for v in select_nouns(corpus, 1).verdicts}
    runs = [m for m in measured if m.run.kind != "lstm"]
    gains = [_gains(m) for m in runs]
    found = [
        order_of(seeds, said, name=m.run.name, shuffled=m.run.shuffled) for m, seeds in zip(runs, gains, strict=True)
    ]
    return [order for order in found if order is not None]


def _gains(measured: Measured) -> list[dict[int, dict[str, list[float]]]]:
    """Return each seed's gains of nouns in their frames, at the checkpoints of its trajectory; means without items."""
    if not measured.folders:
        return [gains_of_nouns(t) for t in measured.trajectories]
    found = []
    for folder, trajectory in zip(measured.folders, measured.trajectories, strict=True):
        steps = {point.step for point in trajectory.points}
        found.append({step: gains for step, gains in gains_of_frames(folder).items() if step in steps})
    return found


def _text_runs(where: Path, corpus: Path, archs: Sequence[str] | None, unfinished: bool) -> list[Run]:
    """Return the runs of models that read text only, in order; all are of one corpus."""
    digest = load_manifest(corpus).digest
    found = _in_order(
        [run for run in find_runs(where, unfinished=unfinished) if not archs or run.preset["name"] in archs]
    )
    for run in found:
        if run.corpus.get("digest") != digest:
            raise BadInputError(
                f"{where / run.name}: trained on another corpus than {corpus}; expected one for all runs"
            )
    return found


def _images_in_order(runs: Sequence[Run]) -> list[Run]:
    """Return those trained along with their words, those of a frozen language model, the nulls; by name within each."""
    return sorted(runs, key=lambda r: (r.shuffled, r.frozen_part("language") is not None, r.name))


def _in_order(runs: Sequence[Run]) -> list[Run]:
    """Order runs: Transformers, Mamba-2, their null, then LSTMs; by name within each."""
    if not runs:
        raise BadInputError("no finished training of the architectures asked for")
    order = ("transformer", "mamba2", "lstm")
    return sorted(runs, key=lambda r: (r.kind == "lstm", r.shuffled, order.index(r.kind), r.name))


def _write(study: page.Study, out: Path, docs: Path) -> None:
    write_text(out / PAGE, page.html(study))
    claims = [asdict(c) for c in (*study.claims, *study.claims_on_images)]
    write_text(out / VERDICTS, json.dumps(claims, indent=1) + "\n")
    images = docs.parent / "images" / docs.stem
    figures = write_figures(study.measured, images) if study.measured else {}
    figures[page.CHILDREN] = write_order_figures(study.orders, images)
    figures[page.IMAGES] = write_image_figures(study.image_runs, images)
    write_text(docs, page.markdown(study, figures, f"images/{docs.stem}"))
