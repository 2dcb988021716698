"""`groundbench lm-eval`: lm-evaluation-harness' own command line, which then knows our tasks and models."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from groundbench.cli.help_examples import examples

EPILOG = examples(
    ("every form of the ladder, on lm-eval's own backend", "groundbench lm-eval --model hf --tasks groundbench ..."),
    ("on ours, with one pass for each context", "groundbench lm-eval --model groundbench --tasks groundbench ..."),
    ("with head counts and ablation", "groundbench lm-eval --model groundbench --tasks groundbench_full_word ..."),
    ("for lm-eval itself", "lm-eval run --include_path $(groundbench lm-eval --print-include-path) ..."),
    ("lm-eval's results as a result of ours", "groundbench lm-eval --convert results_X.json --out runs/from-lm-eval"),
)

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    "lm-eval",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def lm_eval(
    args: Annotated[
        list[str] | None, typer.Argument(metavar="ARGS", help="What `lm-eval` takes, its commands and options.")
    ] = None,
    print_include_path: Annotated[
        bool, typer.Option("--print-include-path", help="Print the folder of our task files and stop.")
    ] = False,
    convert: Annotated[
        Path | None,
        typer.Option(
            help="Read a results_*.json of lm-eval (and the samples beside it) as a result of ours.", metavar="FILE"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --convert: the directory for result.json.", metavar="DIR")
    ] = None,
) -> None:
    """Run lm-evaluation-harness with our tasks, our models and our architectures known to it.

    Our own options come first; all others are passed to lm-eval as they are.
    """
    if print_include_path:
        from groundbench.integrations.lm_eval import include_path

        typer.echo(str(include_path()))
    elif convert is not None:
        _convert(convert, out)
    else:
        _run(args or [])


def _run(args: list[str]) -> None:
    from groundbench.api.errors import BadInputError

    if find_spec("lm_eval") is None:
        raise BadInputError("groundbench lm-eval needs lm-evaluation-harness: pip install 'groundbench[lm-eval]'")
    from groundbench.integrations.lm_eval.command import run

    code = run(args)
    if code:
        raise typer.Exit(code)


def _convert(results: Path, out: Path | None) -> None:
    from groundbench.integrations.lm_eval.convert import read_lm_eval

    result = read_lm_eval(results)
    if out is None:
        typer.echo(result.model_dump_json(indent=1))
        return
    result.save(out / "result.json")
    typer.echo(str(out / "result.json"))
