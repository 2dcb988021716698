"""The values of `groundbench.heads` and `groundbench.lens`: arrays of one prompt, for reading and for figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.results.run import Denominator

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PromptHeads:
    """Saliency of every head for one prompt, on the way from the shown words to the predicted word (protocol §8, §10).

    Attributes:
        model, context, shown, word: what was asked.
        surprisal: of the word's first token after the context, in nats.
        layer, head: [H] the layer (from 1) and the number (from 0) of each head.
        edge: [H] saliency from the shown words to the prediction position, in nats.
        share: [H] `edge` as a part of the head's saliency (`denominator`); NaN where the head has none.
        lift: [H] share over the shown words' part of the prompt's tokens.
        threshold: the least share of an aggregate head.
    """

    model: str
    context: str
    shown: str
    word: str
    surprisal: float
    denominator: Denominator
    threshold: float
    layer: npt.NDArray[np.int64]
    head: npt.NDArray[np.int64]
    edge: Floats
    share: Floats
    lift: Floats

    @property
    def aggregate(self) -> list[tuple[int, int]]:
        """(layer, head) of the aggregate heads: those whose share reaches the threshold, the largest edge first."""
        return [self._name(i) for i in self._order() if self.share[i] >= self.threshold]

    def top(self, n: int = 10) -> list[tuple[int, int]]:
        """Return (layer, head) of the n heads with the largest edge, largest first."""
        return [self._name(i) for i in self._order()[:n]]

    def grid(self, values: str = "share") -> Floats:
        """Return [layers, heads] of `share`, `edge` or `lift`; NaN where a layer has no such head."""
        grid = np.full((int(self.layer.max()), int(self.head.max()) + 1), np.nan)
        grid[self.layer - 1, self.head] = getattr(self, values)
        return grid

    def __str__(self) -> str:
        rows = [
            f"{self.model}: {self.shown!r} -> {self.word!r}, surprisal {self.surprisal:.2f} nats",
            "layer head share  edge",
        ]
        columns = (self.layer, self.head, self.share, self.edge)
        rows += ["{:5d} {:4d} {:5.2f}  {:.4f}".format(*(c[i] for c in columns)) for i in self._order()[:10]]
        return "\n".join(rows)

    def _order(self) -> list[int]:
        return [int(i) for i in np.argsort(-self.edge, kind="stable")]

    def _name(self, i: int) -> tuple[int, int]:
        return int(self.layer[i]), int(self.head[i])


@dataclass(frozen=True)
class TextLens:
    """One text read by the lens at every layer: T tokens, L layers (protocol §9).

    Attributes:
        tokens: [T] the text's tokens.
        layers: [L] from 1; the last is the model itself.
        top: [L, T] the token that each layer expects next.
        surprisal: [L, T - 1] of token t + 1 at position t, in nats.
        entropy: [L, T] of the expectation, in nats.
        tuned: True if read through a tuned lens, False for the logit lens.
    """

    model: str
    tokens: tuple[str, ...]
    layers: tuple[int, ...]
    top: tuple[tuple[str, ...], ...]
    surprisal: Floats
    entropy: Floats
    tuned: bool

    def __str__(self) -> str:
        kind = "tuned lens" if self.tuned else "logit lens"
        rows = [f"{self.model}, {kind}: the expected next token after {self.tokens[-1]!r}"]
        rows += [f"layer {layer:3d}  {top[-1]!r}" for layer, top in zip(self.layers, self.top, strict=True)]
        return "\n".join(rows)
