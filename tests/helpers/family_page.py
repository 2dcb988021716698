"""docs/families.md, written from the checks of every family and from nothing else."""
# ruff: noqa: E501  rows of a table are one line each

from __future__ import annotations

from pathlib import Path

from helpers.family_checks import COLUMNS, TOLERANCE, checked
from helpers.family_table import FAMILIES, VISION_FAMILIES, Family, VisionFamily
from helpers.vision_checks import VISION_COLUMNS, VISION_TOLERANCE, vision_checked

PAGE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
TEST = "tests/adapters/families/test_matrix.py::test_family"
INTRODUCTION = """\
# Families of models

Written by `scripts/generate/families` from the checks it runs; do not edit. Each row is a tiny model of that type with random
weights, and each `yes` was compared with an oracle that shares no code with the measurement. What a model of yours can
do is found out when it is opened, never taken from this page or from its name: `groundbench models check MODEL`.

| column | what is compared | largest error allowed |
|---|---|---|
| behaviour | surprisals of targets of two tokens: the engine's batches against one pass for each text | {behaviour} of the largest |
| cache | the same with and without shared prefixes | {cache} of the largest |
| heads | a row of saliency: against full autograd; for a scan, W·x + D·x against the mixer's output | {heads} of the largest |
| ablation | each head edited to 0: against its part of the output projection's input set to 0 | {ablation} of the largest |
| lens | the residual after each layer against what that layer gave; the last one, unembedded, against the logits | {lens} of the largest |
| sweep | each head alone, entering at its layer: against a whole pass for each head | {sweep} of the largest surprisal |

How heads are read: `interface` is transformers' attention interface, where nothing T × T is kept; `fallback` reads the
weights that the model returns, so memory grows with the square of the prompt; `SSD` is the scan of Mamba-2. Where heads
are missing their results are null, and behaviour is measured all the same. Encoder-only and encoder-decoder models, and
models whose tokenizer gives no character offsets, are refused.

"""
VISION = """
## Vision-language models

Opened the same way; each is a tiny model of that type with random weights and its own processor. Text alone is measured
as above. When a model is opened it reads a small image both ways: a family that is not in this list is read whole if
the two agree, and prompts with images are refused if they do not.

| column | what is compared | largest error allowed |
|---|---|---|
| images | surprisals of targets of two tokens after an image: the engine, which shares each image, against one plain call on the processor's own inputs for each text | {images} of the largest |
| cache | the same with and without shared images | {cache} of the largest |
| heads | a row of saliency of a prompt with an image against full autograd | {heads} of the largest |
| box | the patches that change most where a bright square is planted, against those that its box is said to touch | all of them |

"""
VISION_HEADER = ("type", "models", "its image", *VISION_COLUMNS, "note", "test")
VISION_TEST = "tests/adapters/families/test_vision_matrix.py::test_family"
HEADER = ("type", "models", "tried out", *COLUMNS, "note", "test")


def page(families: tuple[Family, ...] = FAMILIES) -> str:
    """The whole page. Raises AssertionError where a family does not do what its row expects."""
    rows = [row(family) for family in families]
    lines = [_line(HEADER), _line(["---"] * len(HEADER)), *rows]
    allowed = {column: f"{error:.0e}" for column, error in TOLERANCE.items()}
    return INTRODUCTION.format(**allowed) + "\n".join(lines) + "\n"


def row(family: Family) -> str:
    """A family's row, after its checks."""
    found = checked(family.model_type)
    for column, (said, error) in found.items():
        assert (said == "no") == (column in family.lacks), f"{family.model_type}, {column}: found {said}"
        assert error is None or error < TOLERANCE[column], f"{family.model_type}, {column}: {error} from its oracle"
    cells = [said for said, _ in found.values()]
    test = f"`{TEST}[{family.model_type}]`"
    return _line([f"`{family.model_type}`", family.models, family.has, *cells, family.note, test])


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def vision_page(families: tuple[VisionFamily, ...] = VISION_FAMILIES) -> str:
    """The section on vision-language models. Raises AssertionError where a family does not do what it should."""
    lines = [_line(VISION_HEADER), _line(["---"] * len(VISION_HEADER)), *(vision_row(f) for f in families)]
    return VISION.format(**{c: f"{e:.0e}" for c, e in VISION_TOLERANCE.items()}) + "\n".join(lines) + "\n"


def vision_row(family: VisionFamily) -> str:
    """A family's row, after its checks."""
    for column, error in vision_checked(family.model_type).items():
        assert error <= VISION_TOLERANCE[column], f"{family.model_type}, {column}: {error} from its oracle"
    test = f"`{VISION_TEST}[{family.model_type}]`"
    cells = ["yes"] * len(VISION_COLUMNS)
    return _line([f"`{family.model_type}`", family.models, family.has, *cells, family.note, test])
