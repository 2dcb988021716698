"""`groundbench models`: what can be measured on a model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundbench.api.adapter import Estimated
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.cli import console
from groundbench.cli.help_examples import examples
from groundbench.cli.load_options import LoadOptions
from groundbench.cli.new_file import write_new
from groundbench.cli.option_groups import expand_option_groups
from groundbench.cli.options import AsJson, Model, OneForm, Testbed

if TYPE_CHECKING:
    from groundbench.api.adapter import ModelInfo
    from groundbench.evaluation.model_check import Ability

MARKS = {True: "+", False: "-", None: "?"}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    epilog=examples(
        ("a folder", "groundbench models check runs/demo/training/gpt2-mini/seed-42/step-001500"),
        ("an adapter for your own code", "groundbench models new my_model.py"),
        ("a hub id, for a program", "groundbench models check HuggingFaceTB/SmolLM2-135M --json"),
    ),
)


@app.callback()
def models() -> None:
    """Check what can be measured on a model, and why not."""


@app.command(
    epilog=examples(
        ("a bigram model to replace by your own", "groundbench models new my_model.py"),
        ("then, in the same folder", "groundbench models check my_model:make_adapter"),
    )
)
def new(
    file: Annotated[Path, typer.Argument(help="The Python file to write.", show_default=False, metavar="FILE")],
) -> None:
    """Write an adapter for a model of your own code: a working example with the methods that it must have."""
    if not file.stem.isidentifier():
        raise BadInputError(f"{file}: expected a name that Python can import, such as my_model.py")
    text = (files("groundbench.adapters") / "bigram_example.py").read_text(encoding="utf-8")
    write_new(file, text.replace("my_model", file.stem), ".py")
    console.note(f"wrote {file}; next, in its folder: groundbench models check {file.stem}:make_adapter")


@app.command(
    epilog=examples(
        ("a checkpoint trained here", "groundbench models check runs/demo/training/gpt2-mini/seed-42/step-001500"),
        (
            "whether a testbed of your own can be asked of it",
            "groundbench models check MODEL --testbed my-testbed.yaml",
        ),
    )
)
@expand_option_groups
def check(
    model: Model,
    *,
    testbed: Testbed = None,
    env_form: OneForm = None,
    try_it: Annotated[
        bool, typer.Option("--try", help="Open a large model too, and try everything on one prompt.")
    ] = False,
    as_json: AsJson = False,
    loading: LoadOptions,
) -> None:
    """Try out on one prompt what can be measured, and say why not: behaviour, heads, ablation, single heads, lens.

    Of a model with more than 64 MiB of weights only config, tokenizer and headers are read, within seconds; what they
    cannot tell is "not tried", and --try opens the model. Exit code 2 if nothing can be measured. Which families were
    verified, and how: docs/families.md.
    """
    from groundbench.evaluation.defaults import choose_testbed
    from groundbench.evaluation.model_check import find_abilities
    from groundbench.registry import describe_model, load_testbed, open_model

    if testbed is not None:
        load_testbed(testbed)  # a wrong word is refused before long work
    adapter = (open_model if try_it else describe_model)(model, **loading.load())
    bed = choose_testbed(adapter, testbed)
    found = find_abilities(adapter, bed, bed.form(env_form or bed.default_form))
    info = adapter.info
    if as_json:
        console.show_json(_as_json(info, bed.name, found))
    else:
        console.say(
            console.bold(info.name),
            f"  {info.family}: {info.architecture}, {info.parameters:,} parameters, "
            f"{info.n_layers} layers, {info.dtype} on {info.device}",
            soft_wrap=True,
        )
        unread = f" ({adapter.weights})" if isinstance(adapter, Estimated) else ""
        console.show_list(f"on {bed.name}{unread}", [(MARKS[a.works], a.name, a.detail) for a in found])
    if found[0].works is False:
        raise UnsupportedModelError(f"{info.name}: behaviour cannot be measured: {found[0].detail}")


def _as_json(info: ModelInfo, testbed: str, found: Sequence[Ability]) -> dict[str, object]:
    return {
        "model": info.name,
        "family": info.family,
        "architecture": info.architecture,
        "parameters": info.parameters,
        "layers": info.n_layers,
        "dtype": info.dtype,
        "device": info.device,
        "notes": list(info.notes),
        "testbed": testbed,
        "abilities": {a.name: {"works": a.works, "detail": a.detail} for a in found},
    }
