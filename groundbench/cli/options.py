"""Options that several commands share. Of loading: `load_options`; of a measurement: `run_options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundbench.cli.completion import complete_form, complete_testbed

SIZE = "Size"

Model = Annotated[
    str,
    typer.Argument(
        help="A hub id (also org/name@revision), a folder with config.json, a .gguf file, or module:object.",
        show_default=False,
        metavar="MODEL",
    ),
]
Testbed = Annotated[
    str | None,
    typer.Option(
        help="A testbed's name (see `groundbench tasks list`) or a YAML file.",
        autocompletion=complete_testbed,
        show_default="of a checkpoint trained here that of its corpus, else ladder",
        metavar="NAME",
    ),
]
OneForm = Annotated[
    str | None,
    typer.Option(
        "--env-form",
        help="How the noun is shown.",
        autocompletion=complete_form,
        show_default="the testbed's own",
        metavar="FORM",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of every sample, bootstrap and draw.", min=0, max=2**63 - 1, metavar="S")]
BatchTokens = Annotated[
    int,
    typer.Option(
        help="Tokens in one batch; halved by itself where memory runs out. Changes no number.",
        min=1,
        metavar="N",
        rich_help_panel=SIZE,
    ),
]
BATCH_TOKENS = 8192
"""The default of `groundbench.engine.scoring`, repeated so that help needs no torch; a test holds the two together."""

Out = Annotated[
    Path | None,
    typer.Option(help="The run directory; the same command resumes in it.", show_default=False, metavar="DIR"),
]
Force = Annotated[
    bool, typer.Option("--force/--resume", help="Start over even if DIR holds another run, or resume the run in DIR.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Also print what each column means.")]
TryIt = Annotated[bool, typer.Option("--try", help="With --dry-run: open a large model too, and time one batch of it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
