"""Random draws that are a pure function of a key and a counter: the same integers on every machine.

numpy does not promise the streams of its distributions across versions; SplitMix64 on uint64 is arithmetic only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import fsum

import numpy as np
import numpy.typing as npt

Words32 = npt.NDArray[np.uint64]
"""Draws: integers in [0, 2**32), kept in uint64 so that products with small numbers do not overflow."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key_of(*parts: object) -> np.uint64:
    """Return a 64-bit key for a stream, from anything that has a text."""
    text = ":".join(str(p) for p in parts)
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))


def draws(key: np.uint64, streams: npt.NDArray[np.int64], count: int) -> Words32:
    """Return [len(streams), count] draws in [0, 2**32); a longer draw of a stream begins like a shorter one."""
    states = _mix(key + streams.astype(np.uint64) * _GOLDEN)
    counters = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return _mix(states[:, None] + counters) >> np.uint64(32)


def threshold(chance: float) -> np.uint64:
    """Return the number for which `draw < threshold(chance)` is true with that chance."""
    return np.uint64(round(chance * 2**32))


def cumulative(shares: Sequence[float]) -> Words32:
    """Return upper bounds for `pick`: one for each choice, the last one 2**32."""
    total = fsum(shares)
    bounds, running = [], 0.0
    for share in shares:
        running += share
        bounds.append(round(running / total * 2**32))
    bounds[-1] = 2**32
    return np.array(bounds, dtype=np.uint64)


def pick(bounds: Words32, draw: Words32) -> npt.NDArray[np.int64]:
    """Return the choice of each draw among weighted ones."""
    return np.searchsorted(bounds, draw, side="right").astype(np.int64)


def pick_even(n: int, draw: Words32) -> npt.NDArray[np.int64]:
    """Return the choice of each draw among n equal ones."""
    return ((draw * np.uint64(n)) >> np.uint64(32)).astype(np.int64)


def _mix(z: Words32) -> Words32:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
