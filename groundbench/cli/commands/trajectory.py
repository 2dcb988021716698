"""`groundbench trajectory CHECKPOINTS`: the same measurements at every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from groundbench.cli import console
from groundbench.cli.help_examples import examples
from groundbench.cli.load_options import LoadOptions
from groundbench.cli.option_groups import expand_option_groups
from groundbench.cli.options import AsJson, Explain, Force, Testbed
from groundbench.cli.run_options import RunOptions

EPILOG = examples(
    ("a model trained by `groundbench train`", "groundbench trajectory runs/gpt2/seed-42 --out runs/gpt2-measured"),
    ("gain alone, at ten checkpoints", "groundbench trajectory CHECKPOINTS --measure gain --points 10 --out DIR"),
    ("all seeds of a run, and their mean", "groundbench trajectory runs/gpt2 --out runs/gpt2-measured"),
    ("revisions of a repository on the hub", "groundbench trajectory ORG/NAME@step1000,step2000 --out DIR"),
    ("then the page", "groundbench report runs/gpt2-measured"),
)


@dataclass(frozen=True)
class CheckpointOptions(RunOptions):
    """The options of a run, with another default of what is measured."""

    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            help="gain, heads, causal, ablation, lens, image; separated by commas, or repeat it.",
            show_default="all but causal",
            metavar="WHAT",
        ),
    ] = None


@expand_option_groups
def trajectory(
    checkpoints: Annotated[
        Path,
        typer.Argument(
            help="A folder of step-* folders, or of seed-* folders that hold them; or org/name@step1000,step2000.",
            show_default=False,
            metavar="CHECKPOINTS",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The folder for trajectory.json and each checkpoint's run directory; the same command resumes in it.",
            show_default=False,
            metavar="DIR",
        ),
    ],
    *,
    testbed: Testbed = None,
    options: CheckpointOptions,
    points: Annotated[
        int | None,
        typer.Option(help="At most this many checkpoints, evenly spaced.", min=1, show_default="all", metavar="N"),
    ] = None,
    costly_points: Annotated[
        int, typer.Option(help="At most this many of them get ablation, lens and image.", min=1, metavar="N")
    ] = 4,
    force: Force = False,
    as_json: AsJson = False,
    explain: Explain = False,
    loading: LoadOptions,
) -> None:
    """Measure every checkpoint of a training run: when grounding emerges, and what carries it.

    Gain and heads at each checkpoint, ablation and lens at some, the regression on co-occurrence where the training
    corpus is known, and tests corrected over the checkpoints. Of several seeds, each one's trajectory and
    aggregate.json: means with t-intervals over seeds.
    """
    from groundbench.cli.tables.trajectory import show_seeds, show_trajectories
    from groundbench.evaluation.seeds import seed_folders, trajectories
    from groundbench.evaluation.trajectory import TrajectoryOptions
    from groundbench.evaluation.trajectory import trajectory as measure_all

    asked = TrajectoryOptions(
        **options.as_keywords(),
        points=points,
        costly_points=costly_points,
        at_least=options.at_least,
        load=loading.load(),
    )
    if len(seed_folders(checkpoints)) > 1:
        mean = trajectories(checkpoints, testbed, out=out, options=asked, force=force)
        if as_json:
            typer.echo(mean.model_dump_json(indent=1))
        else:
            show_seeds(mean, explain=explain)
        console.note(f"wrote {out / 'aggregate.json'}")
        console.note(f"next: groundbench report {out}   (a page)")
        return
    done = measure_all(checkpoints, testbed, out=out, options=asked, force=force)
    if as_json:
        typer.echo(done.model_dump_json(indent=1))
    else:
        show_trajectories([done], explain=explain)
    console.note(f"wrote {out / 'trajectory.json'}")
    console.note(f"next: groundbench report {out}   (a page)")
