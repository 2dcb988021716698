"""`groundbench train PRESET`: train a model from scratch, with dense early checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundbench.cli import console
from groundbench.cli.completion import complete_preset
from groundbench.cli.help_examples import examples
from groundbench.cli.option_values import numbers, overrides

if TYPE_CHECKING:
    from groundbench.training.presets import Preset

EPILOG = examples(
    ("train, with the checkpoints in runs/gpt2/seed-42", "groundbench train gpt2-mini --out runs/gpt2"),
    ("three seeds, two at a time", "groundbench train gpt2-mini --out runs/three --seeds 42,142,242 --jobs 2"),
    ("the null: what is shown says nothing of what is said", "groundbench train gpt2-mini --out DIR --shuffle-env"),
    ("on transcripts you imported", "groundbench train gpt2-mini --corpus corpora/brown --vocabulary 8000 --out DIR"),
    ("any value of the preset", "groundbench train gpt2-mini --out DIR --lr 3e-3 --set config.n_layer=6"),
    ("a model that sees, on a DINOv2 you have", "groundbench train vlm-mini --vision DINOV2 --out DIR"),
    ("what there is to train", "groundbench train --list"),
)

CORPUS, RECIPE, SIGHT, MACHINE = (
    "The corpus",
    "In place of the preset's values",
    "For a model that sees images",
    "This machine",
)


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
        typer.Argument(
            help="A preset's name or a YAML file with one preset.",
            metavar="PRESET",
            show_default=False,
            autocompletion=complete_preset,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The folder for the checkpoints; the same command resumes in it.", metavar="DIR", show_default=False
        ),
    ],
    corpus: Annotated[
        str | None,
        typer.Option(
            help="A testbed with a training corpus, or the folder of an imported one.",
            metavar="CORPUS",
            show_default="the preset's: childworld, or image-dialogue for one that sees",
            rich_help_panel=CORPUS,
        ),
    ] = None,
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
    images: Annotated[
        int | None,
        typer.Option(
            help="Distinct images of a corpus of images.",
            min=2,
            metavar="N",
            show_default="3000",
            rich_help_panel=CORPUS,
        ),
    ] = None,
    shuffle_env: Annotated[
        bool,
        typer.Option(
            "--shuffle-env", help="Shuffle what is shown between episodes: the null control.", rich_help_panel=CORPUS
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
    vision: Annotated[
        str | None,
        typer.Option(
            help="A pretrained image encoder, frozen: a DINOv2 hub id or folder.",
            metavar="MODEL",
            show_default="the preset's",
            rich_help_panel=SIGHT,
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="A pretrained language model, frozen: a hub id, a folder or a .gguf file.",
            metavar="MODEL",
            show_default="the preset's",
            rich_help_panel=SIGHT,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="The folder for the encoder's features of each image; runs share it.",
            metavar="DIR",
            show_default="groundbench/pictures in your cache folder",
            rich_help_panel=SIGHT,
        ),
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the layers: faster after a minute; numbers differ by rounding.",
            rich_help_panel=MACHINE,
        ),
    ] = False,
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
    values = overrides(override or [])
    chosen = numbers("--seeds", seeds)
    sight = {"vision": vision, "language": language, "cache": None if cache is None else str(cache)}
    values |= {f"pictures.{key}": value for key, value in sight.items() if value is not None}
    if compiled:
        values["compile"] = True
    from groundbench.engine import distributed
    from groundbench.training.corpus import default_corpus, load_corpus

    recipe = _recipe(preset, vision)
    text = load_corpus(
        corpus or default_corpus(recipe),
        density=density,
        vocabulary=vocabulary,
        pictures=images,
        shuffle_env=True if shuffle_env else None,
    )
    from groundbench.training.launch import train as train_seeds

    paths = train_seeds(
        recipe,
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
    if distributed.rank() == 0:  # of several processes the first one speaks
        _show_last(paths)


def _recipe(name: str, vision: str | None) -> Preset:
    """Return the preset, or the one that replaces it where no image encoder is given, and print a note."""
    from groundbench.training.presets import load_preset

    preset = load_preset(name)
    instead = None if preset.pictures is None or vision or preset.pictures.vision else preset.pictures.otherwise
    if instead is None:
        return preset
    console.note(f"{preset.name} reads images through a pretrained encoder and none is given (--vision DINOV2)")
    console.note(f"training {instead} instead: its small encoder is trained along, from scratch")
    return load_preset(instead)


def _show_last(paths: list[Path]) -> None:
    """Return the last checkpoint of each seed with its losses."""
    import json

    last = {path.parent: path for path in paths}
    rows = []
    for path in last.values():
        state = json.loads((path / "training.json").read_text(encoding="utf-8"))
        losses = (console.nats(state["train_loss"]), console.nats(state["heldout_loss"]))
        rows.append((str(state["seed"]), str(state["step"]), *losses, str(path)))
    columns = ("seed", "step", "training loss", "held-out loss", "checkpoint")
    console.show_table(columns, rows, right=columns[:4])
