"""The options by which every command loads a model."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer

from groundbench.api.errors import BadInputError

LOADING = "Loading the model"
SIZE_OF_MEMORY = re.compile(r"\d+(\.\d+)?([KMG]I?B)", re.IGNORECASE)


@dataclass(frozen=True)
class LoadOptions:
    """The options by which a model is loaded."""

    dtype: Annotated[
        str,
        typer.Option(
            help="float32, bfloat16 or float16; auto is float32 on the CPU and the checkpoint's own elsewhere.",
            metavar="TYPE",
            rich_help_panel=LOADING,
        ),
    ] = "auto"
    device: Annotated[
        str,
        typer.Option(
            help="cpu, cuda, cuda:1, mps; auto is the first GPU, else the CPU.",
            metavar="DEVICE",
            rich_help_panel=LOADING,
        ),
    ] = "auto"
    device_map: Annotated[
        str | None,
        typer.Option(
            help="auto spreads a large model over devices and memory (accelerate).",
            show_default=False,
            metavar="MAP",
            rich_help_panel=LOADING,
        ),
    ] = None
    max_memory: Annotated[
        str | None,
        typer.Option(
            help="With --device-map: a bound for each device, e.g. 0=20GiB,cpu=60GiB.",
            show_default=False,
            metavar="BOUNDS",
            rich_help_panel=LOADING,
        ),
    ] = None
    quantize: Annotated[
        Literal["8bit", "4bit"] | None,
        typer.Option(help="Load with bitsandbytes.", show_default=False, rich_help_panel=LOADING),
    ] = None
    bos: Annotated[
        Literal["auto", "yes", "no"],
        typer.Option(
            help="Begin each context with the BOS token; auto does as its tokenizer does.", rich_help_panel=LOADING
        ),
    ] = "auto"
    chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="Put prompts into the tokenizer's chat template, as an assistant's turn.",
            rich_help_panel=LOADING,
        ),
    ] = False
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Run the code that comes with the weights.", rich_help_panel=LOADING),
    ] = False
    revision: Annotated[
        str | None,
        typer.Option(
            help="A branch, tag or commit of a hub id; also written org/name@REVISION.",
            show_default="main",
            metavar="REVISION",
            rich_help_panel=LOADING,
        ),
    ] = None
    subfolder: Annotated[
        str | None,
        typer.Option(
            help="The model's folder in its repository; also written org/name:FOLDER or org/name@REVISION:FOLDER.",
            show_default=False,
            metavar="FOLDER",
            rich_help_panel=LOADING,
        ),
    ] = None

    def load(self) -> dict[str, Any]:
        """Return the options for an adapter; only those asked for, since an adapter need not know every option."""
        given = asdict(self) | {"max_memory": parse_max_memory(self.max_memory)}
        default = {"dtype": "auto", "device": "auto", "bos": "auto"}  # of a device map `auto` is a choice
        return {n: v for n, v in given.items() if v is not None and v is not False and v != default.get(n)}


def parse_max_memory(text: str | None) -> dict[int | str, str] | None:
    """Parse `0=20GiB,cpu=60GiB` as accelerate wants it. Raises BadInputError."""
    if text is None:
        return None
    bounds: dict[int | str, str] = {}
    for part in text.split(","):
        device, equals, size = (piece.strip() for piece in part.partition("="))
        if not equals or not device or not SIZE_OF_MEMORY.fullmatch(size):
            raise BadInputError(f"--max-memory {text!r}: found {part!r}; expected DEVICE=SIZE, e.g. 0=20GiB,cpu=60GiB")
        bounds[int(device) if device.isdigit() else device] = size
    return bounds
