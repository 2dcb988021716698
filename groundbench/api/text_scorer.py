"""The `TextScorer` protocol: a model known by log-probabilities of texts alone, such as one behind an API.

It shows no distributions, hidden states or heads, so it is no `Adapter`; screening reads of it what sums of
log-probabilities can tell (protocol §16).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class ScorerInfo:
    """The facts about a scorer.

    Attributes:
        name: the model's name; `backend`: what gives the log-probabilities.
        parameters: the model's size; None where nobody says it.
        fingerprint: a hash of the backend and its arguments: an API's weights are not known.
        max_length: tokens of prompt and answer together; None where no limit is known.
    """

    name: str
    backend: str
    fingerprint: str
    parameters: int | None = None
    dtype: str = "unknown"
    max_length: int | None = None


@dataclass(frozen=True)
class ScoredText:
    """A prompt and an answer behind it, blanks between them included; `where` names the record in messages."""

    prompt: str
    answer: str
    where: str


@dataclass(frozen=True)
class TextSize:
    """Tokens of a prompt and of the answer behind it."""

    prompt: int
    answer: int


@runtime_checkable
class TextScorer(Protocol):
    """A model that gives log-probabilities of texts."""

    @property
    def info(self) -> ScorerInfo:
        """The facts about the model."""
        ...

    def size(self, text: ScoredText) -> TextSize | None:
        """Return the text's size; None where the scorer does not show its tokens.

        Raises:
            BadInputError: prompt and answer do not fit the context (nothing is cut), or a token crosses their join.
        """
        ...

    def log_probabilities(self, texts: Sequence[ScoredText]) -> list[float]:
        """Return log P(answer | prompt) in nats, summed over the answer's tokens, in the order of the texts.

        Raises:
            GroundbenchError: no log-probability was given, with the reason in one sentence.
        """
        ...
