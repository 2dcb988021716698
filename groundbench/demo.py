"""The demonstration: three small models trained here, measured along the way, on one page.

A Transformer on the dense corpus, the same on the shuffled corpus (the null: nothing that is shown says anything of
what is said), and the paper's LSTM. What comes out is shown as measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from groundbench.report.source import page_of
from groundbench.result import write_atomic
from groundbench.result_trajectory import Trajectory
from groundbench.training import train
from groundbench.trajectory import TrajectoryOptions, trajectory

TESTBED = "childworld"
PAGE = "report.html"


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
    steps: int | None = None,
    points: int = 10,
    costly_points: int = 4,
) -> list[Trajectory]:
    """Train the parts, measure their checkpoints and write `report.html`; the same call goes on where it stopped.

    Args:
        out: the folder of everything: checkpoints under `training`, a folder for each part and seed, the page.
        steps: training steps in place of the presets'.
        points: at most this many checkpoints of each model are measured.
        costly_points: at most this many of them get the ablation and the lens.

    Raises:
        BadInputError: `out` holds another run.
        GroundbenchError: a fault while running; what was computed is kept in `out`.
    """
    folder = Path(out)
    options = TrajectoryOptions(points=points, costly_points=costly_points)
    done = []
    for part in PARTS:
        trained = folder / "training" / part.name
        train(part.preset, part.corpus, trained, seeds=seeds, steps=steps)
        for seed in seeds:
            name = part.name if len(seeds) == 1 else f"{part.name}-seed-{seed}"
            done.append(
                trajectory(
                    trained / f"seed-{seed}",
                    TESTBED,
                    out=folder / name,
                    options=options,
                    name=name,
                    description=part.description,
                )
            )
    write_atomic(folder / PAGE, page_of(folder))
    return done
