"""Scores of single heads: contrast, contrast-ig and exact (protocol §15).

`contrast` is attribution patching at head nodes: sum over positions and dimensions of (o_clean - o_corrupt) times the
gradient of the target's log-probability at the corrupt run; two forward passes and one backward pass for a batch of
pairs, whatever the number of heads. `contrast-ig` averages that gradient over points between the two prompts'
embeddings. `exact` is the effect of interchanging each head alone, clean into corrupt. In nats: positive heads help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, EmbeddingInput, Encoded, Forward, Prefix
from groundbench.api.errors import UnsupportedModelError
from groundbench.engine import distributed
from groundbench.engine.batch_runner import in_halves
from groundbench.engine.batching import group_alike, prefill_once
from groundbench.engine.run_directory import Array, Stage, load_or_make
from groundbench.measures.causal.interchange import Interchange, interchange_heads
from groundbench.measures.heads.saliency import rows_can_be_cached
from groundbench.measures.heads.saliency_flow import finite_loss

Floats = npt.NDArray[np.float64]


def contrast_scores(
    adapter: Adapter,
    interchanges: Sequence[Interchange],
    *,
    points: int = 0,
    batch_tokens: int,
    stage: Stage | None = None,
    advance: Callable[[int], None] | None = None,
) -> Floats:
    """Return [interchanges, heads] contrast of every head: receiver corrupt, donor clean, the first target asked for.

    Args:
        points: 0 takes the gradient at the corrupt run; otherwise it is averaged over so many points between the
            clean prompt's embeddings (left out) and the corrupt one's (the last), as EAP-IG does.

    Raises:
        UnsupportedModelError: the model's heads cannot be read, or its embeddings cannot be given.
    """
    if "hooks" not in adapter.info.capabilities:
        raise UnsupportedModelError(f"{adapter.info.name}: {adapter.info.why_not('hooks')}")
    if points and not can_interpolate(adapter):
        raise UnsupportedModelError(
            f"{adapter.info.name}: no gradient between two prompts: {adapter.info.why_not('start_at_layer')}"
        )
    batches = _batches(adapter, interchanges, batch_tokens)

    def run(number: int, batch: list[int]) -> Floats:
        def make() -> Array:
            own = [interchanges[i] for i in batch]
            parts = in_halves(lambda some: _contrast(adapter, some, points), own, name=lambda s: s.where)
            return np.concatenate(parts).astype(np.float32)

        return load_or_make(stage, number, make).astype(np.float64)

    found = np.full((len(interchanges), adapter.info.n_heads), np.nan)
    for batch, values in zip(batches, distributed.current().map_batches(batches, run, advance=advance), strict=True):
        found[batch] = values
    return found


def can_interpolate(adapter: Adapter) -> bool:
    """Return True if `contrast-ig` can be measured."""
    return isinstance(adapter, EmbeddingInput) and {"start_at_layer", "hidden"} <= adapter.info.capabilities


def exact_scores(
    adapter: Adapter,
    interchanges: Sequence[Interchange],
    *,
    batch_tokens: int,
    stage: Stage | None = None,
    advance: Callable[[int], None] | None = None,
) -> Floats:
    """Return [interchanges, heads] fall of the first target's surprisal (nats) when each head alone is interchanged."""
    n = adapter.info.n_heads
    sets = np.concatenate([np.zeros((1, n), dtype=bool), np.eye(n, dtype=bool)])
    first = [Interchange(s.receiver, s.donor, s.targets[:1], s.where) for s in interchanges]
    found = interchange_heads(adapter, first, sets, batch_tokens=batch_tokens, stage=stage, advance=advance)[..., 0]
    result: Floats = found[:, :1] - found[:, 1:]
    return result


def _batches(adapter: Adapter, interchanges: Sequence[Interchange], batch_tokens: int) -> list[list[int]]:
    prefixes = rows_can_be_cached(adapter)
    shapes = [(len(s.receiver), s.start(prefixes)) for s in interchanges]
    return group_alike(shapes, lambda shape: batch_tokens // (2 * shape[0]))


def _contrast(adapter: Adapter, interchanges: Sequence[Interchange], points: int) -> Floats:
    start = interchanges[0].start(rows_can_be_cached(adapter))
    prefix = prefill_once(adapter, [s.receiver.upto(start) for s in interchanges]) if start else None
    corrupt = [s.receiver.after(start) for s in interchanges]
    clean = [s.donor.after(start) for s in interchanges]
    entering = [0] if points else []
    other = adapter.forward(clean, prefix=prefix, trace=True, hidden=entering)
    given = [t.site.detach() for t in other.traces]
    embedded = {k: v.detach() for k, v in other.hidden.items()}
    del other
    own = adapter.forward(corrupt, prefix=prefix, trace=True, hidden=entering)
    difference = [g - t.site.detach() for g, t in zip(given, own.traces, strict=True)]
    if not points:
        return _times_gradient(difference, _gradients(own, interchanges))
    here = own.hidden[0].detach()
    del own
    total: list[Tensor] | None = None
    for step in range(1, points + 1):
        between = embedded[0] + step / points * (here - embedded[0])
        grads = _gradients(_forward_from(adapter, corrupt, between, prefix), interchanges)
        total = grads if total is None else [a + b for a, b in zip(total, grads, strict=True)]
    assert total is not None
    return _times_gradient(difference, total) / points


def _forward_from(adapter: Adapter, rows: Sequence[Encoded], embedded: Tensor, prefix: Prefix | None) -> Forward:
    assert isinstance(adapter, EmbeddingInput)
    return adapter.forward_from(rows, embedded, prefix=prefix)


def _gradients(out: Forward, interchanges: Sequence[Interchange]) -> list[Tensor]:
    """Compute the gradient of the target's log-probability by each mixer's head outputs, [B, H, T, D] each."""
    metric = -finite_loss(out.logits, [s.targets[0] for s in interchanges], lambda i: interchanges[i].where)
    return list(torch.autograd.grad(metric.sum(), [t.site for t in out.traces], materialize_grads=True))


def _times_gradient(difference: Sequence[Tensor], gradient: Sequence[Tensor]) -> Floats:
    """Return [B, heads]: the differences times the gradients, summed over positions and dimensions."""
    parts = [(d.double() * g.double()).sum((2, 3)).cpu() for d, g in zip(difference, gradient, strict=True)]
    return np.asarray(torch.cat(parts, dim=1).numpy(), np.float64)
