"""Options that several commands share, with their help and the form of examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from groundbench.api.errors import BadInputError
from groundbench.cli.completion import complete_form, complete_testbed

LOADING, SIZE, CAUSE, NULL_CONTROLS = "Loading the model", "Size", "Heads and ablation", "Null controls"

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
        show_default="that of what a checkpoint was trained on here, ladder for any other model",
        metavar="NAME",
    ),
]
Forms = Annotated[
    list[str] | None,
    typer.Option(
        "--env-form",
        help="How the noun is shown, e.g. word or gloss; repeat it for several, or give all.",
        autocompletion=complete_form,
        show_default="all of a ladder, else the testbed's own",
        metavar="FORM",
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
Measures = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        help="What to measure: gain, heads, causal, ablation, lens, image; separated by commas, or repeat it.",
        show_default="gain,heads; of a ladder also causal, of images also image",
        metavar="WHAT",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="Only this many nouns, drawn by the seed.",
        min=2,
        show_default="all",
        metavar="N",
        rich_help_panel=SIZE,
    ),
]
Mismatches = Annotated[
    int | None,
    typer.Option(
        help="For each item only this many other nouns, drawn by the seed.",
        min=1,
        show_default="all",
        metavar="M",
        rich_help_panel=SIZE,
    ),
]
Corpus = Annotated[
    Path | None,
    typer.Option(
        help="Where the imported corpus that the checkpoint was trained on lies now.",
        show_default="where it lay then",
        metavar="DIR",
    ),
]
AtLeast = Annotated[
    int | None,
    typer.Option(
        help="Of an imported corpus: ask for the nouns that it shows and says so often; 0 for all.",
        min=0,
        show_default="100",
        metavar="K",
        rich_help_panel=SIZE,
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
    typer.Option(help="The run directory; the same command goes on in it.", show_default=False, metavar="DIR"),
]
Force = Annotated[
    bool, typer.Option("--force/--resume", help="Start over where DIR holds another run, or go on with its own.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Also print what each column means.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

ByDenominator = Annotated[
    Literal["row", "total"] | None,
    typer.Option(
        "--denominator",
        help="A head's share is of the prediction row, or of all its saliency too.",
        show_default="total up to 30 M parameters, else row",
        rich_help_panel=CAUSE,
    ),
]
BySelection = Annotated[
    Literal["crossfit", "instance"] | None,
    typer.Option(
        "--selection",
        help="Cut the heads detected in the other half, or in the item itself (the paper's, selection-biased).",
        show_default="both up to 30 M parameters, else crossfit",
        rich_help_panel=CAUSE,
    ),
]
ByControl = Annotated[
    list[str] | None,
    typer.Option(
        "--control",
        help="What the detected heads are compared with: layer, uniform, saliency; the first is the headline's.",
        show_default="all up to 30 M parameters, else layer,saliency",
        metavar="WHICH",
        rich_help_panel=CAUSE,
    ),
]
ByLoss = Annotated[
    Literal["first", "all"],
    typer.Option("--loss", help="Saliency of the target's first token, or of all of them.", rich_help_panel=CAUSE),
]
Draws = Annotated[
    int | None,
    typer.Option(
        help="Random head sets to compare with.",
        min=1,
        show_default="99 up to 30 M parameters, else 20",
        metavar="N",
        rich_help_panel=CAUSE,
    ),
]
AblationNouns = Annotated[
    str | None,
    typer.Option(
        help="Cut cross-fitted heads on this many nouns, each in half of the frames, drawn by the seed, or on all.",
        show_default="all up to 30 M parameters, else 40",
        metavar="N|all",
        rich_help_panel=CAUSE,
    ),
]
CausalNouns = Annotated[
    str | None,
    typer.Option(
        help="Interchange head outputs between prompts of this many nouns, drawn by the seed, or of all.",
        show_default="all up to 30 M parameters, else 40",
        metavar="N|all",
        rich_help_panel=CAUSE,
    ),
]
CausalFrames = Annotated[
    str | None,
    typer.Option(
        help="Exchange them in this many frames of each half, or in all.",
        show_default="2 up to 30 M parameters, else 1",
        metavar="N|all",
        rich_help_panel=CAUSE,
    ),
]
CausalScores = Annotated[
    list[str] | None,
    typer.Option(
        help="Rank heads by: share, contrast, contrast-ig, exact (each head alone: slow); separated by commas.",
        show_default="all up to 30 M parameters, else share,contrast",
        metavar="WHICH",
        rich_help_panel=CAUSE,
    ),
]
CausalRandomPairs = Annotated[
    str | None,
    typer.Option(
        help="Interchange random sets and orders of heads on this many pairs of prompts, drawn by the seed, or on all.",
        show_default="all up to 30 M parameters, else 20",
        metavar="N|all",
        rich_help_panel=CAUSE,
    ),
]
CausalExactPairs = Annotated[
    str | None,
    typer.Option(
        help="Interchange every head alone (score exact) on this many pairs, or on all.",
        show_default="64 up to 30 M parameters, else 16",
        metavar="N|all",
        rich_help_panel=CAUSE,
    ),
]
CausalKnockoutPairs = Annotated[
    str | None,
    typer.Option(
        help="Cut edges between tokens in this many pairs, or in all.",
        show_default="64 up to 30 M parameters, else 16",
        metavar="N|all",
        rich_help_panel=CAUSE,
    ),
]
CausalSamePairs = Annotated[
    bool | None,
    typer.Option(
        help="Also interchange heads that were ranked on the same pairs at every size, not at the headline's alone.",
        show_default="up to 30 M parameters",
        rich_help_panel=CAUSE,
    ),
]
HeadItems = Annotated[
    str | None,
    typer.Option(
        help="Read heads in this many items, drawn by the seed, or in all; in all where heads are cut (ablation).",
        show_default="all up to 30 M parameters, else 200",
        metavar="N|all",
        rich_help_panel=CAUSE,
    ),
]
SwapRings = Annotated[
    str | None,
    typer.Option(
        help="Of images, also swap so many rings of patches around the object's box, and the whole image.",
        show_default="the box alone",
        metavar="1,2,…",
        rich_help_panel=CAUSE,
    ),
]
Edit = Annotated[
    Literal["zero", "mean", "resample", "scale"],
    typer.Option(help="What is done to a head's output; scale multiplies it by --factor.", rich_help_panel=CAUSE),
]
Factor = Annotated[
    float | None, typer.Option(help="Of --edit scale.", show_default=False, metavar="X", rich_help_panel=CAUSE)
]
AtPositions = Annotated[
    Literal["all", "last"],
    typer.Option("--positions", help="Edit every position, or only that of the prediction.", rich_help_panel=CAUSE),
]

ShuffleForms = Annotated[
    bool,
    typer.Option(
        "--shuffle-forms",
        help="Show every noun in another noun's form: the gain must be 0.",
        rich_help_panel=NULL_CONTROLS,
    ),
]
RandomWeights = Annotated[
    bool,
    typer.Option(
        "--random-weights",
        help="The same architecture with random weights, drawn by the seed: the gain must be 0.",
        rich_help_panel=NULL_CONTROLS,
    ),
]

Dtype = Annotated[
    str,
    typer.Option(
        help="float32, bfloat16 or float16; auto is float32 on the CPU and the checkpoint's own elsewhere.",
        metavar="TYPE",
        rich_help_panel=LOADING,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="cpu, cuda, cuda:1, mps; auto is the first GPU, else the CPU.", metavar="DEVICE", rich_help_panel=LOADING
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        help="auto spreads a large model over devices and memory (accelerate).",
        show_default=False,
        metavar="MAP",
        rich_help_panel=LOADING,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        help="With --device-map: a bound for each device, e.g. 0=20GiB,cpu=60GiB.",
        show_default=False,
        metavar="BOUNDS",
        rich_help_panel=LOADING,
    ),
]
Quantize = Annotated[
    Literal["8bit", "4bit"] | None,
    typer.Option(help="Load with bitsandbytes.", show_default=False, rich_help_panel=LOADING),
]
Bos = Annotated[
    Literal["auto", "yes", "no"],
    typer.Option(
        help="Begin each context with the BOS token; auto does as its tokenizer does.", rich_help_panel=LOADING
    ),
]
Chat = Annotated[
    bool,
    typer.Option(
        "--chat",
        help="Put prompts into the tokenizer's chat template, as an assistant's turn.",
        rich_help_panel=LOADING,
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run the code that comes with the weights.", rich_help_panel=LOADING),
]

Revision = Annotated[
    str | None,
    typer.Option(
        help="A branch, tag or commit of a hub id; also written org/name@REVISION.",
        show_default="main",
        metavar="REVISION",
        rich_help_panel=LOADING,
    ),
]
Subfolder = Annotated[
    str | None,
    typer.Option(
        help="The model's folder in its repository; also written org/name:FOLDER or org/name@REVISION:FOLDER.",
        show_default=False,
        metavar="FOLDER",
        rich_help_panel=LOADING,
    ),
]


def split(values: list[str] | None) -> tuple[str, ...]:
    """Split values given by repetition or separated by commas, each once, in order."""
    parts = [part.strip() for value in values or () for part in value.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def number_or_all(option: str, text: str | None) -> int | Literal["all"] | None:
    """Return a whole number, or `all`. Raises BadInputError."""
    if text is None:
        return None
    if text == "all":
        return "all"
    if not text.isdecimal():
        raise BadInputError(f"{option} {text!r}: expected a whole number or all")
    return int(text)


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Parse whole numbers separated by commas. Raises BadInputError."""
    try:
        found = tuple(int(part) for part in split([text]))
    except ValueError:
        found = ()
    if not found or min(found) < 0:
        raise BadInputError(f"{option} {text!r}: expected whole numbers from 0 separated by commas, e.g. 42,142")
    return found


def overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse `config.n_layer=6` as a key of a preset and a YAML value. Raises BadInputError."""
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


SIZE_OF_MEMORY = re.compile(r"\d+(\.\d+)?([KMG]I?B)", re.IGNORECASE)


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


@dataclass(frozen=True)
class LoadOptions:
    """The options by which a model is loaded."""

    dtype: Dtype = "auto"
    device: Device = "auto"
    device_map: DeviceMap = None
    max_memory: MaxMemory = None
    quantize: Quantize = None
    bos: Bos = "auto"
    chat: Chat = False
    trust_remote_code: TrustRemoteCode = False
    revision: Revision = None
    subfolder: Subfolder = None

    def load(self) -> dict[str, Any]:
        """Return the options for an adapter; only those asked for, since an adapter need not know every option."""
        given = asdict(self) | {"max_memory": parse_max_memory(self.max_memory)}
        default = {"dtype": "auto", "device": "auto", "bos": "auto"}  # of a device map `auto` is a choice
        return {n: v for n, v in given.items() if v is not None and v is not False and v != default.get(n)}


@dataclass(frozen=True)
class RunOptions:
    """The measures of a run and their settings: `groundbench.evaluation.options.Options` as parameters."""

    env_form: Forms = None
    measure: Measures = None
    seed: Seed = 0
    limit: Limit = None
    mismatches: Mismatches = None
    at_least: AtLeast = None
    corpus: Corpus = None
    batch_tokens: BatchTokens = BATCH_TOKENS
    draws: Draws = None
    ablation_nouns: AblationNouns = None
    causal_nouns: CausalNouns = None
    causal_frames: CausalFrames = None
    causal_scores: CausalScores = None
    causal_random_pairs: CausalRandomPairs = None
    causal_exact_pairs: CausalExactPairs = None
    causal_knockout_pairs: CausalKnockoutPairs = None
    causal_same_pairs: CausalSamePairs = None
    head_items: HeadItems = None
    selection: BySelection = None
    denominator: ByDenominator = None
    control: ByControl = None
    loss: ByLoss = "first"
    edit: Edit = "zero"
    factor: Factor = None
    positions: AtPositions = "all"
    swap_rings: SwapRings = None

    def given(self) -> dict[str, Any]:
        """Return the fields of `Options` that these parameters set. Raises BadInputError."""
        from groundbench.measures.ablation.head_edits import EditStyle
        from groundbench.measures.ablation.options import AblationOptions
        from groundbench.measures.causal.options import CausalOptions
        from groundbench.measures.heads.options import HeadOptions
        from groundbench.measures.image.options import ImageOptions

        fields: dict[str, Any] = {
            "forms": split(self.env_form),
            "limit": self.limit,
            "mismatches": self.mismatches,
            "seed": self.seed,
            "batch_tokens": self.batch_tokens,
            "corpus": self.corpus,
            "heads": HeadOptions(
                denominator=self.denominator, loss=self.loss, items=number_or_all("--head-items", self.head_items)
            ),
            "ablation": AblationOptions(
                selections=(self.selection,) if self.selection else None,
                controls=split(self.control) or None,  # type: ignore[arg-type]  # checked there
                draws=self.draws,
                nouns=number_or_all("--ablation-nouns", self.ablation_nouns),
                edit=EditStyle(self.edit, self.positions, self.factor),
            ),
            "causal": CausalOptions(
                nouns=number_or_all("--causal-nouns", self.causal_nouns),
                frames=number_or_all("--causal-frames", self.causal_frames),
                scores=split(self.causal_scores) or None,  # type: ignore[arg-type]  # checked there
                random_pairs=number_or_all("--causal-random-pairs", self.causal_random_pairs),
                exact_pairs=number_or_all("--causal-exact-pairs", self.causal_exact_pairs),
                knockout_pairs=number_or_all("--causal-knockout-pairs", self.causal_knockout_pairs),
                same_pairs=self.causal_same_pairs,
                draws=None if self.draws is None else max(2, self.draws),
            ),
            "image": ImageOptions(() if self.swap_rings is None else numbers("--swap-rings", self.swap_rings)),
        }
        measures = split(self.measure)
        return fields | ({"measures": measures} if measures else {})


def examples(*pairs: tuple[str, str]) -> str:
    """Return a help epilog of (what it does, command line) pairs, in rich markup."""
    lines = [f"[dim]# {what}[/dim]\n{command}" for what, command in pairs]
    return "\n".join(["[bold]Examples[/bold]", *lines])


def example_commands(epilog: str) -> list[str]:
    """Return the command lines of an epilog that `examples` made."""
    return [line for line in epilog.split("\n") if line.startswith("groundbench ")]
