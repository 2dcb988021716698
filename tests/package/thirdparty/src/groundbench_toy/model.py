"""A model without weights that knows how it answers: the noun shown is LIKELIER times as likely as any other word.

Its gain is therefore log(LIKELIER), exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from groundbench.api.adapter import Encoded, Forward, ModelInfo
from groundbench.api.testbed import EnvSegment, Prompt

LIKELIER = 8.0


class Toy:
    def __init__(self, name: str) -> None:
        self.words: dict[str, int] = {}
        self.info = ModelInfo(
            name=name,
            family="toy",
            architecture="Toy",
            parameters=0,
            dtype="float32",
            fingerprint="toy-1",
            tokenizer="words",
            vocab_size=512,
            max_length=32,
            n_layers=0,
            d_model=0,
        )

    def _id(self, word: str) -> int:
        return self.words.setdefault(word, len(self.words))

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        rows = []
        for prompt in prompts:
            ids: list[int] = []
            spans = []
            for segment in prompt.segments:
                words = [self._id(w) for w in segment.text.split()]
                if isinstance(segment, EnvSegment):
                    spans.append((len(ids), len(ids) + len(words)))
                ids += words
            rows.append(Encoded(tuple(ids), tuple(spans)))
        return rows

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        return [(self._id(w),) for w in words]

    def prefill(self, rows: Sequence[Encoded], edit: Any = None, prefix: Any = None) -> Any:
        raise NotImplementedError("the toy has no capability `prefix`")

    def forward(self, rows: Sequence[Encoded], **more: Any) -> Forward:
        logits = torch.zeros(len(rows), self.info.vocab_size)
        for i, row in enumerate(rows):
            for position in row.env_positions:
                logits[i, row.ids[position]] = math.log(LIKELIER)
        return Forward(logits)

    def unembed(self, hidden: torch.Tensor, *, normed: bool) -> torch.Tensor:
        raise NotImplementedError("the toy has no capability `hidden`")


def one() -> Toy:
    """For `groundbench_toy.model:one`."""
    return Toy("one")


def open_toy(model: str, **options: Any) -> Toy | None:
    """The toy for `toy:NAME`; any other model is not ours."""
    return Toy(model) if model.startswith("toy:") else None
