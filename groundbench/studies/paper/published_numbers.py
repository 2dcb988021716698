"""The paper's numbers on its own runs (protocol §9, §11): 12 layers, CHILDES, means of 5 seeds, in nats."""

from __future__ import annotations

from typing import NamedTuple

LAYERS = 12
SEEDS = 5
STEPS = 20_000


class Cut(NamedTuple):
    """One row of its table on zeroing the heads detected in each item."""

    step: int
    heads: float
    mean_layer: float
    ablated: float
    control: float
    original: float


CUTS = (
    Cut(5_000, 2.28, 7.38, 6.51, 6.39, 6.38),
    Cut(10_000, 5.09, 7.28, 5.86, 5.29, 5.30),
    Cut(20_000, 6.71, 7.52, 5.62, 4.76, 4.77),
)
MATCHED = {1_000: 7.86, 5_000: 6.38, 10_000: 5.30, 15_000: 4.84, 20_000: 4.77}
"""Matched surprisal by step."""
MATCHED_SD = {1_000: 0.11, 5_000: 0.11, 10_000: 0.18, 15_000: 0.14, 20_000: 0.13}
"""Its standard deviation over seeds."""
LENS = {
    5_000: (6.88, 6.57, 6.50, 6.49, 6.43, 6.40, 6.40, 6.43, 6.43, 6.42, 6.41, 6.38),
    20_000: (6.57, 5.71, 5.55, 5.55, 5.47, 5.39, 5.27, 5.00, 4.92, 4.87, 4.84, 4.77),
}
"""Matched surprisal that its tuned lens reads, layer by layer from 1, by step."""
