"""Induction heads, by what they do in random repeated tokens (Olsson et al. 2022)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from groundbench.api.adapter import Adapter, Encoded

Bools = npt.NDArray[np.bool_]
LENGTH = 25
MIN_SCORE = 0.3
"""Mean attention to the token after the earlier copy, from which a head counts."""


@torch.no_grad()
def induction_scores(adapter: Adapter, seed: int = 0, rows: int = 4) -> npt.NDArray[np.float64]:
    """Return [heads] mean attention from a repeated token to the token that followed its first copy."""
    rng = np.random.default_rng([seed, 25])
    length = min(LENGTH, max(2, (adapter.info.max_length - 2) // 2))
    total: list[torch.Tensor] = []
    for _ in range(rows):
        half = rng.integers(0, adapter.info.vocab_size, length)
        ids = tuple(int(t) for t in np.concatenate([half, half]))
        out = adapter.forward([Encoded(ids)], trace=True)
        query = torch.arange(length, 2 * length - 1)
        scores = []
        for trace in out.traces:
            weights = trace.weights(slice(0, 2 * length), 2 * length)[0]
            scores.append(weights[:, query, query - length + 1].float().mean(-1).cpu())
        total.append(torch.cat(scores))
    found: npt.NDArray[np.float64] = torch.stack(total).mean(0).double().numpy()
    return found


def induction_heads(adapter: Adapter, seed: int = 0) -> Bools:
    """Return [heads] which heads are induction heads; none in a model whose heads cannot be read."""
    if "hooks" not in adapter.info.capabilities:
        return np.zeros(adapter.info.n_heads, dtype=bool)
    return induction_scores(adapter, seed) >= MIN_SCORE
