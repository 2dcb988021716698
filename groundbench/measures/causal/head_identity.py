"""Identity of heads: what each does on random tokens that are repeated once (protocol §15).

Mean attention weights from the repeat to the token after the first occurrence (induction), to the first occurrence
(duplicate token), to the token before (previous token) and to the first token (sink). Of a state-space head, whose
weights do not sum to 1, shares of its absolute weights. Beside them the OV-copy score, from the weights.
"""

from __future__ import annotations

import numpy as np
import torch

from groundbench.api.adapter import Adapter, Encoded, Trace
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.measures.causal.ov_copy import ov_copy
from groundbench.results.causal import HeadIdentity

SEQUENCES = 20
LENGTH = 50


def head_identity(
    adapter: Adapter, *, first: tuple[int, ...] = (), seed: int = 0, batch_tokens: int = DEFAULT_BATCH_TOKENS
) -> tuple[HeadIdentity, ...]:
    """Return the identity of every head.

    Args:
        first: what every prompt of the model begins with (its BOS).
    """
    info = adapter.info
    rng = np.random.default_rng([seed, 50])
    length = min(LENGTH, info.vocab_size // 2, (info.max_length - len(first)) // 2)
    rows = []
    for _ in range(SEQUENCES):
        ids = rng.choice(info.vocab_size, length, replace=False).tolist()
        rows.append(Encoded((*first, *ids, *ids)))
    total: np.ndarray[tuple[int, int], np.dtype[np.float64]] = np.zeros((4, info.n_heads))
    size = max(1, batch_tokens // len(rows[0]))
    for a in range(0, SEQUENCES, size):
        part = rows[a : a + size]
        traces = adapter.forward(part, trace=True).traces
        total += len(part) * np.concatenate([_weights(t, length, len(first)) for t in traces], axis=1)
    induction, previous, duplicate, sink = (total / SEQUENCES).tolist()
    copy = ov_copy(adapter, seed=seed)
    return tuple(
        HeadIdentity(
            layer=layer,
            head=head,
            induction=induction[i],
            previous=previous[i],
            duplicate=duplicate[i],
            sink=sink[i],
            ov_copy=None if copy is None or np.isnan(copy[i]) else float(copy[i]),
        )
        for i, (layer, head) in enumerate(info.head_index)
    )


@torch.no_grad()
def _weights(trace: Trace, length: int, first: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return [4, H] mean weights over sequences and the repeat's positions, its first left out."""
    begin, end = first + length + 1, first + 2 * length
    weights = trace.weights(slice(begin, end)).abs().double()
    if trace.mixer.kind == "ssd":
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)
    query = torch.arange(begin, end, device=weights.device)
    missing = end - weights.shape[-1]
    kinds = (query - length + 1, query - 1, query - length, torch.zeros_like(query))
    rows = torch.arange(len(query), device=weights.device)
    found = []
    for key in kinds:
        at = key - missing
        own = weights[:, :, rows, at.clamp(min=0)] * (at >= 0)
        found.append(own.mean((0, 2)).cpu().numpy())
    return np.array(found)
