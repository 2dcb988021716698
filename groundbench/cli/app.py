"""The `groundbench` program: its commands by name, its global options and its exit codes.

`groundbench --help` imports neither torch nor any command's module: what it shows stands in `COMMANDS`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.main import get_command

from groundbench._version import __version__
from groundbench.cli.console import prepare_streams
from groundbench.cli.failures import DONE, FAULT, INTERRUPTED, explain
from groundbench.cli.help_examples import examples
from groundbench.cli.help_page import tidy
from groundbench.cli.lazy import Command, LazyGroup
from groundbench.util.workers import keep_freed_memory, multiply_reproducibly, wait_passively

MEASURE, SHARE, MODELS_AND_DATA, SETUP = "Measure", "Share", "Models and testbeds", "This installation"

COMMANDS = {
    "demo": Command("Train small models, evaluate them and write a page: start here.", MEASURE, resumes=True),
    "run": Command("Measure a model on a testbed: gain, heads, ablation, lens.", MEASURE, resumes=True),
    "trajectory": Command("Measure every checkpoint of a training run.", MEASURE, resumes=True),
    "screen": Command("Screen a model before it ships: a risk card, and a gate for pipelines.", MEASURE, resumes=True),
    "reproduce": Command("Repeat the paper's study: train, measure, and judge each claim.", MEASURE, resumes=True),
    "flow": Command("Draw which tokens a word hangs on, layer by layer.", MEASURE),
    "compare": Command("The paired, clustered difference between two results.", MEASURE),
    "report": Command("Write a run as one self-contained HTML page.", MEASURE),
    "export": Command("Write a result for other tools: CSV, LaTeX, lm-eval, every-eval-ever, the Hub.", SHARE),
    "lm-eval": Command("lm-evaluation-harness with our tasks and models.", SHARE),
    "leaderboard": Command("Check submissions and build the leaderboard's site.", SHARE),
    "train": Command("Train a model from scratch, with dense early checkpoints.", MODELS_AND_DATA, resumes=True),
    "tasks": Command("List, show and validate testbeds; import corpora.", MODELS_AND_DATA),
    "models": Command("What can be measured on a model, and why not.", MODELS_AND_DATA),
    "cache": Command("What is kept to be computed only once: list and clear it.", SETUP),
    "doctor": Command("Versions, devices, memory, optional extras, data and caches.", SETUP),
}

EPILOG = (
    examples(
        ("see it work: small models, trained and measured here in minutes", "groundbench demo --out runs/demo"),
        ("measure a model (a hub id, a folder, a .gguf file)", "groundbench run MODEL --out runs/mine"),
        ("what that would cost, without running it", "groundbench run MODEL --dry-run"),
        ("which testbeds are installed, and what one of them asks", "groundbench tasks list"),
    )
    + "\n\nEvery option is also a variable: `run --batch-tokens` is GROUNDBENCH_RUN_BATCH_TOKENS."
    + "\nExit codes: 0 done, 1 a fault while running, 2 bad input, 3 a gate failed, 130 interrupted."
)


class Commands(LazyGroup):
    """The commands of `groundbench`."""

    table = COMMANDS
    former_options: ClassVar = {"reproduce": {"--pictures": "--images"}, "train": {"--pictures": "--images"}}


@dataclass
class Session:
    """The state that a failing command needs; `ctx.obj` of every command."""

    debug: bool = False
    resumes: bool = False
    out: Path | None = None
    """Where the command keeps what it computes; None where it keeps nothing."""

    @property
    def kept(self) -> bool:
        """True where a second call would resume from what the first one wrote."""
        return self.resumes and self.out is not None and self.out.is_dir() and any(self.out.iterdir())


app = typer.Typer(
    cls=Commands,
    name="groundbench",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"auto_envvar_prefix": "GROUNDBENCH", "help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"groundbench {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Does a model's word depend on what it was shown, or only on the words around it?

    groundbench measures symbol grounding in language models: whether words are tied to what was shown
    (behaviour), which heads tie them (mechanism), and what breaks when those heads are cut (cause).
    """  # noqa: D401  the page that --help shows
    if isinstance(ctx.obj, Session):
        ctx.obj.debug = debug


def main(args: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code (contract 1); `args` default to the process' own."""
    prepare_streams()
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # transformers' bars would fill a log
    keep_freed_memory()
    wait_passively()
    multiply_reproducibly()
    session = Session()
    program = tidy(get_command(app))
    try:
        code = program.main(None if args is None else list(args), "groundbench", standalone_mode=False, obj=session)
    except typer.TyperException as error:
        return _say_usage(error)
    except Exception as error:  # the one place where errors become sentences
        return _report_error(error, session)
    if code == INTERRUPTED:
        goes_on = "; nothing was kept (--out DIR keeps what is computed)" if session.resumes else ""
        if session.kept:
            goes_on = f"; what was computed is kept in {session.out}, and the same command goes on from it"
        typer.echo(f"groundbench: interrupted{goes_on}", err=True)
    return code if isinstance(code, int) else DONE


def _report_error(error: Exception, session: Session) -> int:
    found = explain(error, kept=session.kept)
    if found is None or session.debug:
        traceback.print_exception(error)
    if found is None:
        typer.echo(f"groundbench: unforeseen {type(error).__name__}, please report it: {error}", err=True)
        return FAULT
    # Every process of a launcher says why it ends: the launcher stops the others as soon as one has.
    rank = os.environ.get("RANK", "0")
    typer.echo(f"groundbench{'' if rank == '0' else f' (process {rank})'}: {found.sentence}", err=True)
    return found.exit_code


def _say_usage(error: typer.TyperException) -> int:
    """Return a mistyped command or option: one sentence, and where its help is."""
    ctx: Any = getattr(error, "ctx", None)
    if type(error).__name__ != "NoArgsIsHelpError":  # that one has shown the help already
        path = "groundbench" if ctx is None else ctx.command_path
        message = " ".join(error.format_message().split()).rstrip(".")
        typer.echo(f"{path}: {message} (see {path} --help)", err=True)
    return error.exit_code
