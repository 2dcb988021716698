"""A model of whole words whose next-word distribution is a function of the words before: oracles of evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from groundbench.api.adapter import Encoded, Forward, HeadEdit, ModelInfo, Prefix
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.testbed import EnvSegment, ImageSegment, Prompt

SIZE = 512
Odds = Callable[[Sequence[str]], Mapping[str, float]]
"""The words before -> log-odds of words, all others 0."""


class WordModel:
    """An adapter without heads or hidden states; words are added to its vocabulary as they come."""

    def __init__(self, odds: Odds, name: str = "words", max_length: int = 256) -> None:
        self.odds = odds
        self.words: list[str] = []
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        self.info = ModelInfo(
            name=name, family="fake", architecture="Words", parameters=0, dtype="float32", fingerprint=mark,
            tokenizer=mark, vocab_size=SIZE, max_length=max_length, n_layers=1, d_model=1,
        )  # fmt: skip

    def _ids(self, text: str) -> tuple[int, ...]:
        for word in text.split():
            if word not in self.words:
                self.words.append(word)
        return tuple(self.words.index(w) for w in text.split())

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        rows = []
        for prompt in prompts:
            ids: tuple[int, ...] = ()
            env: tuple[tuple[int, int], ...] = ()
            for part in prompt.segments:
                if isinstance(part, ImageSegment):
                    raise BadInputError(f"{self.info.name} reads text only, but {prompt.where} holds an image")
                more = self._ids(part.text)
                if isinstance(part, EnvSegment):
                    env = (*env, (len(ids), len(ids) + len(more)))
                ids += more
            if len(ids) >= self.info.max_length:
                raise BadInputError(f"{prompt.where}: {len(ids)} tokens do not fit")
            rows.append(Encoded(ids, env))
        return rows

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        found = [self._ids(w) for w in words]
        if any(not ids for ids in found):
            raise UnencodableError({i: "is empty" for i, ids in enumerate(found) if not ids})
        return found

    def forward(
        self,
        rows: Sequence[Encoded],
        *,
        prefix: Prefix | None = None,
        edit: HeadEdit | None = None,
        hidden: Sequence[int] = (),
        trace: bool = False,
    ) -> Forward:
        logits = torch.zeros(len(rows), SIZE)
        for i, row in enumerate(rows):
            for word, value in self.odds([self.words[t] for t in row.ids]).items():
                logits[i, self._ids(word)[0]] = value
        return Forward(logits)

    def prefill(self, rows: Sequence[Encoded], edit: HeadEdit | None = None, prefix: Prefix | None = None) -> Prefix:
        raise ValueError("keeps no cache")

    def continuation_logits(
        self, rows: Sequence[Encoded], prefix: Prefix | None, paths: Sequence[tuple[int, ...]], edit: HeadEdit | None
    ) -> Tensor:
        longer = [[Encoded((*r.ids, *path)) for r in rows] for path in paths]
        return torch.stack([self.forward(part).logits for part in longer], dim=1)

    def unembed(self, hidden: Tensor, *, normed: bool) -> Tensor:
        raise ValueError("no hidden states")

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        return [f" {self.words[i]}" for i in ids]


def copier(name: str = "copier") -> WordModel:
    """Expects every word that has come before: what the evidence says is likely, all else is not."""
    return WordModel(lambda words: dict.fromkeys(words, 6.0), name)


def prior_only(name: str = "prior") -> WordModel:
    """Has fixed odds, whatever was shown."""

    def odds(words: Sequence[str]) -> Mapping[str, float]:
        return {w: 4.0 * (hashlib.sha256(w.encode()).digest()[0] / 255) for w in ("red", "blue", "green", "it", "is")}

    return WordModel(odds, name)
