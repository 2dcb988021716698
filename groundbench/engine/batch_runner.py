"""Run the batches of a plan: resume, halve when memory runs out, share prefixes, check for NaN, report progress.

The one way in which a model is run on contexts. What is read of a batch is a function (`Read`): surprisals in
`engine.scoring`, lenses in `measures.lens.reading`, entropies and log-likelihoods elsewhere. What has no plan of
contexts (saliency) halves its batches by `in_halves`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, HeadEdit, Prefix
from groundbench.api.errors import GroundbenchError, NonFiniteLogitsError
from groundbench.engine import distributed
from groundbench.engine.batching import MIN_SAVED, Batch, Plan, beginnings
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


@dataclass(frozen=True, slots=True)
class KeptArray:
    """An array in a block: a place and a shape, no array object of its own until it is asked for."""

    block: Array
    start: int
    shape: tuple[int, ...]

    def array(self) -> Array:
        """Return the array, a view into the block."""
        return self.block[self.start : self.start + math.prod(self.shape)].reshape(self.shape)

    def __reduce__(self) -> tuple[type[KeptArray], tuple[Array, int, tuple[int, ...]]]:
        return KeptArray, (self.array().ravel(), 0, self.shape)  # to another process without the rest of the block


class Kept:
    """Finished batches copied into one block, made for all of them with the first.

    Whatever is allocated between the buffers of two passes and stays leaves holes into which no later buffer fits: the
    memory of a long run would grow with its batches, not with its numbers.
    """

    def __init__(self, n_rows: int) -> None:
        self._left = n_rows
        self._block: Array = np.empty(0, dtype=np.float32)
        self._used = 0

    def copy(self, array: Array) -> KeptArray:
        """Copy an array [rows, ...] into the block, or into a new one for all rows left."""
        if array.size > len(self._block) - self._used:
            width = array.size // max(1, len(array))
            self._block, self._used = np.empty(max(array.size, width * self._left), dtype=np.float32), 0
        start = self._used
        self._left -= len(array)
        self._used += array.size
        self._block[start : self._used] = array.ravel()
        return KeptArray(self._block, start, array.shape)


class ByContext(Mapping[int, Array]):
    """The numbers read of each distinct context, by its index; they stay in the arrays of the batches."""

    def __init__(self, batches: Sequence[Batch], arrays: Sequence[KeptArray]) -> None:
        self._batches, self._arrays = batches, arrays
        last = max((max(b.contexts) for b in batches), default=-1)
        self._batch, self._row = (np.full(last + 1, -1, dtype=np.int32) for _ in range(2))
        for k, batch in enumerate(batches):
            self._batch[list(batch.contexts)] = k
            self._row[list(batch.contexts)] = np.arange(len(batch))

    def __getitem__(self, context: int) -> Array:
        if not 0 <= context < len(self._batch) or self._batch[context] < 0:
            raise KeyError(context)
        found: Array = self._arrays[self._batch[context]].array()[self._row[context]]
        return found

    def __iter__(self) -> Iterator[int]:
        return (i for batch in self._batches for i in batch.contexts)

    def __len__(self) -> int:
        return sum(map(len, self._batches))


Read = Callable[[Part], Tensor]
"""Reads a part: numbers [rows, ...] of each of its contexts."""
Fault = Callable[[Part, Tensor, int], str]
"""The message on a row of a part that is no finite number."""


@dataclass
class BatchRunner:
    """Runs a plan's batches; remembers the prefixes of the last batch, and those of other batches that are as long.

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
    _shared: tuple[dict[Encoded, int], Prefix] | None = field(default=None, repr=False)
    _halved: bool = field(default=False, repr=False)

    def run(self, advance: Advance | None = None, *, size: Callable[[Batch], int] = len) -> ByContext:
        """Read every distinct context, by its index; several processes share the batches.

        Args:
            advance: called with the size of each finished batch.
            size: of a batch; by default its contexts.

        Raises:
            NonFiniteLogitsError: a number is NaN or infinite; names the prompt. Finished batches are kept.
            GroundbenchError: one context alone does not fit into memory.
        """
        batches = self.plan.batches
        kept = Kept(sum(map(len, batches)))

        def run(number: int, batch: Batch) -> KeptArray:
            read = self._load_or_run(number, batch)
            if len(read) != len(batch):
                raise ValueError(f"batch {number}: {len(read)} rows were read of {len(batch)} contexts")
            return kept.copy(read)

        arrays = distributed.current().map_batches(batches, run, size=size, cost=self._cost, advance=advance)
        return ByContext(batches, arrays)

    def _cost(self, batch: Batch) -> float:
        """Return the tokens that a batch runs: those of its rows, and of longer targets behind each."""
        first = batch.contexts[0]
        targets = self.contexts.targets(first)
        behind = sum(map(len, targets.tokens)) - len(targets) if targets.longest > 1 else 0
        return len(batch) * (int(self.contexts.lengths[first]) - batch.start + behind) + MIN_SAVED

    def _load_or_run(self, number: int, batch: Batch) -> Array:
        stage = self.stage
        done = None if stage is None else stage.load(number)
        if done is not None and len(done) == len(batch.contexts):
            return done
        parts = in_halves(
            lambda contexts: self._run_contexts(contexts, batch.start),
            batch.contexts,
            name=self._prompt_name,
            halved=partial(self._note_halving, number),
        )
        done = np.concatenate(parts)
        if stage is not None:
            stage.write(number, done)
        return done

    @torch.no_grad()
    def _run_contexts(self, contexts: Sequence[int], start: int) -> Array:
        rows = [self.contexts.rows[i] for i in contexts]
        part = Part(
            tuple(contexts),
            [row.after(start) for row in rows],
            self._prefix([row.upto(start) for row in rows]) if start else None,
            None if self.edit is None else self.edit.pick(tuple(contexts)),
        )
        values = self.read(part)
        finite = torch.isfinite(values).view(len(values), -1).all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise NonFiniteLogitsError((self.fault or self._not_finite)(part, values, row))
        return values.cpu().numpy().astype(np.float32)

    def _prompt_name(self, context: int) -> str:
        return self.contexts.prompts[context].where

    def _not_finite(self, part: Part, values: Tensor, row: int) -> str:
        return (
            f"{self._prompt_name(part.contexts[row])}: {self.adapter.info.name} returned NaN or infinite logits "
            f"(dtype {self.adapter.info.dtype}); try --dtype float32 or bfloat16"
        )

    def _note_halving(self, number: int, size: int) -> None:
        self._halved = True
        if self.stage is not None:
            self.stage.note_halving(number, size)

    def _prefix(self, rows: Sequence[Encoded]) -> Prefix:
        """Return the prefix that rows go on from: one for all, or one for each."""
        if self._shared is None or not all(row in self._shared[0] for row in rows):
            distinct = self._beginnings_with(rows)
            everywhere = self.edit is not None and self.edit.positions == "all"
            self._shared = None  # its memory is free for the next
            prefix = self.adapter.prefill(distinct, self.edit if everywhere else None)
            self._shared = {row: k for k, row in enumerate(distinct)}, prefix
        place, prefix = self._shared
        return prefix if len(place) == 1 else prefix.select([place[row] for row in rows])

    def _beginnings_with(self, rows: Sequence[Encoded]) -> list[Encoded]:
        """Return prefixes to run together: those of all batches as long as these where they fit into one batch."""
        own, start = list(dict.fromkeys(rows)), len(rows[0])
        every = [row for row in self._beginnings[start] if not row.images]
        together = not self._halved and not own[0].images and len(every) * start <= self.plan.budget
        return every if together else own

    @cached_property
    def _beginnings(self) -> dict[int, list[Encoded]]:
        return beginnings(self.contexts, self.plan.batches)


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
