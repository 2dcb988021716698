"""`groundbench reproduce CORPUS`: the paper's study again, with a verdict on each claim."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from groundbench.api.errors import BadInputError
from groundbench.cli import console
from groundbench.cli.completion import complete_preset
from groundbench.cli.help_examples import examples
from groundbench.cli.option_values import overrides

EPILOG = examples(
    ("small models on an imported corpus", "groundbench reproduce CORPUS --out runs/reproduction"),
    ("trainings that exist already", "groundbench reproduce CORPUS --runs runs/training --out DIR"),
    ("models that see images, alone", "groundbench reproduce --images runs/image-training --out DIR"),
)


def reproduce(
    corpus: Annotated[
        Path | None,
        typer.Argument(
            help="A folder made by `groundbench tasks import childes`; may be left out with --images.",
            show_default=False,
            metavar="CORPUS",
        ),
    ] = None,
    size: Annotated[Literal["mini", "paper"], typer.Option(help="Of the models that are trained.")] = "mini",
    arch: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this preset; repeat it for several.",
            show_default="all",
            metavar="PRESET",
            autocompletion=complete_preset,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many of the published seeds.", min=1, metavar="N")] = 3,
    out: Annotated[
        Path, typer.Option(help="The folder for everything; the same command resumes in it.", metavar="DIR")
    ] = Path("runs/reproduction"),
    runs: Annotated[
        Path | None,
        typer.Option(help="Existing trainings NAME/seed-*/step-*: train nothing.", show_default=False, metavar="DIR"),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Existing trainings NAME/seed-*/step-* of models that see images.", show_default=False, metavar="DIR"
        ),
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="With --runs or --images: take trainings that ended early too.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Another value of every preset trained, as `groundbench train --set` takes it; repeat it for several.",
            show_default=False,
            metavar="KEY=VALUE",
        ),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(help="Words of the corpus to keep.", show_default="the size's", metavar="N")
    ] = None,
    docs: Annotated[
        Path | None,
        typer.Option(help="The Markdown to write.", show_default="DIR/reproduction.md", metavar="FILE"),
    ] = None,
    at_least: Annotated[
        int | None,
        typer.Option(
            help="Only nouns that the corpus shows and says at least this often.",
            min=0,
            show_default="100",
            metavar="K",
        ),
    ] = None,
    mismatches: Annotated[
        int | None,
        typer.Option(help="Other nouns for each item, drawn by the seed.", min=1, show_default="10", metavar="M"),
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="Checkpoints of a run.", min=1, show_default="8", metavar="N")
    ] = None,
    costly_points: Annotated[
        int | None, typer.Option(help="Those with ablation and lens.", min=1, show_default="3", metavar="N")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Seeds side by side.", min=1, show_default="one for each core", metavar="N"),
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Option(
            help="A command to record on the page, e.g. that of the training.", show_default=False, metavar="TEXT"
        ),
    ] = None,
    note: Annotated[
        list[str] | None,
        typer.Option(help="A sentence to record beside the commands.", show_default=False, metavar="TEXT"),
    ] = None,
) -> None:
    """Repeat the paper's study on an imported corpus: train, measure, and judge each claim.

    With --images, models that see images are measured too, or alone where CORPUS is left out.
    """
    if corpus is None and images is None:
        raise BadInputError("nothing to reproduce on: expected CORPUS, or --images DIR")
    if corpus is None and (runs or arch):
        raise BadInputError("--runs and --arch are of models trained on CORPUS, which is missing")
    from dataclasses import replace

    from groundbench.studies.paper import reproduce as make
    from groundbench.studies.paper.measure import OPTIONS
    from groundbench.studies.paper.training_plan import SEEDS

    given: dict[str, Any] = {
        "at_least": at_least,
        "mismatches": mismatches,
        "points": points,
        "costly_points": costly_points,
    }
    study = make(
        corpus,
        size=size,
        archs=arch,
        seeds=SEEDS[:seeds],
        out=out,
        runs=runs,
        images=images,
        unfinished=unfinished,
        override=overrides(changes or ()),
        vocabulary=vocabulary,
        docs=docs,
        options=replace(OPTIONS, **{name: value for name, value in given.items() if value is not None}),
        jobs=jobs,
        commands=[*(command or ()), own_command(sys.argv[1:])],
        notes=note or (),
    )
    typer.echo(study.sentence())
    console.note(f"wrote {out / 'report.html'}")


def own_command(words: list[str]) -> str:
    """Return this call for the record: without its notes, and with the names alone of files given in full."""
    kept, skip = [], False
    for word in words[words.index("reproduce") + 1 :] if "reproduce" in words else words:
        option, _, value = word.partition("=")
        is_record = option in ("--command", "--note")
        if not skip and not is_record:
            full = value if value.startswith("/") else word
            kept.append(word.removesuffix(full) + Path(full).name if full.startswith("/") else word)
        skip = is_record and not value
    return shlex.join(["groundbench", "reproduce", *kept])
