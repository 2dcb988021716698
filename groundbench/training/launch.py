"""Training as one call: a preset, a corpus, a folder, and one or several seeds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

import torch

from groundbench.api.errors import BadInputError
from groundbench.training.corpus import default_corpus, load_corpus
from groundbench.training.presets import Preset, load_preset
from groundbench.training.progress_log import Watch
from groundbench.training.run_folder import SeedFolder, refuse_other_run
from groundbench.training.trainer import train_seed
from groundbench.util.workers import worker_pool

if TYPE_CHECKING:
    from groundbench.training.corpus import Corpus, ImageCorpus


def train(
    preset: str | Path | Preset,
    corpus: str | Corpus | ImageCorpus | None,
    out: str | Path,
    *,
    seeds: Sequence[int] = (42,),
    steps: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    length: int | None = None,
    override: Mapping[str, object] | None = None,
    jobs: int = 1,
    threads: int | None = None,
    device: str = "auto",
) -> list[Path]:
    """Train a preset on a corpus; the same call resumes a run that was stopped (protocol §6).

    Args:
        preset: a preset's name, a YAML file with one preset, or a Preset.
        corpus: a testbed's name (`childworld`, `childworld:shuffled`), a Corpus or a ImageCorpus; None: the
            preset's own.
        out: the folder of the run; each seed has a folder of checkpoints in it.
        steps: in place of the preset's value.
        lr: learning rate, in place of the preset's value.
        batch_size: in place of the preset's value.
        length: tokens of a row, in place of the preset's value.
        override: any other value of the preset by dotted key, as in `{"config.n_layer": 6}`.
        jobs: processes that train seeds side by side. Small models are best trained with as many jobs as cores, one
            thread each. A script that calls this with several jobs needs `if __name__ == "__main__":`, and the
            corpus must be picklable.
        threads: torch threads of each process; None is torch's choice for one job, a fair share for several.
        device: `auto` (what accelerate finds) or `cpu`.

    Returns:
        The checkpoints' folders, by seed, then by step.

    Raises:
        BadInputError: an unknown preset or corpus, a value of the wrong kind, or a folder that holds another run.
        GroundbenchError: the loss is not finite, the disk is full, or a process died.

    Example:
        >>> import groundbench
        >>> size = {"config.n_layer": 1, "config.n_head": 2, "config.n_embd": 16}  # smaller than the preset's
        >>> folders = groundbench.train(
        ...     "gpt2-mini", "childworld", "runs/tiny", steps=2, batch_size=2, length=32, override=size
        ... )
        >>> folders[-1].name
        'step-000002'
    """
    named = {"steps": steps, "optimisation.lr": lr, "batch_size": batch_size, "length": length}
    given = {key: value for key, value in named.items() if value is not None}
    recipe = load_preset(preset).override({**given, **(override or {})})
    _check(seeds, jobs, threads, device)
    text = load_corpus(corpus or default_corpus(recipe)) if corpus is None or isinstance(corpus, str) else corpus
    identity = {"preset": recipe.identity(), "corpus": text.identity(), **_pretrained_identity(recipe)}
    refuse_other_run(Path(out), identity)
    folders = {seed: SeedFolder(Path(out), seed, identity) for seed in seeds}
    with Watch(recipe.name, seeds, recipe.steps) as watch:
        if jobs == 1 or len(seeds) == 1:
            with _threads(threads):
                found = [train_seed(recipe, text, f, s, device=device, report=watch) for s, f in folders.items()]
        else:
            found = _side_by_side(recipe, text, folders, min(jobs, len(seeds)), threads, device, watch)
    return [path for paths in found for path in paths]


def _pretrained_identity(preset: Preset) -> dict[str, object]:
    """Return the fingerprints of the weights that a preset does not train."""
    if preset.pictures is None:
        return {}
    from groundbench.adapters.architectures.llava import source_fingerprint

    sources = {"vision": preset.pictures.vision, "language": preset.pictures.language}
    return {"pretrained": {k: None if v is None else source_fingerprint(v) for k, v in sources.items()}}


def _check(seeds: Sequence[int], jobs: int, threads: int | None, device: str) -> None:
    if not seeds or len(set(seeds)) != len(seeds):
        raise BadInputError(f"seeds: expected at least one, each once, found {list(seeds)}")
    if min(seeds) < 0:
        raise BadInputError(f"seeds: expected none below 0, found {min(seeds)}")
    if jobs < 1 or (threads is not None and threads < 1):
        raise BadInputError(f"jobs and threads must be at least 1, found {jobs} and {threads}")
    if device not in ("auto", "cpu"):
        raise BadInputError(f"unknown device {device!r}: expected auto or cpu")
    if jobs > 1 and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BadInputError("several jobs cannot run under a launcher of several processes; expected jobs=1")


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _side_by_side(
    preset: Preset,
    corpus: Corpus | ImageCorpus,
    folders: Mapping[int, SeedFolder],
    jobs: int,
    threads: int | None,
    device: str,
    watch: Watch,
) -> list[list[Path]]:
    """Train seeds in several processes. One that fails does not stop the others; the first failure is raised."""
    lines = get_context("spawn").Queue()
    share = threads or max(1, torch.get_num_threads() // jobs)
    broken = "a training process ended abruptly (out of memory?); the same command goes on where it stopped"
    with worker_pool(jobs, threads=share, broken=broken, begin=_keep_queue, args=(lines,)) as pool:
        futures = [pool.submit(_train_in_worker, preset, corpus, f, s, device) for s, f in folders.items()]
        waiting: set[Future[list[Path]]] = set(futures)
        while waiting:
            _, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            _drain(lines, watch)
        return [future.result() for future in futures]


def _drain(lines: Any, watch: Watch) -> None:
    while True:
        try:
            watch(*lines.get_nowait())
        except Empty:
            return


_worker: dict[str, Any] = {}


def _keep_queue(lines: Any) -> None:
    _worker.update(lines=lines)


def _tell_parent(seed: int, record: Mapping[str, Any]) -> None:
    _worker["lines"].put((seed, dict(record)))


def _train_in_worker(
    preset: Preset, corpus: Corpus | ImageCorpus, folder: SeedFolder, seed: int, device: str
) -> list[Path]:
    return train_seed(preset, corpus, folder, seed, device=device, report=_tell_parent)
