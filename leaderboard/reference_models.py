"""Models without training that a board is read against: one that copies, one that knows, one that knows nothing.

They are measured by the same command as any model, e.g.

    groundbench run groundbench.leaderboard.reference_models:copy_only --testbed ladder --measure gain

and `scripts/generate/leaderboard` makes entries of them; `references` in board.yaml names those.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from groundbench.api.adapter import Encoded, Forward, ModelInfo
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, ImageSegment, Prompt
from groundbench.registry import load_testbed

VOCABULARY = 16384
ODDS = 10.0
"""Log-odds (nats) of a word that a model expects against every other word."""
LADDER = "ladder"


class WholeWords:
    """A text model of whole words, without heads; subclasses give the logits of one row."""

    def __init__(self, name: str, architecture: str, parameters: int = 0) -> None:
        self.words: dict[str, int] = {}
        self.info = ModelInfo(
            name=name,
            family="reference",
            architecture=architecture,
            parameters=parameters,
            dtype="float32",
            fingerprint=f"{name}-1",
            tokenizer="words",
            vocab_size=VOCABULARY,
            max_length=512,
            n_layers=0,
            d_model=0,
        )

    def ids(self, text: str) -> list[int]:
        """Return the numbers of a text's words and marks.

        Raises:
            BadInputError: more different words than the vocabulary has room for.
        """
        found = re.findall(r"\w+|[^\w\s]", text.lower())
        ids = [self.words.setdefault(w, len(self.words)) for w in found]
        if len(self.words) > VOCABULARY:
            raise BadInputError(f"{self.info.name}: the testbed has more than {VOCABULARY:,} different words")
        return ids

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Return token ids of each prompt, and which of them show the noun."""
        rows = []
        for prompt in prompts:
            ids: list[int] = []
            spans = []
            for segment in prompt.segments:
                if isinstance(segment, ImageSegment):
                    raise BadInputError(f"{self.info.name} reads no images")
                more = self.ids(segment.text)
                if isinstance(segment, EnvSegment):
                    spans.append((len(ids), len(ids) + len(more)))
                ids += more
            rows.append(Encoded(tuple(ids), tuple(spans)))
        return rows

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        """Return the token of each word that may follow."""
        return [tuple(self.ids(word)) for word in words]

    def logits(self, row: Encoded) -> Tensor:
        """Return logits [V] after a row."""
        raise NotImplementedError

    def forward(self, rows: Sequence[Encoded], **_: Any) -> Forward:
        """Return logits [B, V] at each row's last position."""
        return Forward(torch.stack([self.logits(row) for row in rows]))

    def prefill(self, rows: Sequence[Encoded], edit: Any = None, prefix: Any = None) -> Any:
        """Keep the state of rows: never asked for, since there is no capability `prefix`."""
        raise NotImplementedError("no capability `prefix`")

    def unembed(self, hidden: Tensor, *, normed: bool) -> Tensor:
        """Return logits of hidden states: never asked for, since there is no capability `hidden`."""
        raise NotImplementedError("no capability `hidden`")


class CopyOnly(WholeWords):
    """Expect every word of the prompt again, and nothing else: copying without any tie between words."""

    def __init__(self) -> None:
        super().__init__("copy-only", "CopyOnly")

    def logits(self, row: Encoded) -> Tensor:
        """Return logits [V]: ODDS for the words of the prompt."""
        out = torch.zeros(VOCABULARY)
        out[list(set(row.ids))] = ODDS
        return out


class IdealObserver(WholeWords):
    """An observer that knows which nouns a shown text may mean, and expects these."""

    def __init__(self) -> None:
        super().__init__("ideal-observer", "IdealObserver")
        self.shown: dict[tuple[int, ...], set[int]] = {}
        bed = load_testbed(LADDER)
        for form in bed.forms:
            if form.modality != "text":
                continue
            frame = bed.frames(form)[0]
            for noun in bed.nouns_of(form):
                (row,) = self.encode([bed.prompt(frame, noun, form)])
                target = self.ids(bed.target_in(noun, form))[0]
                self.shown.setdefault(_span(row), set()).add(target)

    def logits(self, row: Encoded) -> Tensor:
        """Return logits [V]: ODDS for the nouns that the prompt's form may show."""
        out = torch.zeros(VOCABULARY)
        out[list(self.shown.get(_span(row), ()))] = ODDS
        return out


def _span(row: Encoded) -> tuple[int, ...]:
    return tuple(i for start, end in row.env for i in row.ids[start:end])


class Untrained(WholeWords):
    """A small Transformer with random weights."""

    def __init__(self, seed: int = 0) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = GPT2Config(vocab_size=VOCABULARY, n_positions=512, n_embd=64, n_layer=2, n_head=2)
            self.model = GPT2LMHeadModel(config).eval()
        parameters = sum(p.numel() for p in self.model.parameters())
        super().__init__("untrained", "GPT2LMHeadModel", parameters)

    @torch.no_grad()
    def logits(self, row: Encoded) -> Tensor:
        """Return logits [V] of the random weights."""
        logits: Tensor = self.model(torch.tensor([row.ids]), logits_to_keep=1).logits[0, -1]
        return logits


@lru_cache
def copy_only() -> CopyOnly:
    """Open the model that copies."""
    return CopyOnly()


@lru_cache
def ideal_observer() -> IdealObserver:
    """Open the observer that knows every form."""
    return IdealObserver()


@lru_cache
def untrained() -> Untrained:
    """Open the Transformer with random weights."""
    return Untrained()
