"""The model's certainty half way: the entropy of the logit lens at its middle layers (protocol §9).

The logit lens unembeds hidden states as they are; nothing is trained, so nothing can be fitted to the questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, ModelInfo
from groundbench.engine.batch_runner import BatchRunner, Part
from groundbench.engine.batching import make_plan
from groundbench.engine.contexts import Contexts
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.measures.lens.training import require_hidden

Floats = npt.NDArray[np.float64]
MOST_LAYERS = 6


def middle_layers(info: ModelInfo) -> tuple[int, ...]:
    """Return layers of the middle third (from 1), at most six, evenly spaced."""
    low, high = info.n_layers // 3 + 1, max(info.n_layers // 3 + 1, 2 * info.n_layers // 3)
    return tuple(sorted({int(k) for k in np.linspace(low, high, min(MOST_LAYERS, high - low + 1)).round()}))


@torch.no_grad()
def lens_entropies(adapter: Adapter, rows: Sequence[Encoded], layers: Sequence[int]) -> Floats:
    """Return [rows] the mean over layers of the lens' entropy (nats) at the last position of rows of one length."""
    out = adapter.forward(rows, hidden=layers)
    total = torch.zeros(len(rows), dtype=torch.float64)
    for layer in layers:
        log_p = adapter.unembed(out.hidden[layer][:, -1], normed=False).float().log_softmax(-1)
        total += -(log_p.exp() * log_p).sum(-1).double().cpu()
    return (total / len(layers)).numpy()


def lens_entropy(
    adapter: Adapter,
    contexts: Contexts,
    *,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    store: RunStore | None = None,
    stage: str = "lens-entropy",
    advance: Callable[[int], None] | None = None,
) -> Floats:
    """Return [contexts] the entropy (nats) of the logit lens at the middle layers, in every context's last position.

    Raises:
        UnsupportedModelError: the model gives no hidden states.
        NonFiniteLogitsError: names the prompt.
    """
    require_hidden(adapter)
    layers = middle_layers(adapter.info)
    plan = make_plan(contexts, budget=batch_tokens, vocab_size=adapter.info.vocab_size, cached=0)
    parts = None if store is None else store.stage(stage, {**plan.summary(), "layers": list(layers)})

    def fault(part: Part, values: Tensor, row: int) -> str:
        where = contexts.prompts[part.contexts[row]].where
        return f"{where}: the logit lens of {adapter.info.name} gives NaN or infinite logits"

    runner = BatchRunner(
        adapter,
        contexts,
        plan,
        lambda part: torch.from_numpy(lens_entropies(adapter, part.rows, layers)),
        parts,
        fault=fault,
    )
    found = runner.run(advance)
    return np.array([found[int(i)] for i in contexts.unique], dtype=np.float64)
