"""What several commands share: options with their help, and how examples are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        help="A hub id, a folder with config.json, a .gguf file, or module:object.", show_default=False, metavar="MODEL"
    ),
]
Testbed = Annotated[
    str | None,
    typer.Option(
        help="A testbed's name (see `groundbench tasks list`) or a YAML file.",
        show_default="childworld for checkpoints trained here, ladder for any other model",
        metavar="NAME",
    ),
]
Forms = Annotated[
    list[str] | None,
    typer.Option(
        "--env-form",
        help="How the noun is shown, e.g. word or gloss; repeat it for several, or give all.",
        show_default="the testbed's own",
        metavar="FORM",
    ),
]
Limit = Annotated[
    int | None, typer.Option(help="Only this many nouns, drawn by the seed.", min=2, show_default="all", metavar="N")
]
Mismatches = Annotated[
    int | None,
    typer.Option(
        help="For each item only this many other nouns, drawn by the seed.", min=1, show_default="all", metavar="M"
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of every sample, bootstrap and draw.", metavar="S")]
BatchTokens = Annotated[
    int, typer.Option(help="Tokens in one batch; halved by itself where memory runs out.", min=1, metavar="N")
]
Dtype = Annotated[
    str | None,
    typer.Option(help="Of the weights: float32, bfloat16, float16 or auto.", show_default="float32", metavar="TYPE"),
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps.", show_default="the first accelerator, else cpu")
]
Out = Annotated[
    Path | None,
    typer.Option(help="The run directory: the same command goes on in it.", show_default=False, metavar="DIR"),
]
Force = Annotated[
    bool,
    typer.Option("--force/--resume", help="Start over in DIR, or go on with the run it holds.", show_default="resume"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def examples(*pairs: tuple[str, str]) -> str:
    """A help epilog of (what it does, command line) pairs, in rich markup."""
    lines = [f"[dim]# {what}[/dim]\n{command}" for what, command in pairs]
    return "\n".join(["[bold]Examples[/bold]", *lines])
