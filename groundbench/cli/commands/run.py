"""`groundbench run MODEL`: measure a model on a testbed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundbench.cli import console
from groundbench.cli.help_examples import examples
from groundbench.cli.load_options import LoadOptions
from groundbench.cli.option_groups import expand_option_groups
from groundbench.cli.options import AsJson, Explain, Force, Model, Out, Testbed, TryIt
from groundbench.cli.run_options import RunOptions
from groundbench.cli.tables.result import show_result
from groundbench.results.text.sentences import null_controls

if TYPE_CHECKING:
    from pathlib import Path

    from groundbench.evaluation.dry_run import DryRun
    from groundbench.results.run import Result

NULL_CONTROLS = "Null controls"
EPILOG = examples(
    (
        "gain and heads on the model's own testbed",
        "groundbench run CHECKPOINT --out runs/mine",
    ),
    (
        "the whole ladder of a pretrained model: gain, heads and causes of every form",
        "groundbench run MODEL --out DIR",
    ),
    ("behaviour only", "groundbench run MODEL --measure gain --out DIR"),
    (
        "a quick look: one form, 20 nouns, 5 mismatches",
        "groundbench run MODEL --env-form word --limit 20 --mismatches 5",
    ),
    (
        "the ladder's null control: every noun in another noun's form",
        "groundbench run MODEL --shuffle-forms --measure gain",
    ),
    ("how long it will take", "groundbench run MODEL --dry-run"),
)


@expand_option_groups
def run(
    model: Model,
    *,
    testbed: Testbed = None,
    options: RunOptions,
    out: Out = None,
    force: Force = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what this command would measure and how long it would take, and stop."),
    ] = False,
    try_it: TryIt = False,
    as_json: AsJson = False,
    explain: Explain = False,
    shuffle_forms: Annotated[
        bool,
        typer.Option(
            "--shuffle-forms",
            help="Show every noun in another noun's form: the gain must be 0.",
            rich_help_panel=NULL_CONTROLS,
        ),
    ] = False,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights",
            help="The same architecture with random weights, drawn by the seed: the gain must be 0.",
            rich_help_panel=NULL_CONTROLS,
        ),
    ] = False,
    loading: LoadOptions,
) -> None:
    """Measure a model: does a noun become less surprising when it was shown?

    The gain is the mean surprisal (nats) of a noun after another noun was shown, minus after it was shown itself.
    Results are written to --out as they come, and an interrupted run goes on from them to identical numbers.
    Under `accelerate launch -m groundbench run …` or `torchrun` the items are spread over the processes.
    """
    asked: dict[str, Any] = {
        "load": loading.load(),
        "shuffle_forms": shuffle_forms,
        "random_weights": random_weights,
        "at_least": options.at_least,
    }
    if dry_run:
        from groundbench.evaluation.dry_run import dry_run as plan
        from groundbench.evaluation.options import Options

        _show_plan(plan(model, testbed, options=Options(**options.as_keywords()), timed=try_it, **asked), as_json)
        return
    from groundbench.engine import distributed
    from groundbench.evaluation.evaluate import evaluate

    with distributed.process_group() as team:  # one process, unless a launcher started several
        result = evaluate(model, testbed, out=out, force=force, **options.as_keywords(), **asked)
    if team.first:
        said = {"--testbed": testbed, "--env-form": options.env_form, "--limit": options.limit}
        subject = [model, *(word for option, value in said.items() for word in _words(option, value))]
        _show(result, shlex.join(subject), out, as_json, explain)


def _words(option: str, value: object) -> list[str]:
    """Return an option of the command line with each of its values; nothing where it was not given."""
    values = value if isinstance(value, list) else [value] if value is not None else []
    return [word for one in values for word in (option, str(one))]


def _show(result: Result, subject: str, out: Path | None, as_json: bool, explain: bool) -> None:
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
    else:
        show_result(result, explain=explain)
    if out is None:
        console.note("nothing was written: give --out DIR to keep the result and the table of items")
    else:
        console.note(f"wrote {out / 'result.json'} and items.parquet")
    console.note(f"next: {_next_step(result, subject, out)}")


def _next_step(result: Result, subject: str, out: Path | None) -> str:
    """Return the command that a reader of this result wants most."""
    if out is not None and null_controls(result):
        return f"groundbench compare RUN {out}   (RUN: the run that this controls)"
    if out is not None:
        return f"groundbench report {out}   (a page)"
    if null_controls(result):
        return "the same command with --out DIR, then groundbench compare RUN DIR"
    return f"groundbench run {subject} --shuffle-forms --measure gain   (a null control: its gain must be 0)"


def _show_plan(plans: list[DryRun], as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        console.show_json([asdict(p) for p in plans])
        return
    console.show_table(
        ("ENV form", "nouns", "frames", "contexts", "batches", "tokens", "about", "cache"),
        [
            (
                p.form,
                str(p.n_nouns),
                str(p.n_frames),
                f"{p.contexts:,}",
                f"{p.batches:,}",
                f"{p.tokens:,}",
                console.duration(p.seconds),
                f"{p.cache_bytes / 2**20:,.0f} MiB",
            )
            for p in plans
        ],
        title="Scoring: one forward pass for each context reads all targets",
        right=("nouns", "frames", "contexts", "batches", "tokens", "about", "cache"),
    )
    console.show_table(
        ("ENV form", "measure", "step", "passes", "about"),
        [
            (
                p.form,
                s.measure,
                s.what,
                "-" if s.passes is None else f"{s.passes:,}",
                "-" if s.seconds is None else console.duration(s.seconds),
            )
            for p in plans
            for s in p.steps
        ],
        title="Measures: contexts run at most",
        right=("passes", "about"),
    )
    totals: dict[str, float] = {}
    for plan in plans:
        for step in plan.steps:
            totals[step.measure] = totals.get(step.measure, 0.0) + (step.seconds or 0.0)
    parts = "; ".join(f"{measure}: {console.about(seconds)}" for measure, seconds in totals.items())
    console.out().print(f"{parts}; in all {console.about(sum(totals.values()))}, {plans[0].basis}")
