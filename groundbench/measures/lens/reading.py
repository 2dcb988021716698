"""Reading lenses: surprisal of every target at every layer, at the contexts' last position (protocol §9).

Each context runs once; every lens, layer and target is read from that pass. The last layer is the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine.batch_runner import BatchRunner, Part
from groundbench.engine.batching import make_plan
from groundbench.engine.contexts import FormContexts
from groundbench.engine.run_directory import Array, RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS, first_tokens, pick_targets, table_of
from groundbench.measures.lens.training import PASS_STATES, kl_divergence, require_hidden
from groundbench.measures.lens.tuned_lens import TunedLens

Lens = TunedLens | None
"""A tuned lens, or None for the logit lens: hidden states are unembedded as they are."""


@dataclass(frozen=True)
class LensReading:
    """One lens read at some layers.

    Attributes:
        layers: from 1; the last is the model's last, which is the model itself.
        tables: for each layer the surprisal (nats) of each target's first token.
        kl: [layers, distinct contexts] KL(final || lens) in nats.
    """

    layers: tuple[int, ...]
    tables: tuple[SurprisalTable, ...]
    kl: npt.NDArray[np.float64]

    def concat(self, other: LensReading) -> LensReading:
        """Return this reading and that of other frames, as one."""
        tables = tuple(_join_tables(a, b) for a, b in zip(self.tables, other.tables, strict=True))
        return LensReading(self.layers, tables, np.concatenate([self.kl, other.kl], axis=1))


def read_lens(
    adapter: Adapter,
    contexts: FormContexts,
    lens: Lens,
    layers: Sequence[int],
    *,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> LensReading:
    """Read one lens; see `read_lenses`."""
    return read_lenses(adapter, contexts, (lens,), layers, batch_tokens=batch_tokens)[0]


def read_lenses(
    adapter: Adapter,
    contexts: FormContexts,
    lenses: Sequence[Lens],
    layers: Sequence[int],
    *,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    store: RunStore | None = None,
    stage: str = "lens",
    advance: Callable[[int], None] | None = None,
) -> tuple[LensReading, ...]:
    """Return the surprisal of the first token of every target in every context, at some layers and the last.

    Args:
        layers: below the last; every tuned lens must have a translator for each.
        store: a run directory; finished batches are read from it and new ones written to it.
        advance: told the number of contexts of each finished batch.

    Raises:
        UnsupportedModelError: the model gives no hidden states.
        NonFiniteLogitsError: NaN logits, naming the prompt and the layer.
        GroundbenchError: one context alone does not fit into memory.
    """
    require_hidden(adapter)
    info = adapter.info
    budget = max(1, min(batch_tokens, PASS_STATES // ((len(layers) + 1) * info.d_model)))
    plan = make_plan(contexts, budget=budget, vocab_size=info.vocab_size, cached=info.longest_cached)
    marks = ["logit" if lens is None else lens.digest() for lens in lenses]
    parts = None if store is None else store.stage(stage, {**plan.summary(), "lenses": marks, "layers": list(layers)})
    reader = _Reader(adapter, contexts, lenses, tuple(layers))
    read = BatchRunner(adapter, contexts, plan, reader.read, parts, fault=reader.fault).run(advance)
    return tuple(_reading(contexts, read, k, (*layers, info.n_layers)) for k in range(len(lenses)))


def _reading(contexts: FormContexts, read: Mapping[int, Array], lens: int, layers: tuple[int, ...]) -> LensReading:
    tables = tuple(
        table_of(contexts, {i: values[lens, at, :-1] for i, values in read.items()}) for at in range(len(layers))
    )
    kl = np.stack([read[i][lens, :, -1] for i in contexts.distinct.tolist()], axis=1)
    return LensReading(layers, tables, kl.astype(np.float64))


def _join_tables(a: SurprisalTable, b: SurprisalTable) -> SurprisalTable:
    return replace(
        a,
        frame=np.concatenate([a.frame, b.frame]),
        env=np.concatenate([a.env, b.env]),
        target=np.concatenate([a.target, b.target]),
        surprisal=np.concatenate([a.surprisal, b.surprisal]),
    )


def lens_logits(adapter: Adapter, lens: Lens, layer: int, hidden: Tensor) -> Tensor:
    """Return the logits [B, V] (fp32) that a lens reads in a layer's hidden states [B, d]."""
    seen = hidden if lens is None else lens.translate(layer, hidden).to(hidden.dtype)
    return adapter.unembed(seen, normed=False).float()


@dataclass(frozen=True)
class _Reader:
    """The reading of lenses on a batch."""

    adapter: Adapter
    contexts: FormContexts
    lenses: Sequence[Lens]
    layers: tuple[int, ...]

    def read(self, part: Part) -> Tensor:
        """Return [B, lenses, layers, targets + 1]: surprisals, and in the last column the KL."""
        out = self.adapter.forward(part.rows, prefix=part.prefix, hidden=self.layers)
        first = first_tokens(self.contexts, part.contexts)
        model = _columns(out.logits, out.logits, first)
        read = []
        for lens in self.lenses:
            for layer in self.layers:
                logits = lens_logits(self.adapter, lens, layer, out.hidden[layer][:, -1])
                read.append(_columns(out.logits, logits, first))
            read.append(model)
        values = torch.stack(read, 1)
        return values.view(len(part.rows), len(self.lenses), len(self.layers) + 1, -1)

    def fault(self, part: Part, values: Tensor, row: int) -> str:
        """Return the message on a row that is not finite, with its first such layer."""
        finite = torch.isfinite(values[row]).all(-1).all(0)
        layer = (*self.layers, self.adapter.info.n_layers)[int((~finite).nonzero()[0])]
        return (
            f"{self.contexts.prompts[part.contexts[row]].where}: the lens of {self.adapter.info.name} gives NaN "
            f"or infinite logits at layer {layer}; try --dtype float32"
        )


def _columns(model: Tensor, lens: Tensor, first: Tensor) -> Tensor:
    """[B, targets + 1]: surprisal of each target's first token under `lens` logits [B, V], and KL(model || lens)."""
    surprisal = torch.logsumexp(lens, -1, keepdim=True) - pick_targets(lens, first)
    kl = kl_divergence(model.log_softmax(-1), lens.log_softmax(-1))
    return torch.cat([surprisal, kl[:, None]], 1)
