"""The time that a model takes for a token: from one timed batch, or of a model that was not opened, its estimate."""

from __future__ import annotations

import time
from collections.abc import Sequence

from groundbench.api.adapter import Adapter, Encoded, Estimated


def seconds_per_token(adapter: Adapter, rows: Sequence[Encoded]) -> float:
    """Return the seconds of a forward pass for each token.

    Args:
        rows: prompts of one length; they are run twice, and the second time is timed.
    """
    if isinstance(adapter, Estimated):
        return adapter.seconds_per_token
    adapter.forward(rows)
    started = time.perf_counter()
    adapter.forward(rows)
    return (time.perf_counter() - started) / (len(rows) * len(rows[0]))


def basis(adapter: Adapter) -> str:
    """Return what a time is estimated from, for people."""
    if isinstance(adapter, Estimated):
        return f"from its size and a timed matrix product ({adapter.weights}; --try opens it and times a batch)"
    return "from one timed batch"
