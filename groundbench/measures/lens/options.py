"""How a lens is trained and read (protocol §9)."""

from __future__ import annotations

from dataclasses import dataclass

from groundbench.api.adapter import ModelInfo
from groundbench.api.errors import BadInputError
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS

MOST_LAYERS = 18
SPREAD_LAYERS = 12
MOST_LOGITS = 1 << 21


@dataclass(frozen=True)
class LensOptions:
    """How a lens is trained and read; None stands for the default by the model's size.

    Attributes:
        layers: which layers, from 1; the last is always read too. By default all of up to 18, which our from-scratch
            models have; of more, twelve evenly spaced ones.
        steps: optimiser steps.
        batch_positions: positions of each step; every layer is trained on the same ones. By default 32 to 256, fewer
            for a large vocabulary, which is what a step costs.
        positions: at most this many positions of the training text are used, drawn by the seed.
        row_length: tokens of a row of held-out text.
        learning_rate: Adam's at the start; it falls linearly to 0. Steps are relative to the hidden states' size.
        seed: of the choice of rows, of positions, and of the cross-fitted halves.
        batch_tokens: token budget of one forward pass; changes no number beyond rounding.
    """

    layers: tuple[int, ...] | None = None
    steps: int = 300
    batch_positions: int | None = None
    positions: int = 16_384
    row_length: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS

    def __post_init__(self) -> None:
        for name in ("steps", "batch_positions", "positions", "row_length", "batch_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInputError(f"lens option {name} is {value}; expected at least 1")
        if self.learning_rate <= 0:
            raise BadInputError(f"lens option learning_rate is {self.learning_rate}; expected more than 0")

    def translated(self, info: ModelInfo) -> tuple[int, ...]:
        """The layers that get a translator: those asked for, ascending, without the last. Raises BadInputError."""
        n = info.n_layers
        for layer in self.layers or ():
            if not 1 <= layer <= n:
                raise BadInputError(f"lens layer {layer}: {info.name} has layers 1 to {n}")
        chosen = set(range(1, n + 1)) if self.layers is None else set(self.layers)
        if self.layers is None and n > MOST_LAYERS:
            chosen = {1 + round(k * (n - 1) / (SPREAD_LAYERS - 1)) for k in range(SPREAD_LAYERS)}
        return tuple(sorted(chosen - {n}))

    def positions_of_step(self, info: ModelInfo) -> int:
        """Positions of each step."""
        return self.batch_positions or min(256, max(32, MOST_LOGITS // info.vocab_size))
