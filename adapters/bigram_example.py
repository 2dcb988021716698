"""An adapter in forty lines: a model that predicts a word from the word before it, on your own code's terms.

It looks at the last word only, so nothing that was shown reaches it: its grounding gain is 0. Measure it with
`groundbench run my_model:make_adapter --testbed ladder --env-form word --measure gain`, then replace what it computes
by your model. `groundbench models new my_model.py` writes a copy of this file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from groundbench.api.adapter import Encoded, Forward, ModelInfo
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, ImageSegment, Prompt

TEXT = "she wants the cup . he sees the ball . give me that cup . where is my ball . she took the other ball ."
"""The text that the bigram is counted on."""
VOCABULARY = 8192


class Bigram:
    """P(word | last word), with one added to every count.

    A model can do without every capability; measures that need one are then null with the reason. See
    `groundbench.api.adapter.Adapter` for what each method promises.
    """

    def __init__(self) -> None:
        self.words: dict[str, int] = {}
        self.info = ModelInfo(
            name="bigram",
            family="bigram",
            architecture="Bigram",
            parameters=VOCABULARY * VOCABULARY,
            dtype="float32",
            fingerprint="bigram-1",  # another text for other weights: a run directory goes on only with the same
            tokenizer="words",
            vocab_size=VOCABULARY,
            max_length=1024,
            n_layers=0,
            d_model=0,
        )
        self.counts: dict[int, dict[int, int]] = {}
        ids = self._ids(TEXT)
        for last, word in pairwise(ids):
            row = self.counts.setdefault(last, {})
            row[word] = row.get(word, 0) + 1

    def _ids(self, text: str) -> list[int]:
        found = re.findall(r"\w+|[^\w\s]", text.lower())
        return [self.words.setdefault(w, len(self.words) % VOCABULARY) for w in found]

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Return token ids of each prompt, and which of them show the noun."""
        rows = []
        for prompt in prompts:
            ids: list[int] = []
            spans = []
            for segment in prompt.segments:
                if isinstance(segment, ImageSegment):
                    raise BadInputError("a bigram model reads no images")
                more = self._ids(segment.text)
                if isinstance(segment, EnvSegment):
                    spans.append((len(ids), len(ids) + len(more)))
                ids += more
            rows.append(Encoded(tuple(ids), tuple(spans)))
        return rows

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        """Return the token of each word that may follow."""
        return [tuple(self._ids(word)) for word in words]

    def forward(self, rows: Sequence[Encoded], **_: Any) -> Forward:
        """Return logits [B, V] at each row's last position: here log counts. `**_`: prefix, edit, hidden and trace."""
        logits = torch.zeros(len(rows), VOCABULARY)
        for i, row in enumerate(rows):
            for word, n in self.counts.get(row.ids[-1], {}).items():
                logits[i, word] = torch.tensor(1.0 + n).log()
        return Forward(logits)

    def prefill(self, rows: Sequence[Encoded], edit: Any = None, prefix: Any = None) -> Any:
        """Keep the state of rows. Only with the capability `prefix`."""
        raise NotImplementedError("no capability `prefix`")

    def unembed(self, hidden: torch.Tensor, *, normed: bool) -> torch.Tensor:
        """Return logits of hidden states. Only with the capability `hidden`."""
        raise NotImplementedError("no capability `hidden`")


def make_adapter() -> Bigram:
    """For `groundbench run my_model:make_adapter`."""
    return Bigram()
