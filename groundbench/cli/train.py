"""`groundbench train PRESET`: train a model from scratch, with dense early checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from groundbench.cli import console
from groundbench.cli.options import examples, numbers
from groundbench.errors import BadInputError

EPILOG = examples(
    ("train, with the checkpoints in runs/gpt2/seed-42", "groundbench train gpt2-mini --out runs/gpt2"),
    ("five seeds, two at a time", "groundbench train gpt2-mini --out runs/five --seeds 42,142,242,342,442 --jobs 2"),
    ("the null: what is shown says nothing of what is said", "groundbench train gpt2-mini --out DIR --shuffle-env"),
    ("on transcripts you imported", "groundbench train gpt2-mini --corpus corpora/brown --vocabulary 8000 --out DIR"),
    ("any value of the preset", "groundbench train gpt2-mini --out DIR --lr 3e-3 --set config.n_layer=6"),
    ("what there is to train", "groundbench train --list"),
)

CORPUS, RECIPE, MACHINE = "The corpus", "In place of the preset's values", "This machine"


def _list(asked: bool) -> None:
    if asked:
        from groundbench.training.presets import load_preset, preset_names

        presets = [load_preset(name) for name in preset_names()]
        rows = [(p.name, str(p.steps), f"{p.batch_size} × {p.length}", p.description) for p in presets]
        console.show_table(("preset", "steps", "rows × tokens", ""), rows, right=("steps", "rows × tokens"))
        raise typer.Exit()


def train(
    preset: Annotated[
        str,
        typer.Argument(help="A preset's name or a YAML file with one preset.", metavar="PRESET", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Where the checkpoints go; the same command goes on in it.", metavar="DIR", show_default=False
        ),
    ],
    corpus: Annotated[
        str,
        typer.Option(
            help="A testbed with a training corpus, or the folder of an imported one.",
            metavar="CORPUS",
            rich_help_panel=CORPUS,
        ),
    ] = "childworld",
    density: Annotated[
        str | None,
        typer.Option(
            help="How often something is shown: dense, childes-like, childes-like-strict.",
            metavar="NAME",
            show_default="dense",
            rich_help_panel=CORPUS,
        ),
    ] = None,
    vocabulary: Annotated[
        int | None,
        typer.Option(
            help="Words of an imported corpus to keep, the rest is <unk>: 8000 suits the -mini sizes.",
            min=1,
            metavar="N",
            show_default="all",
            rich_help_panel=CORPUS,
        ),
    ] = None,
    shuffle_env: Annotated[
        bool,
        typer.Option(
            "--shuffle-env", help="Exchange what is shown between episodes: the null.", rich_help_panel=CORPUS
        ),
    ] = False,
    seeds: Annotated[
        str, typer.Option(help="Seeds of the initial weights and the order of the data.", metavar="S,…")
    ] = "42",
    steps: Annotated[
        int | None, typer.Option(help="Updates.", min=1, metavar="N", show_default=False, rich_help_panel=RECIPE)
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Peak learning rate.", metavar="RATE", show_default=False, rich_help_panel=RECIPE),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Rows of an update.", min=1, metavar="N", show_default=False, rich_help_panel=RECIPE),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(help="Tokens of a row.", min=2, metavar="N", show_default=False, rich_help_panel=RECIPE),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other value, by the preset's own key, e.g. optimisation.warmup_steps=200; repeat it for several.",
            metavar="KEY=VALUE",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Seeds trained side by side.", min=1, metavar="N", rich_help_panel=MACHINE)
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of each job.",
            min=1,
            metavar="N",
            show_default="all cores for one job, a share for several",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, or auto: the first GPU if any.", metavar="DEVICE", rich_help_panel=MACHINE)
    ] = "auto",
    listing: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="Show the presets and stop.")
    ] = False,
) -> None:
    """Train a small language model from scratch on a corpus whose scenes are shown and spoken of.

    Checkpoints are ordinary transformers folders, DIR/seed-42/step-000150, for `groundbench run` and `trajectory`.
    Killed at any moment, the same command goes on and ends with the same weights.
    """
    values = _values(override or [])
    chosen = numbers("--seeds", seeds)
    from groundbench.training.corpora import load_corpus

    text = load_corpus(corpus, density=density, vocabulary=vocabulary, shuffle_env=True if shuffle_env else None)
    from groundbench.training.seeds import train as train_seeds

    paths = train_seeds(
        preset,
        text,
        out,
        seeds=chosen,
        steps=steps,
        lr=lr,
        batch_size=batch_size,
        length=length,
        override=values,
        jobs=jobs,
        threads=threads,
        device=device,
    )
    _show_last(paths)


def _values(pairs: list[str]) -> dict[str, Any]:
    """`config.n_layer=6` as a key and a YAML value. Raises BadInputError."""
    import yaml

    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise BadInputError(f"--set {pair!r}: expected KEY=VALUE, e.g. optimisation.clip=0.5")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise BadInputError(f"--set {pair!r}: {value!r} is no YAML value") from None
    return values


def _show_last(paths: list[Path]) -> None:
    """The last checkpoint of each seed with its losses."""
    import json

    last = {path.parent: path for path in paths}
    rows = []
    for path in last.values():
        state = json.loads((path / "training.json").read_text(encoding="utf-8"))
        losses = (console.nats(state["train_loss"]), console.nats(state["heldout_loss"]))
        rows.append((str(state["seed"]), str(state["step"]), *losses, str(path)))
    columns = ("seed", "step", "training loss", "held-out loss", "checkpoint")
    console.show_table(columns, rows, right=columns[:4])
