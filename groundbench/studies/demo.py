"""The demonstration: three small models trained here, measured along the way, on one page.

A Transformer on the dense corpus, the same on the shuffled corpus (the null: nothing that is shown says anything of
what is said), and the paper's LSTM. What comes out is shown as measured.

A checkpoint is measured as soon as it is written, while training goes on; the first page is there after the first two.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from groundbench._version import __version__
from groundbench.api.errors import GroundbenchError
from groundbench.evaluation.trajectory import TrajectoryOptions, measure_checkpoint, trajectory
from groundbench.leaderboard import add_run, build_site, open_board
from groundbench.leaderboard.submission.reference import installed_references
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.causal.options import CausalOptions
from groundbench.report.from_directory import page_of
from groundbench.results.trajectory import Trajectory
from groundbench.training import train
from groundbench.training.presets import load_preset
from groundbench.util.atomic_files import write_text
from groundbench.util.progress import Progress
from groundbench.util.workers import usable_cores, worker_pool

TESTBED = "childworld"
PAGE = "report.html"
MEASURES = ("gain", "heads", "causal", "ablation", "lens")
CAUSES = CausalOptions(scores=("share", "contrast", "exact"), nouns=20, frames=2)
"""Forty pairs: enough where one head carries all of a gain of six nats."""
CUTS = AblationOptions(selections=("crossfit",))
"""Heads detected in an item and cut in the same one, as published, cost more than all else that is measured here."""
STEPS = 1500
"""Five seeds passed 3 nats by step 1,250, the slowest at 3.75; this leaves it room."""


@dataclass(frozen=True)
class Part:
    """One of the models: what is trained on what."""

    name: str
    preset: str
    corpus: str
    description: str
    points: tuple[float, ...]
    """Checkpoints that are measured, as parts of the training."""
    costly: tuple[float, ...] = (1.0,)
    """Those at which heads are also interchanged and cut, and the lens is read."""


PARTS = (
    Part(
        "gpt2-mini",
        "gpt2-mini",
        TESTBED,
        "A Transformer on a corpus in which what is shown is often what is said.",
        (0.0, 0.1, 0.2, 0.4, 0.6, 5 / 6, 1.0),
        (0.6, 1.0),
    ),
    Part(
        "gpt2-mini-shuffled",
        "gpt2-mini",
        f"{TESTBED}:shuffled",
        "The null: the same Transformer on a corpus whose scenes were shuffled between episodes.",
        (0.0, 0.2, 0.6, 1.0),
    ),
    Part(
        "lstm-4l-mini",
        "lstm-4l-mini",
        TESTBED,
        "The paper's plain LSTM; its held-out loss tells whether it trained.",
        (0.0, 0.2, 0.6, 1.0),
    ),
)


def demo(
    out: str | Path,
    *,
    seeds: Sequence[int] = (42,),
    steps: int = STEPS,
    jobs: int | None = None,
    first: Callable[[Trajectory, Path], None] | None = None,
) -> list[Trajectory]:
    """Train the parts, measure their checkpoints and write `report.html`; the same call resumes where it stopped.

    Args:
        out: the folder of everything: checkpoints under `training`, a folder for each part and seed, the page.
        steps: training steps of each model.
        jobs: models trained side by side, one thread each, with one more process that measures; by default one more
            than there are cores, so that no core waits while the last of them trains. With one, nothing runs side by
            side.
            A script that calls this needs `if __name__ == "__main__":`.
        first: told the first trajectory (two checkpoints) and the page that shows it, while the rest goes on.

    Raises:
        BadInputError: `out` holds another run.
        GroundbenchError: a fault while running; what was computed is kept in `out`.
    """
    folder = Path(out)
    runs = [
        Run(part, part.name if len(seeds) == 1 else f"{part.name}-seed-{seed}", folder, seed, steps)
        for seed in seeds
        for part in PARTS
    ]

    def write_first_page(run: Run) -> None:
        if first is not None:
            first(run.assemble(partly=True), folder / PAGE)

    cores = usable_cores()
    carry_out(runs, jobs or (cores + 1 if cores > 1 else 1), write_first_page)
    for run in runs:
        run.assemble()
    write_text(folder / PAGE, page_of(folder))
    write_site(folder, runs)
    return [Trajectory.load(folder / run.name) for run in runs]


@dataclass(frozen=True)
class Run:
    """One part with one seed: its training and its trajectory."""

    part: Part
    name: str
    folder: Path
    seed: int
    steps: int

    @property
    def trained(self) -> Path:
        """The folder of its checkpoints."""
        return self.folder / "training" / self.part.name / f"seed-{self.seed}"

    @property
    def options(self) -> TrajectoryOptions:
        """The checkpoints that are measured, and with what."""
        return TrajectoryOptions(
            steps=self.points,
            costly_steps=self._steps(self.part.costly),
            measures=MEASURES,
            causal=CAUSES,
            ablation=CUTS,
        )

    @property
    def points(self) -> tuple[int, ...]:
        """The steps after which it is measured."""
        return self._steps(self.part.points)

    def _steps(self, parts: Sequence[float]) -> tuple[int, ...]:
        """Return the steps of the checkpoints nearest to these parts of the training."""
        written = load_preset(self.part.preset).override({"steps": self.steps}).checkpoint_steps()
        return tuple(sorted({min(written, key=lambda step: abs(step - part * self.steps)) for part in parts}))

    def assemble(self, *, partly: bool = False) -> Trajectory:
        """Write the trajectory of what was measured, and the page that shows it.

        Args:
            partly: of the checkpoints that were measured so far.
        """
        folder = self.folder / self.name
        options = self.options
        if partly:
            there = tuple(s for s in self.points if (folder / f"step-{s:06d}" / "measured.json").is_file())
            options = replace(options, steps=there)
        found = trajectory(
            self.trained,
            TESTBED,
            out=folder,
            options=options,
            name=self.name,
            description=self.part.description,
        )
        if partly:
            write_text(self.folder / PAGE, page_of(self.folder))
        return found

    def progress(self) -> tuple[int, int]:
        """Count the steps trained and the checkpoints measured so far, as the folder tells."""
        steps = [int(p.name.removeprefix("step-")) for p in self.trained.glob("step-*")]
        return max(steps, default=0), len(list((self.folder / self.name).glob("step-*/result.json")))


def write_site(folder: Path, runs: Sequence[Run]) -> None:
    """Return the leaderboard of these models under `site`, each a submission like anybody's, checked like anybody's."""
    shutil.rmtree(folder / "board", ignore_errors=True)
    (folder / "board" / "entries").mkdir(parents=True)
    board = open_board(folder / "board", installed_references)
    for run in runs:
        environment = Trajectory.load(folder / run.name).last.environment
        card = {
            "model": run.name,
            "licence": "Apache-2.0",
            "hardware": f"{os.cpu_count()} CPU cores",
            "submitter": "groundbench demo",
            "commit": environment.git or f"v{__version__}",
            "notes": run.part.description,
        }
        path = folder / "board" / "cards" / f"{run.name}.yaml"
        write_text(path, yaml.safe_dump(card, sort_keys=False))
        add_run(board, folder / run.name, path, run.name, TESTBED)
    refused = build_site(board, folder / "site")
    if refused:
        raise GroundbenchError(f"the demo's own submission was refused: {refused[0]}")


def carry_out(runs: Sequence[Run], jobs: int, begun: Callable[[Run], None]) -> None:
    """Train `jobs` runs at a time in processes of one thread each, and measure their checkpoints beside them.

    The first failure is raised once all that had begun have ended.

    Args:
        begun: told the first run of which two checkpoints are measured.
    """
    work = _Work(list(runs), jobs)
    broken = "a process ended abruptly (out of memory?); the same command goes on"
    with worker_pool(work.most, broken=broken) as pool, Progress("", len(work.waiting)) as bar:
        while work.waiting or work.running:
            for task in work.ready():
                work.running[pool.submit(carry_out_task, task)] = task
            ended, _ = wait(work.running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                work.done.append(work.running.pop(future))
                future.result()
            bar.advance(len(ended))
            bar.describe("; ".join(dict.fromkeys(_progress_text(task.run) for task in work.running.values())))
            if ended and work.is_first_page():
                begun(runs[0])


@dataclass(frozen=True)
class Task:
    """The training of a run, or the measurement of its checkpoint after a step."""

    run: Run
    step: int | None = None

    @property
    def is_ready(self) -> bool:
        """True for a training, and for a checkpoint that has been written."""
        return self.step is None or (self.run.trained / f"step-{self.step:06d}").is_dir()


class _Work:
    """The work that is left, in order: measurements as soon as they can be made, trainings as long as there is room."""

    def __init__(self, runs: list[Run], jobs: int) -> None:
        self.jobs, self.most = jobs, jobs + 1 if jobs > 1 else 1
        self.waiting = [Task(run, step) for run in runs for step in run.points] + [Task(run) for run in runs]
        self.running: dict[Future[None], Task] = {}
        self.done: list[Task] = []
        self.first, self._shown = runs[0], False

    def ready(self) -> list[Task]:
        """Return and take out what can begin now."""
        found: list[Task] = []
        for task in list(self.waiting):
            busy = [*self.running.values(), *found]
            training = sum(t.step is None for t in busy)
            left = any(t.step is None for t in self.waiting)
            if len(busy) >= (self.most if training or left else self.jobs):
                break
            if task.is_ready and (task.step is not None or training < self.jobs):
                found.append(task)
                self.waiting.remove(task)
        return found

    def is_first_page(self) -> bool:
        """Return True once: when two checkpoints of the first run are measured."""
        measured = sum(t.step is not None and t.run == self.first for t in self.done)
        seen, self._shown = self._shown, self._shown or measured >= 2
        return self._shown and not seen


def _progress_text(run: Run) -> str:
    steps, measured = run.progress()
    return f"{run.name}: {measured} measured" if measured else f"{run.name}: step {steps}"


def carry_out_task(task: Task) -> None:
    """Train a run, or measure one of its checkpoints, in this process."""
    run = task.run
    if task.step is None:
        train(run.part.preset, run.part.corpus, run.trained.parent, seeds=(run.seed,), steps=run.steps, threads=1)
    else:
        measure_checkpoint(run.trained, task.step, TESTBED, out=run.folder / run.name, options=run.options)
