"""Prompts that begin alike, such as with the same evidence, go on from one pass over what they share (protocol §16).

A record's evidence stands in its own prompt and in the prompts of the records that are compared with it, and several
questions may be asked about one passage. Which beginnings are run apart depends on the set of answers alone, never on
what is in memory: a reading is the same in whatever order and in however many processes answers are read.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TypeVar

import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, Prefix, PrefixReadable
from groundbench.engine.batching import common_prefix

K = TypeVar("K")
V = TypeVar("V")
MIN_SHARED = 32
"""Tokens: running fewer apart takes longer, since every pass reads all of the weights, than running them again."""
MOST_KEPT = 4
"""Beginnings in memory: an answer has two, and the next one is chosen for those that are there."""
MOST_LOOKED_AT = 16
"""Of the answers with one beginning, how many may be the next: all records may begin with the same instructions."""


@dataclass(frozen=True)
class Beginning:
    """The first tokens of some prompts, already run: their cache, and [1, tokens, d] the last layer's states."""

    prefix: Prefix
    states: Tensor


@dataclass
class SharedBeginnings:
    """The beginnings that rows of a set share, and those of them that are in memory."""

    lengths: dict[Encoded, int] = field(default_factory=dict)
    """By row the tokens it shares with another, where these are worth a pass of their own."""
    _kept: OrderedDict[tuple[int, ...], Beginning] = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, adapter: Adapter, rows: Iterable[Encoded]) -> SharedBeginnings:
        """Return the beginnings of rows; none where the model cannot go on from one."""
        info = adapter.info
        serves = isinstance(adapter, PrefixReadable) and all(m.kind == "attention" for m in info.mixers)
        if not serves or "prefix" not in info.capabilities:
            return cls()
        return cls(_shared_lengths([r for r in rows if not r.images and len(r) <= info.longest_cached]))

    def key(self, row: Encoded) -> tuple[int, ...]:
        """Return the tokens that a row shares with others; empty where it is run whole."""
        return row.ids[: self.lengths.get(row, 0)]

    def begin(self, adapter: Adapter, row: Encoded) -> Beginning | None:
        """Return what a row goes on from, run now unless it is in memory; None where the row is run whole."""
        key = self.key(row)
        if not key or not isinstance(adapter, PrefixReadable):
            return None
        found = self._kept.get(key)
        if found is None:
            last = adapter.info.n_layers
            with torch.no_grad():
                prefix, states = adapter.prefill_with_hidden([row.upto(len(key))], (last,))
            found = Beginning(prefix, states[last])
        _keep(self._kept, key, found)
        return found


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    """Put a beginning last, and drop those that were not used for longest."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)


def _shared_lengths(rows: Sequence[Encoded]) -> dict[Encoded, int]:
    """Return by row how many tokens of it are run apart: up to its evidence's end where others begin with it too."""
    times = Counter(rows)
    distinct = sorted(times, key=lambda r: r.ids)
    found = {row: len(row) - 1 if n > 1 else 0 for row, n in times.items()}
    for one, other in pairwise(distinct):  # a row's neighbours share most with it
        shared = common_prefix([one, other])
        for row in (one, other):
            end = max((end for _, end in row.env if end <= shared), default=shared)
            found[row] = max(found[row], end)
    uses: Counter[tuple[int, ...]] = Counter()
    for row, n in found.items():
        uses[row.ids[:n]] += times[row]
    return {row: n for row, n in found.items() if n >= MIN_SHARED and uses[row.ids[:n]] > 1}


def in_order(keys: Sequence[Sequence[tuple[int, ...]]]) -> list[int]:
    """Return the numbers of items so that those with a beginning in common follow each other.

    Args:
        keys: for each item the beginnings it goes on from.
    """
    by_key: dict[tuple[int, ...], OrderedDict[int, None]] = {}
    for i, own in enumerate(keys):
        for key in own:
            if key:
                by_key.setdefault(key, OrderedDict())[i] = None
    left, found = OrderedDict.fromkeys(range(len(keys))), []
    kept: OrderedDict[tuple[int, ...], None] = OrderedDict()
    while left:
        near = Counter(i for key in kept for i in islice(by_key[key], MOST_LOOKED_AT))
        item = min(near, key=lambda i: (-near[i], i)) if near else next(iter(left))
        found.append(item)
        del left[item]
        for key in dict.fromkeys(keys[item]):
            if key:
                del by_key[key][item]
                _keep(kept, key, None)
    return found
