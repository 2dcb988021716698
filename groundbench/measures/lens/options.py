"""The options of the measure `lens`."""

from __future__ import annotations

from dataclasses import dataclass

from groundbench.api.adapter import ModelInfo
from groundbench.api.errors import BadInputError
from groundbench.engine.subject import require_value


@dataclass(frozen=True)
class LensOptions:
    """The options of the measure `lens` (protocol §9); None is resolved by the model's depth and vocabulary.

    Attributes:
        layers: which layers, from 1; the last is always read too.
        steps: optimiser steps.
        batch_positions: positions of each step; every layer is trained on the same ones.
        positions: at most this many positions of the training text are used, drawn by the seed.
        row_length: tokens of a row of held-out text.
        learning_rate: Adam's at the start; it falls linearly to 0. Steps are relative to the hidden states' size.
    """

    layers: tuple[int, ...] | None = None
    steps: int = 300
    batch_positions: int | None = None
    positions: int = 16_384
    row_length: int = 64
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("steps", "batch_positions", "positions", "row_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInputError(f"lens option {name} is {value}; expected at least 1")
        if self.learning_rate <= 0:
            raise BadInputError(f"lens option learning_rate is {self.learning_rate}; expected more than 0")

    def translated_layers(self, info: ModelInfo) -> tuple[int, ...]:
        """Return the layers that get a translator, ascending, without the last. Raises BadInputError."""
        layers = require_value(self.layers, "layers")
        for layer in layers:
            if not 1 <= layer <= info.n_layers:
                raise BadInputError(f"lens layer {layer}: {info.name} has layers 1 to {info.n_layers}")
        return tuple(sorted(set(layers) - {info.n_layers}))
