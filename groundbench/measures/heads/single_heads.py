"""The effect of each head alone: surprisal with one head zeroed at a time (protocol §11, exploratory).

Each row of a batch has another head edited, and a pass starts at the edited layer from its saved residual; at the
prediction position it runs one token on the cached prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import (
    Adapter,
    Capability,
    Encoded,
    HeadEdit,
    Mixer,
    ModelInfo,
    Positions,
    Prefix,
    StartsAtLayer,
)
from groundbench.api.errors import UnsupportedModelError
from groundbench.engine import distributed
from groundbench.engine.batch_runner import in_halves
from groundbench.engine.batching import prefill_once
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.measures.heads.saliency import SaliencyItem

Floats = npt.NDArray[np.float64]
NEEDED: tuple[Capability, ...] = ("hooks", "hidden", "start_at_layer", "edit")


def sweep_heads(
    adapter: Adapter,
    items: Sequence[SaliencyItem],
    *,
    positions: Positions = "last",
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    advance: Callable[[int], None] | None = None,
) -> Floats:
    """Return [items, heads] rise of the target's first-token surprisal (nats) when each head alone is zeroed.

    Args:
        positions: zero the head at the prediction position only, or at every position.

    Raises:
        UnsupportedModelError: the model cannot be restarted from a layer.
    """
    info = adapter.info
    missing = missing_capabilities(info)
    if missing or not isinstance(adapter, StartsAtLayer):
        why = info.why_not(missing[0] if missing else "start_at_layer")
        raise UnsupportedModelError(f"{info.name}: single heads cannot be swept: {why}")
    effects = np.full((len(items), adapter.info.n_heads), np.nan)
    widest = max(m.n_heads for m in adapter.info.mixers)
    batches = list(_batches(items, positions, widest, batch_tokens))

    def sweep_batch(_: int, batch: list[int]) -> Floats:
        parts = in_halves(lambda some: _sweep(adapter, some, positions), [items[i] for i in batch], name=_item_name)
        return np.concatenate(parts)

    found = distributed.current().map_batches(batches, sweep_batch, advance=advance)
    for batch, effect in zip(batches, found, strict=True):
        effects[batch] = effect
    return effects


def _item_name(item: SaliencyItem) -> str:
    return item.where


def missing_capabilities(info: ModelInfo) -> list[Capability]:
    """Return what a sweep needs and the model lacks."""
    return [c for c in NEEDED if not (info.can_edit if c == "edit" else c in info.capabilities)]


def _batches(
    items: Sequence[SaliencyItem], positions: Positions, widest: int, batch_tokens: int
) -> Iterator[list[int]]:
    groups: dict[int, list[int]] = {}
    for i, item in enumerate(items):
        groups.setdefault(len(item.row), []).append(i)
    for length, members in sorted(groups.items()):
        size = max(1, batch_tokens // (widest * length))
        for a in range(0, len(members), size):
            yield members[a : a + size]


def _sweep(adapter: Adapter, items: Sequence[SaliencyItem], positions: Positions) -> Floats:
    rows, prefix = _prefill(adapter, [i.row for i in items], positions)
    layers = sorted({m.layer for m in adapter.info.mixers})
    base = adapter.forward(rows, prefix=prefix, hidden=[layer - 1 for layer in layers])
    target = torch.tensor([i.target[0] for i in items], device=base.logits.device)
    before = _surprisal(base.logits, target)
    columns, start = [], 0
    repeated: dict[int, Prefix | None] = {}
    for mixer in adapter.info.mixers:
        n = mixer.n_heads
        if n not in repeated:
            each = [r for r in range(len(rows)) for _ in range(n)]
            repeated[n] = None if prefix is None else prefix.select(each)
        edit = _one_head_each(adapter, mixer, start, len(rows), positions)
        logits = _restart(adapter, rows, base.hidden[mixer.layer - 1], mixer, repeated[n], edit)
        after = _surprisal(logits, target.repeat_interleave(n)).view(len(rows), n)
        columns.append((after - before[:, None]).double().cpu().numpy())
        start += n
    return np.concatenate(columns, axis=1)


def _prefill(adapter: Adapter, rows: Sequence[Encoded], positions: Positions) -> tuple[list[Encoded], Prefix | None]:
    """Return rows and their prefix: at the prediction position alone, everything before it is run once and cached."""
    cached = positions == "last" and "prefix" in adapter.info.capabilities and len(rows[0]) > 1
    if not cached or any(m.kind != "attention" for m in adapter.info.mixers):
        return list(rows), None
    start = len(rows[0]) - 1
    return [r.after(start) for r in rows], prefill_once(adapter, [r.upto(start) for r in rows])


def _one_head_each(adapter: Adapter, mixer: Mixer, start: int, rows: int, positions: Positions) -> HeadEdit:
    scale = torch.ones(mixer.n_heads, adapter.info.n_heads)
    scale[torch.arange(mixer.n_heads), start + torch.arange(mixer.n_heads)] = 0.0
    return HeadEdit(scale.repeat(rows, 1), None, positions)


def _restart(
    adapter: Adapter, rows: list[Encoded], residual: Tensor, mixer: Mixer, prefix: Prefix | None, edit: HeadEdit
) -> Tensor:
    assert isinstance(adapter, StartsAtLayer)
    longer = [r for r in rows for _ in range(mixer.n_heads)]
    return adapter.start_at_layer(
        longer, residual.repeat_interleave(mixer.n_heads, dim=0), mixer.layer, prefix=prefix, edit=edit
    )


def _surprisal(logits: Tensor, target: Tensor) -> Tensor:
    return torch.logsumexp(logits, -1) - logits.gather(1, target[:, None])[:, 0]
