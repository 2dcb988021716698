"""`groundbench export`: a result in another format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundbench.cli.completion import complete_run
from groundbench.cli.help_examples import examples

if TYPE_CHECKING:
    from groundbench.results.run import Result

EPILOG = examples(
    ("a table for a paper", "groundbench export runs/mine --to latex"),
    ("for the every-eval-ever database", "groundbench export runs/mine --to every-eval-ever --out record.json"),
    ("for a model's page on the Hub", "groundbench export runs/mine --to hub --dataset ORG/NAME"),
    ("what a result.json may hold, as JSON Schema", "groundbench export --schema > result.schema.json"),
)


class Format(StrEnum):
    """The formats in which a result can be written."""

    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"
    MODEL_CARD = "model-card"
    LM_EVAL = "lm-eval"
    EVERY_EVAL_EVER = "every-eval-ever"
    HUB = "hub"


class Relationship(StrEnum):
    """The evaluator's to the model, in every-eval-ever's words."""

    FIRST = "first_party"
    THIRD = "third_party"
    TOGETHER = "collaborative"
    OTHER = "other"


def _print_schema(asked: bool) -> None:
    if asked:
        from groundbench.cli import console
        from groundbench.results.run import json_schema

        console.show_json(json_schema())
        raise typer.Exit()


def export(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A run directory or a trajectory directory.", autocompletion=complete_run),
    ],
    to: Annotated[Format, typer.Option(help="The format to write.")] = Format.CSV,
    out: Annotated[Path | None, typer.Option(help="The file to write; by default the standard output.")] = None,
    dataset: Annotated[str | None, typer.Option(help="hub: the benchmark's dataset id on the Hub, ORG/NAME.")] = None,
    organization: Annotated[str, typer.Option(help="every-eval-ever: who ran the evaluation.")] = "unknown",
    relationship: Annotated[
        Relationship, typer.Option(help="every-eval-ever: the evaluator's relationship to the model.")
    ] = Relationship.THIRD,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema", callback=_print_schema, is_eager=True, help="Print result.json's JSON Schema and stop."
        ),
    ] = False,
) -> None:
    """Write a result in the format of another tool, or as a table.

    Tables hold every checkpoint of a trajectory; the other formats its last one.
    """
    from groundbench.util.atomic_files import write_text

    text = _text(_results(directory), to, dataset, organization, relationship.value)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_text(out, text)
    typer.echo(str(out))


def _results(directory: Path) -> list[Result]:
    from groundbench.results.run import Result
    from groundbench.results.trajectory import FILE_NAME, Trajectory

    if (directory / FILE_NAME).is_file():
        return [p.result for p in Trajectory.load(directory).points]
    return [Result.load(directory)]


def _text(results: list[Result], to: Format, dataset: str | None, organization: str, relationship: str) -> str:
    import json
    import time

    from groundbench import export as formats
    from groundbench.api.errors import BadInputError

    last, now = results[-1], time.time()
    if to is Format.HUB:
        if dataset is None or dataset.count("/") != 1:
            raise BadInputError(f"--dataset is {dataset!r}; the hub format needs the benchmark's dataset id, ORG/NAME")
        return formats.to_hub(last, dataset=dataset)
    if to is Format.LM_EVAL:
        return json.dumps(formats.to_lm_eval(last, date=now), indent=2) + "\n"
    if to is Format.EVERY_EVAL_EVER:
        record = formats.to_every_eval_ever(
            last, retrieved=int(now), organization=organization, relationship=relationship
        )
        return json.dumps(record, indent=2) + "\n"
    tables = {Format.CSV: formats.to_csv, Format.MARKDOWN: formats.to_markdown, Format.LATEX: formats.to_latex}
    return formats.to_model_card(last) if to is Format.MODEL_CARD else tables[to](results)
