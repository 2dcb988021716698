"""A shared prefix' key/value (or state-space) cache, copied for each batch that continues it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache


@dataclass(frozen=True)
class CachedPrefix:
    """A prefix of `length` tokens for `rows` rows; `logits` [rows, V] fp32 at its last position, or [rows, 0]."""

    cache: Cache
    length: int
    rows: int
    logits: Tensor

    def select(self, rows: Sequence[int]) -> CachedPrefix:
        """Return a prefix of these rows, in this order; a row may come several times."""
        index = torch.tensor(rows, device=self.logits.device)
        return CachedPrefix(fork(self.cache, index, self.rows), self.length, len(rows), self.logits[index])

    def for_batch(self, batch: int) -> Cache:
        """Return a cache of `batch` rows that may be written to: one prefix row for all, or one for each."""
        if batch != self.rows and self.rows != 1:
            raise ValueError(f"a prefix of {self.rows} rows cannot serve a batch of {batch}")
        index = None if batch == self.rows else torch.zeros(batch, dtype=torch.long, device=self.logits.device)
        return fork(self.cache, index, self.rows)


@dataclass(frozen=True)
class UncachedPrefix:
    """A prefix without a cache: rows that continue it are run whole, since they hold all of their tokens.

    Of prompts that are longer than the cache was seen to serve (see `groundbench.adapters.length_checks`).
    """

    length: int
    rows: int
    logits: Tensor

    def select(self, rows: Sequence[int]) -> UncachedPrefix:
        """Return a prefix of these rows, in this order; a row may come several times."""
        index = torch.tensor(rows, device=self.logits.device)
        return UncachedPrefix(self.length, len(rows), self.logits[index])


def fork(cache: Cache, index: Tensor | None, rows: int) -> Cache:
    """Return a copy of a cache of `rows` rows with the rows of `index` (None: all, once).

    Appending to the copy leaves the original as it was: keys and values grow by concatenation, so sharing them is
    safe; recurrent states are written in place and are therefore cloned.
    """
    new = copy.copy(cache)
    for name, value in vars(cache).items():  # states that a family keeps beside its layers' (MiniMax)
        if isinstance(value, list) and name != "layers":
            setattr(new, name, [_pick_rows(v, index, rows) for v in value])
    new.layers = [_fork_layer(layer, index, rows) for layer in cache.layers]
    return new


def _fork_layer(layer: Any, index: Tensor | None, rows: int) -> Any:
    new = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, dict):
            setattr(new, name, {k: _pick_rows(v, index, rows) for k, v in value.items()})
        elif isinstance(value, list):
            setattr(new, name, [_pick_rows(v, index, rows) for v in value])
        elif name not in ("keys", "values") or index is not None:
            setattr(new, name, _pick_rows(value, index, rows))
    return new


def _pick_rows(value: Any, index: Tensor | None, rows: int) -> Any:
    if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] != rows or value.numel() == 0:
        return value
    return value.clone() if index is None else value[index.to(value.device)]
