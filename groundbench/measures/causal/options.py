"""The options of the measure `causal`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from groundbench.api.errors import BadInputError
from groundbench.engine.subject import require_value

Score = Literal["share", "contrast", "contrast-ig", "exact"]
SCORES: tuple[Score, ...] = ("share", "contrast", "contrast-ig", "exact")
MIN_NOUNS = 4
"""Nouns of each half: fewer have no spread to speak of."""
CURVE_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of all heads: the sizes at which a faithfulness curve is measured, those of MIB's circuit track."""
SET_SIZES = (1, 3, 5, 10, 17, 30)
"""Heads that change places, by the headline's ranking."""
Most = int | Literal["all"] | None
Sample = Literal["nouns", "frames", "random_pairs", "control_pairs", "exact_pairs", "knockout_pairs", "matrix_pairs"]


@dataclass(frozen=True)
class CausalOptions:
    """The options of the measure `causal` (protocol §15); None is resolved by the model's size.

    Attributes:
        scores: by what heads are ranked; the headline's ranking is `contrast`. Of large models by default `share` and
            `contrast`: `contrast-ig` costs five times as much as `contrast`, `exact` a pass for every head.
        nouns: a seeded sample of this many nouns, half of them from each half, or `all`.
        frames: of each half of the frames a seeded sample of this many, or `all`.
        draws: layer-matched random sets beside the headline's set.
        random_orders: random rankings of the curve's band.
        random_pairs: most pairs, a seeded sample, on which random sets and orders are interchanged, or `all`.
        control_pairs: most pairs, a seeded sample, in which the headline's heads come from a donor of the same answer,
            and most of one category, or `all`.
        same_pairs: also measure every size of set, and the curve, of heads ranked on the pairs they are interchanged in
            (otherwise the headline's size alone), to say how much that flatters.
        exact_pairs: most pairs on which every head is interchanged alone, or `all`.
        points: points between the two prompts over which `contrast-ig` averages its gradient.
        knockout: also cut the edges from the ENV form to the prediction, in heads and in windows of layers.
        knockout_pairs: most pairs in which edges are cut, a seeded sample, or `all`.
        matrix_pairs: most pairs, a seeded sample, in which the headline's heads come from each other form, or `all`.
        windows: most windows of layers in which edges are cut.
        identity: also say what each head does on random tokens.
    """

    scores: tuple[Score, ...] | None = None
    nouns: Most = None
    frames: Most = None
    draws: int | None = None
    random_orders: int = 5
    random_pairs: Most = None
    control_pairs: Most = None
    same_pairs: bool | None = None
    exact_pairs: Most = None
    points: int = 5
    knockout: bool = True
    knockout_pairs: Most = None
    matrix_pairs: Most = None
    windows: int | None = None
    identity: bool = True

    def __post_init__(self) -> None:
        scores = SCORES if self.scores is None else self.scores
        if any(s not in SCORES for s in scores) or "contrast" not in scores:
            found = ", ".join(scores) or "none"
            raise BadInputError(f"the causal scores are {found}; expected contrast and some of {', '.join(SCORES)}")
        for name, low in (("draws", 2), ("random_orders", 1), ("points", 1), ("windows", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise BadInputError(f"causal option {name} is {value}; expected at least {low}")
        for name in get_args(Sample):
            value, low = getattr(self, name), 2 * MIN_NOUNS if name == "nouns" else 1
            if isinstance(value, int) and value < low:
                raise BadInputError(f"causal option {name} is {value}; expected at least {low} or all")

    @property
    def rankings(self) -> tuple[Score, ...]:
        """The scores asked for, once they are resolved."""
        return require_value(self.scores, "scores")

    def most(self, name: Sample) -> int | None:
        """Return the size of a sample; None for all."""
        value: Most = require_value(getattr(self, name), name)
        return value if isinstance(value, int) else None


def headline_size(n_heads: int) -> int:
    """Return the number of heads in the headline: ten, of small models a tenth of the heads."""
    return max(1, min(10, n_heads // 10))


def set_sizes(n_heads: int) -> tuple[int, ...]:
    """Return the sizes of the sets that change places: some up to half of the heads, and the headline's."""
    return tuple(sorted({k for k in SET_SIZES if 2 * k <= n_heads} | {headline_size(n_heads)}))


def curve_sizes(n_heads: int) -> tuple[int, ...]:
    """Return the numbers of heads of a faithfulness curve: at least one, each once."""
    return tuple(sorted({max(1, round(share * n_heads)) for share in CURVE_SHARES}))
