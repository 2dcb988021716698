"""The demonstration: three small models trained here, measured along the way, on one page.

A Transformer on the dense corpus, the same on the shuffled corpus (the null: nothing that is shown says anything of
what is said), and the paper's LSTM. What comes out is shown as measured.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path

import yaml

from groundbench._version import __version__
from groundbench.api.errors import GroundbenchError
from groundbench.evaluation.trajectory import TrajectoryOptions, trajectory
from groundbench.leaderboard import add_run, build_site, open_board
from groundbench.leaderboard.submission.reference import installed_references
from groundbench.report.from_directory import page_of
from groundbench.results.trajectory import Trajectory
from groundbench.training import train
from groundbench.util.atomic_files import write_text
from groundbench.util.progress import Progress
from groundbench.util.workers import worker_pool

TESTBED = "childworld"
PAGE = "report.html"
STEPS = 1500
"""Five seeds passed 3 nats by step 1,250, the slowest at 3.75; this leaves it room."""


@dataclass(frozen=True)
class Part:
    """One of the models: what is trained on what."""

    name: str
    preset: str
    corpus: str
    description: str


PARTS = (
    Part("gpt2-mini", "gpt2-mini", TESTBED, "A Transformer on a corpus in which what is shown is often what is said."),
    Part(
        "gpt2-mini-shuffled",
        "gpt2-mini",
        f"{TESTBED}:shuffled",
        "The null: the same Transformer on a corpus whose scenes were exchanged between episodes.",
    ),
    Part(
        "lstm-4l-mini", "lstm-4l-mini", TESTBED, "The paper's plain LSTM; its held-out loss tells whether it trained."
    ),
)


def demo(
    out: str | Path,
    *,
    seeds: Sequence[int] = (42,),
    steps: int = STEPS,
    points: int = 10,
    costly_points: int = 4,
    jobs: int | None = None,
) -> list[Trajectory]:
    """Train the parts, measure their checkpoints and write `report.html`; the same call goes on where it stopped.

    Args:
        out: the folder of everything: checkpoints under `training`, a folder for each part and seed, the page.
        steps: training steps of each model.
        points: at most this many checkpoints of each model are measured.
        costly_points: at most this many of them get the ablation and the lens.
        jobs: models trained and measured side by side, one thread each; as many as there are cores by default.
            A script that calls this needs `if __name__ == "__main__":`.

    Raises:
        BadInputError: `out` holds another run.
        GroundbenchError: a fault while running; what was computed is kept in `out`.
    """
    folder = Path(out)
    options = TrajectoryOptions(points=points, costly_points=costly_points)
    runs = [
        Run(part, part.name if len(seeds) == 1 else f"{part.name}-seed-{seed}", folder, seed, steps, options)
        for seed in seeds
        for part in PARTS
    ]
    carry_out(runs, max(1, jobs or os.cpu_count() or 1))
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
    options: TrajectoryOptions

    @property
    def trained(self) -> Path:
        """The folder of its checkpoints."""
        return self.folder / "training" / self.part.name / f"seed-{self.seed}"

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


def carry_out(runs: Sequence[Run], jobs: int) -> None:
    """Run everything in `jobs` processes of one thread each; the first failure is raised once all have ended."""
    broken = "a process ended abruptly (out of memory?); the same command goes on"
    with worker_pool(min(jobs, len(runs)), broken=broken) as pool:
        futures = [pool.submit(do, run) for run in runs]
        with Progress("", len(runs)) as bar:
            waiting = set(futures)
            while waiting:
                ended, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
                bar.advance(len(ended))
                bar.describe("; ".join(_told(run) for run, f in zip(runs, futures, strict=True) if f.running()))
        for future in futures:
            future.result()


def _told(run: Run) -> str:
    steps, measured = run.progress()
    return f"{run.name}: {measured} measured" if measured else f"{run.name}: step {steps}"


def do(run: Run) -> None:
    """Train and measure one run in this process."""
    train(run.part.preset, run.part.corpus, run.trained.parent, seeds=(run.seed,), steps=run.steps, threads=1)
    trajectory(
        run.trained,
        TESTBED,
        out=run.folder / run.name,
        options=run.options,
        name=run.name,
        description=run.part.description,
    )
