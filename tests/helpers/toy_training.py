"""A corpus small enough to learn in a second, and a preset to learn it with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from groundbench.training.corpus import Tokens
from groundbench.training.presets import Preset

WORDS = ("<pad>", "<unk>", *"abcdefgh")


@dataclass(frozen=True)
class ToyCorpus:
    """Rows of 4 to `length` words in alphabetical order, going round: after the first word every word is certain.

    `rotation` makes another corpus of the same words.
    """

    rotation: int = 1
    name: str = "toy"

    def identity(self) -> dict[str, object]:
        return {"name": self.name, "rotation": self.rotation}

    def tokenizer(self) -> PreTrainedTokenizerFast:
        model = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
        model.pre_tokenizer = WhitespaceSplit()
        return PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", unk_token="<unk>")

    def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> Tokens:
        return self._rows(np.random.default_rng([seed, step]), batch_size, length)

    def heldout(self, *, rows: int, length: int) -> Tokens:
        return self._rows(np.random.default_rng([7, 7, 7]), rows, length)

    def _rows(self, rng: np.random.Generator, rows: int, length: int) -> Tokens:
        first = rng.integers(8, size=(rows, 1))
        tokens = 2 + (first + self.rotation * np.arange(length)) % 8
        kept = np.arange(length) < rng.integers(4, length + 1, size=(rows, 1))
        return np.where(kept, tokens, 0).astype(np.int64)


def toy_preset(**changes: object) -> Preset:
    """A GPT-2 that trains in about a second, with GPT-2's dropout, so that its random state matters."""
    preset = Preset.model_validate(
        {
            "name": "toy",
            "architecture": "gpt2",
            "config": {"n_layer": 1, "n_head": 2, "n_embd": 32, "n_positions": 16},
            "optimisation": {"lr": 1e-2, "warmup_steps": 5},
            "steps": 30,
            "batch_size": 8,
            "length": 12,
            "checkpoints": [{"every": 10}],
            "resume_every": 4,
            "heldout_rows": 16,
        }
    )
    return preset.override(changes)


def weights(folder: Path) -> dict[str, bytes]:
    """Every weight of a checkpoint, as bytes."""
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


def without_speed(log: Path) -> list[dict[str, object]]:
    """The lines of a log, without what depends on the machine."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in lines]
