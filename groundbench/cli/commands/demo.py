"""`groundbench demo`: small models trained and measured here, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundbench.cli import console
from groundbench.cli.help_examples import examples
from groundbench.cli.option_values import numbers
from groundbench.cli.options import Explain

EPILOG = examples(
    ("train, measure, write runs/demo/report.html", "groundbench demo"),
    ("five seeds of each model", "groundbench demo --out runs/five --seeds 42,142,242,342,442"),
    ("only see that it runs", "groundbench demo --out runs/short --steps 100"),
)


def demo(
    out: Annotated[
        Path, typer.Option(help="The folder for everything; the same command resumes in it.", metavar="DIR")
    ] = Path("runs/demo"),
    seeds: Annotated[str, typer.Option(help="Seeds of the initial weights and the order of the data.")] = "42",
    steps: Annotated[int, typer.Option(help="Training steps of each model.", min=1, metavar="N")] = 1500,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Models trained and measured side by side.", min=1, show_default="one more than the cores", metavar="N"
        ),
    ] = None,
    explain: Explain = False,
) -> None:
    """Train a Transformer, its null control and an LSTM on a made-up world, measure them, and write a page.

    The Transformer should come to expect a noun once it was shown it; the same Transformer on a corpus whose scenes
    were shuffled cannot; the LSTM is shown as measured. Every number on the page is computed in this run. The page is
    there, with its first plot, after the first minute; the terminal ends with what was found in a few lines.
    """
    chosen = numbers("--seeds", seeds)
    from groundbench.cli.tables.demo import show_demo, show_first
    from groundbench.cli.tables.trajectory import show_trajectories
    from groundbench.studies.demo import PAGE
    from groundbench.studies.demo import demo as run_demo

    found = run_demo(out, seeds=chosen, steps=steps, jobs=jobs, first=show_first)
    if explain:
        show_trajectories(found, explain=True)
    show_demo(found)
    checkpoint = max((out / "training/gpt2-mini").glob("seed-*/step-*"), default=None)
    console.note(f"the page, with every plot: {out / PAGE}   (the leaderboard: {out / 'site' / 'index.html'})")
    if checkpoint is not None:
        console.note(f"next: groundbench run {checkpoint} --out runs/mine   (one model, in full)")
