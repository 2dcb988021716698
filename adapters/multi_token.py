"""Logits after many short paths of tokens that go on from the same cached contexts (targets of several tokens).

`tree` reads all paths of a context in one row under a mask in which a token sees the context and its own path only;
`each` gives every path a row of its own, for models that cannot take such a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from groundbench.adapters.kv_cache import CachedPrefix

Path = tuple[int, ...]
Run = Callable[..., Tensor]


def tree(run: Run, cache: Any, start: int, paths: Sequence[Path], batch: int, device: torch.device) -> Tensor:
    """Return [batch, paths, V]: one pass over the trie of all paths, each token at its own depth's position."""
    nodes = sorted({p[:d] for p in paths for d in range(1, len(p) + 1)})
    index = {node: i for i, node in enumerate(nodes)}
    sees = torch.zeros(len(nodes), start + len(nodes), dtype=torch.bool)
    sees[:, :start] = True
    for i, node in enumerate(nodes):
        sees[i, [start + index[node[:d]] for d in range(1, len(node) + 1)]] = True
    ids = torch.tensor([node[-1] for node in nodes], device=device)
    depth = torch.tensor([start + len(node) - 1 for node in nodes], device=device)
    logits = run(
        ids.expand(batch, -1),
        cache,
        attention_mask=sees.to(device).expand(batch, 1, -1, -1),
        position_ids=depth.expand(batch, -1),
    )
    return logits[:, [index[p] for p in paths]].float()


def each(run: Run, prefix: CachedPrefix, paths: Sequence[Path], device: torch.device) -> Tensor:
    """Return [rows, paths, V]: the paths of one length at a time, each in a row of its own."""
    out: list[Tensor | None] = [None] * len(paths)
    for length in sorted({len(p) for p in paths}):
        members = [i for i, p in enumerate(paths) if len(p) == length]
        ids = torch.tensor([paths[i] for i in members], device=device)
        repeated = prefix.select([r for r in range(prefix.rows) for _ in members])
        logits = run(ids.repeat(prefix.rows, 1), repeated.for_batch(repeated.rows))[:, -1].float()
        for i, column in zip(members, logits.view(prefix.rows, len(members), -1).unbind(1), strict=True):
            out[i] = column
    return torch.stack([o for o in out if o is not None], dim=1)
