"""`groundbench report`: a run, a trajectory, a screening or a demo as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundbench.cli.completion import complete_run
from groundbench.cli.help_examples import examples

EPILOG = examples(
    ("one run", "groundbench report runs/mine"),
    ("training runs side by side: a folder of trajectories", "groundbench report runs/demo --out demo.html"),
)


def report(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A directory of a run, a trajectory or a screening, or a folder of trajectories.",
            autocompletion=complete_run,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The page to write; by default DIR/report.html.")] = None,
) -> None:
    """Write a run as one self-contained HTML page.

    The page needs no network and runs no scripts. Where DIR holds a result.json it shows that run; where it or its
    folders hold a trajectory.json, training runs side by side; where it holds a card.json, a screening.
    """
    from groundbench.report.from_directory import page_of
    from groundbench.util.atomic_files import write_text

    target = out or directory / "report.html"
    write_text(target, page_of(directory))
    typer.echo(str(target))
