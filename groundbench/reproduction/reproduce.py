"""The whole study in one call: train, measure, decide, write."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from groundbench.errors import BadInputError
from groundbench.reproduction import page
from groundbench.reproduction.claims import claims_of
from groundbench.reproduction.figures import write_figures
from groundbench.reproduction.measure import OPTIONS, measure_runs
from groundbench.reproduction.plan import SEEDS, SIZES, SizeName, plan_parts, train_parts
from groundbench.reproduction.runs import Run, find_runs
from groundbench.result import write_atomic
from groundbench.tasks.importers import load_manifest
from groundbench.tasks.importers.selection import AT_LEAST
from groundbench.trajectory import TrajectoryOptions

VERDICTS = "verdicts.json"
PAGE = "report.html"


def reproduce(
    corpus: str | Path,
    *,
    size: SizeName = "mini",
    archs: Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS[:3],
    out: str | Path = "reproduction",
    runs: str | Path | None = None,
    docs: str | Path | None = None,
    options: TrajectoryOptions = OPTIONS,
    jobs: int | None = None,
    commands: Sequence[str] = (),
) -> page.Study:
    """Train what is not trained, measure what is not measured, and write the report; the same call goes on.

    Args:
        corpus: an imported corpus folder; also where a corpus that existing runs were trained on lies now.
        size: `mini` for two cores, `paper` for the published sizes.
        archs: only these presets of the size.
        out: gets trainings, measurements, `report.html`, `verdicts.json`, and `reproduction.md` without `docs`.
        runs: existing trainings DIR/NAME/seed-*/step-* to measure instead of training; what is unfinished is left out.
        docs: the Markdown file to write; its plots go to `images/reproduction` beside it.
        options: what is measured of a model with heads.
        jobs: seeds trained and measured side by side; as many as there are cores by default. A script that calls this
            with several jobs needs `if __name__ == "__main__":`.
        commands: what was run, for the record.

    Raises:
        BadInputError: no corpus, no finished run, a run trained on another corpus, or an unknown name.
    """
    folder, out = Path(corpus), Path(out)
    manifest = load_manifest(folder)
    jobs = max(1, jobs or os.cpu_count() or 1)
    where = out / "training" if runs is None else Path(runs)
    if runs is None:
        train_parts(plan_parts(SIZES[size], archs, seeds), SIZES[size], folder, where, jobs)
    found = _in_order([run for run in find_runs(where) if not archs or run.preset["name"] in archs])
    for run in found:
        if run.corpus.get("digest") != manifest.digest:
            raise BadInputError(
                f"{where / run.name}: trained on another corpus than {folder}; expected one for all runs"
            )
    options = replace(options, corpus=folder)
    measured = measure_runs(found, out / "measured", options, jobs)
    threshold = AT_LEAST if options.at_least is None else options.at_least
    study = page.Study(tuple(measured), tuple(claims_of(measured)), folder, tuple(commands), threshold)
    _write(study, out, out / "reproduction.md" if docs is None else Path(docs))
    return study


def _in_order(runs: Sequence[Run]) -> list[Run]:
    """Transformers, Mamba-2, their null, then LSTMs; by name within each."""
    if not runs:
        raise BadInputError("no finished training of the architectures asked for")
    order = ("transformer", "mamba2", "lstm")
    return sorted(runs, key=lambda r: (r.kind == "lstm", r.shuffled, order.index(r.kind), r.name))


def _write(study: page.Study, out: Path, docs: Path) -> None:
    write_atomic(out / PAGE, page.html(study))
    write_atomic(out / VERDICTS, json.dumps([asdict(c) for c in study.claims], indent=1) + "\n")
    images = docs.parent / "images" / "reproduction"
    figures = write_figures(study.measured, images)
    write_atomic(docs, page.markdown(study, figures, "images/reproduction"))
