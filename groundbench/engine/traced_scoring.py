"""The numeric path on which heads are read, scored like any other: what `probe_gap` compares with (protocol §8).

Behaviour runs on the model's fused attention, batched, on cached prefixes and in the model's own type. Heads are read
in whole, traced passes whose attention is computed in fp32. How far the two are apart is told beside every gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, Forward, HeadEdit, ModelInfo, Prefix
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.api.testbed import Prompt
from groundbench.engine.contexts import FormContexts, Ints, of_frames
from groundbench.engine.scoring import score

PROBE_TOKENS = 1024
"""A traced pass keeps its graph, so batches are small."""


class Traced:
    """An adapter whose every pass is a traced one of the whole prompt; without caches."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._info = replace(adapter.info, capabilities=adapter.info.capabilities - {"prefix"})

    @property
    def info(self) -> ModelInfo:
        """The model's, without the capability `prefix`."""
        return self._info

    def encode(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Encode as the adapter does."""
        return self._adapter.encode(prompts)

    def encode_targets(self, words: Sequence[str], after: Prompt) -> list[tuple[int, ...]]:
        """Encode targets as the adapter does."""
        return self._adapter.encode_targets(words, after)

    def prefill(self, rows: Sequence[Encoded], edit: HeadEdit | None = None, prefix: Prefix | None = None) -> Prefix:
        """Raise ValueError: not on this path."""
        raise ValueError("a traced pass reads whole prompts, so it keeps no prefix")

    def forward(
        self,
        rows: Sequence[Encoded],
        *,
        prefix: Prefix | None = None,
        edit: HeadEdit | None = None,
        hidden: Sequence[int] = (),
        trace: bool = False,
    ) -> Forward:
        """Return the logits of a traced pass; the traces are let go."""
        out = self._adapter.forward(rows, edit=edit, hidden=hidden, trace=True)
        return Forward(out.logits.detach(), {layer: state.detach() for layer, state in out.hidden.items()})

    def continuation_logits(
        self, rows: Sequence[Encoded], prefix: Prefix | None, paths: Sequence[tuple[int, ...]], edit: HeadEdit | None
    ) -> Tensor:
        """Return each path behind each row, in a traced pass of its own."""
        longer = [[replace(row, ids=row.ids + path) for row in rows] for path in paths]
        return torch.stack([self.forward(part, edit=edit).logits for part in longer], dim=1)

    def unembed(self, hidden: Tensor, *, normed: bool) -> Tensor:
        """Unembed as the adapter does."""
        return self._adapter.unembed(hidden, normed=normed)


def probe_table(
    adapter: Adapter, contexts: FormContexts, batch_tokens: int = PROBE_TOKENS, nouns: int | None = None, seed: int = 0
) -> SurprisalTable:
    """Return one frame scored on the traced path; needs the capability `hooks`.

    Args:
        nouns: of a seeded sample of so many nouns, shown and asked for; of all by default. A target of several tokens
            takes whole passes on this path, so that all nouns cost large models more than the scores themselves.
    """
    some = of_frames(contexts, np.array([0]), probed_nouns(contexts, nouns, seed))
    return score(Traced(adapter), some, batch_tokens=min(batch_tokens, PROBE_TOKENS))


def probed_nouns(contexts: FormContexts, nouns: int | None, seed: int) -> Ints | None:
    """Return the numbers of the nouns that `probe_table` takes; None for all."""
    present = np.unique(contexts.env[contexts.frame == 0])
    if nouns is None or nouns >= len(present):
        return None
    return np.sort(np.random.default_rng(seed).choice(present, nouns, replace=False))
