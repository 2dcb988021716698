"""Tolerances of numbers in single precision, derived: the rounding step times the size compared times the depth.

A surprisal is a logsumexp minus a logit, each a chain of rounded products: two right ways to it (batches, caches, other
kernels) differ by a few roundings for each layer of the chain. Which of them differ changes with the
processor, the number of threads and the library, so no tolerance is a number of nats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

EPS = float(torch.finfo(torch.float32).eps)
DEPTH = 16
"""Roundings in a row that a tiny model's logits pass: four in each of its layers, and those of the softmax."""


def tolerance(*compared: Any, depth: int = DEPTH) -> float:
    """The largest difference that rounding explains between values of these sizes (nats, logits, whatever they are).

    Args:
        compared: numbers or arrays; the largest entry counts. For a difference of surprisals (a gain) give the
            surprisals: their rounding is what it inherits.
        depth: roundings in a row.
    """
    size = max(float(np.nanmax(np.abs(np.asarray(values, dtype=float)))) for values in compared)
    return EPS * size * depth


def nats(value: Any, *sizes: Any, depth: int = DEPTH) -> Any:
    """`pytest.approx` of a value or an array of them, within `tolerance` of it and of what it was computed from."""
    return pytest.approx(value, rel=0, abs=tolerance(value, *sizes, depth=depth), nan_ok=True)


def assert_same(found: Any, wanted: Any, depth: int = DEPTH) -> None:
    """Assert that two arrays agree within `tolerance`; NaN only where both have it."""
    found, wanted = np.asarray(found, dtype=float), np.asarray(wanted, dtype=float)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance(wanted, depth=depth), equal_nan=True)
