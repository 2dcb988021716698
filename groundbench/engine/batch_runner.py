"""Run the batches of a plan: resume, halve when memory runs out, share prefixes, check for NaN, report progress.

The one way in which a model is run on contexts. What is read of a batch is a function (`Read`): surprisals in
`engine.scoring`, lenses in `measures.lens.reading`, entropies and log-likelihoods elsewhere. What has no plan of
contexts (saliency) halves its batches by `in_halves`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, HeadEdit, Prefix
from groundbench.api.errors import GroundbenchError, NonFiniteLogitsError
from groundbench.engine import distributed
from groundbench.engine.batching import Batch, Plan
from groundbench.engine.contexts import Contexts
from groundbench.engine.run_directory import Array, Stage
from groundbench.util.resource_errors import is_out_of_memory

T = TypeVar("T")
R = TypeVar("R")
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Part:
    """A batch, or a half of one, as it is run.

    Attributes:
        contexts: indices of its contexts.
        rows: their tokens after the shared prefix.
        prefix: the prefix' cache; None where nothing is shared.
        edit: the head edit of these rows.
    """

    contexts: tuple[int, ...]
    rows: list[Encoded]
    prefix: Prefix | None = None
    edit: HeadEdit | None = None


Read = Callable[[Part], Tensor]
"""Reads a part: numbers [rows, ...] of each of its contexts."""
Fault = Callable[[Part, Tensor, int], str]
"""The message on a row of a part that is no finite number."""


@dataclass
class BatchRunner:
    """Runs a plan's batches; remembers the last shared prefix.

    Attributes:
        read: what is read of a batch.
        stage: the run directory's parts; finished batches are read from it and new ones written to it.
        edit: one row for all contexts, or one for each.
        fault: the message on what is not finite; by default it names the prompt.
    """

    adapter: Adapter
    contexts: Contexts
    plan: Plan
    read: Read
    stage: Stage | None = None
    edit: HeadEdit | None = None
    fault: Fault | None = None
    _shared: tuple[Encoded, Prefix] | None = field(default=None, repr=False)

    def run(self, advance: Advance | None = None, *, size: Callable[[Batch], int] = len) -> dict[int, Array]:
        """Read every distinct context, by its index; several processes share the batches.

        Args:
            advance: called with the size of each finished batch.
            size: of a batch; by default its contexts.

        Raises:
            NonFiniteLogitsError: a number is NaN or infinite; names the prompt. Finished batches are kept.
            GroundbenchError: one context alone does not fit into memory.
        """
        batches = self.plan.batches
        arrays = distributed.current().map_batches(batches, self._load_or_run, size=size, advance=advance)
        return {
            i: a
            for batch, array in zip(batches, arrays, strict=True)
            for i, a in zip(batch.contexts, array, strict=True)
        }

    def _load_or_run(self, number: int, batch: Batch) -> Array:
        stage = self.stage
        done = None if stage is None else stage.load(number)
        if done is not None and len(done) == len(batch.contexts):
            return done
        parts = in_halves(
            lambda contexts: self._run_contexts(contexts, batch.start),
            batch.contexts,
            name=self._prompt_name,
            halved=None if stage is None else partial(stage.note_halving, number),
        )
        done = np.concatenate(parts)
        if stage is not None:
            stage.write(number, done)
        return done

    @torch.no_grad()
    def _run_contexts(self, contexts: Sequence[int], start: int) -> Array:
        first = self.contexts[contexts[0]].row
        part = Part(
            tuple(contexts),
            [self.contexts[i].row.after(start) for i in contexts],
            self._prefix(first.upto(start)),
            None if self.edit is None else self.edit.pick(tuple(contexts)),
        )
        values = self.read(part)
        finite = torch.isfinite(values).view(len(values), -1).all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise NonFiniteLogitsError((self.fault or self._not_finite)(part, values, row))
        return values.cpu().numpy().astype(np.float32)

    def _prompt_name(self, context: int) -> str:
        return self.contexts[context].prompt.where

    def _not_finite(self, part: Part, values: Tensor, row: int) -> str:
        return (
            f"{self._prompt_name(part.contexts[row])}: {self.adapter.info.name} returned NaN or infinite logits "
            f"(dtype {self.adapter.info.dtype}); try --dtype float32 or bfloat16"
        )

    def _prefix(self, row: Encoded) -> Prefix | None:
        if not row.ids:
            return None
        if self._shared is None or row != self._shared[0]:
            everywhere = self.edit is not None and self.edit.positions == "all"
            self._shared = row, self.adapter.prefill([row], self.edit if everywhere else None)
        return self._shared[1]


def in_halves(
    run: Callable[[Sequence[T]], R],
    members: Sequence[T],
    *,
    name: Callable[[T], str],
    halved: Callable[[int], None] | None = None,
) -> list[R]:
    """Return `run(members)`, or where memory runs out that of their halves, in order.

    Args:
        name: of a member, in the message.
        halved: called with the size of what did not fit.

    Raises:
        GroundbenchError: one member alone does not fit into memory.
    """
    try:
        return [run(members)]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    n = len(members)  # below, not in the handler: it would hold on to the failed pass's tensors
    if n == 1:
        raise GroundbenchError(f"{name(members[0])}: one context alone does not fit into memory; try a smaller --dtype")
    if halved is not None:
        halved(n)
    return [
        r for half in (members[: n // 2], members[n // 2 :]) for r in in_halves(run, half, name=name, halved=halved)
    ]
