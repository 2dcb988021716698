"""The batch plan: which contexts run together. A function of the prompts and the options alone.

Contexts of one length share a batch, so nothing is padded. Contexts that begin alike share the key/value cache
of their common prefix where that saves a quarter of the tokens; contexts of one image share the image's. Prefixes of
one length, as those of several frames, serve one batch together: small batches read all weights for few tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from groundbench.api.adapter import Adapter, Encoded, Prefix
from groundbench.engine.contexts import Contexts, Ints, TargetSet

Key = tuple[int, int, Encoded, tuple[int, TargetSet | None]]
Groups = Mapping[Key, list[int]]
MAX_LOGITS = 1 << 25
NO_IMAGE = Encoded(())
MIN_PREFIX = 8
MIN_SAVING = 0.25
MIN_SAVED = 64
"""Tokens: fewer take less time than a pass more, which reads all weights."""
MAX_CACHED = 4
"""Of image contexts, the cached tokens of a batch: this many times its budget."""


@dataclass(frozen=True)
class Batch:
    """Contexts (indices) of one length, after prefixes of `start` tokens, each with as many targets.

    Where a target has several tokens, all contexts of the batch have the same targets.
    """

    contexts: tuple[int, ...]
    start: int

    def __len__(self) -> int:
        return len(self.contexts)


@dataclass(frozen=True)
class Plan:
    """All batches in order, and the hash they are known by."""

    batches: tuple[Batch, ...]
    tokens: int
    budget: int
    digest: str

    def summary(self) -> dict[str, object]:
        """Summarise the plan for the manifest."""
        return {
            "batches": len(self.batches),
            "tokens": self.tokens,
            "budget": self.budget,
            "hash": self.digest,
        }


def make_plan(contexts: Contexts, *, budget: int, vocab_size: int, cached: int) -> Plan:
    """Return batches under a budget of tokens, longest first so that memory runs out early or never.

    Args:
        budget: tokens in one batch (at least one context always runs).
        vocab_size: bounds the rows so that [rows, V] logits stay under 2^25 numbers.
        cached: the longest row, with a target of several tokens behind it, that can go on from a shared prefix.
    """
    groups: dict[Key, list[int]] = defaultdict(list)
    starts = _prefix_lengths(contexts) if cached else np.zeros(len(contexts), dtype=np.int64)
    longest = np.array([t.longest for t in contexts.target_sets], dtype=np.int64)
    ends = contexts.lengths + (longest * (longest > 1))[contexts.target_set]
    starts = np.where(ends <= cached, starts, 0)
    shared = [_shared_targets(t) for t in contexts.target_sets]
    for i in contexts.distinct.tolist():
        start = int(starts[i])
        image = contexts.rows[i].upto(start) if contexts.with_images[i] else NO_IMAGE
        groups[int(contexts.lengths[i]), start, image, shared[contexts.target_set[i]]].append(i)
    batches: list[Batch] = []
    for (length, start, _, _), members in _in_order(groups):
        rows = _rows(length, start, contexts.rows[members[0]], budget, vocab_size)
        batches += [Batch(tuple(members[a : a + rows]), start) for a in range(0, len(members), rows)]
    tokens = sum((int(contexts.lengths[b.contexts[0]]) - b.start) * len(b) for b in batches)
    tokens += sum(start * len(rows) for start, rows in beginnings(contexts, batches).items())
    digest = _digest(contexts, batches, budget)
    return Plan(tuple(batches), tokens, budget, digest)


def _digest(contexts: Contexts, batches: Sequence[Batch], budget: int) -> str:
    """Hash the tokens, images and targets of every batch, and the budget, one batch after the other (16 digits)."""
    number: dict[TargetSet, int] = {}
    first_use = np.unique(contexts.target_set, return_index=True)[1]
    for k in contexts.target_set[np.sort(first_use)].tolist():
        number.setdefault(contexts.target_sets[k], len(number))
    numbers = [number.get(t, -1) for t in contexts.target_sets]
    found = hashlib.sha256(b"[[")
    for k, batch in enumerate(batches):
        entries = [_plan_entry(contexts.rows[i], numbers[contexts.target_set[i]]) for i in batch.contexts]
        found.update((", " * (k > 0) + json.dumps([batch.start, entries])).encode())
    found.update(f"], {json.dumps([t.tokens for t in number])}, {json.dumps(budget)}]".encode())
    return found.hexdigest()[:16]


def beginnings(contexts: Contexts, batches: Sequence[Batch]) -> dict[int, list[Encoded]]:
    """Return by length the different prefixes of all batches."""
    found: dict[int, dict[Encoded, None]] = {}
    for batch in batches:
        if batch.start:
            own = (contexts.rows[i].upto(batch.start) for i in batch.contexts)
            found.setdefault(batch.start, {}).update(dict.fromkeys(own))
    return {start: list(rows) for start, rows in found.items()}


def _in_order(groups: Groups) -> list[tuple[Key, list[int]]]:
    """Order contexts: longest first; those with prefixes of one length, or of one image, follow each other."""
    kinds = {key: (key[1], key[2]) for key in groups}
    longest: dict[tuple[int, Encoded], int] = {}
    first: dict[tuple[int, Encoded], int] = {}
    for key, members in groups.items():
        kind = kinds[key]
        longest[kind] = max(key[0], longest.get(kind, 0))
        first[kind] = min(members[0], first.get(kind, members[0]))

    def place(item: tuple[Key, list[int]]) -> tuple[int, int, int, int, int]:
        kind, (length, *_), members = kinds[item[0]], item[0], item[1]
        return -longest[kind], -kind[0], first[kind], -length, members[0]

    return sorted(groups.items(), key=place)


def _rows(length: int, start: int, row: Encoded, budget: int, vocab_size: int) -> int:
    """Count contexts a batch may have."""
    most = min(budget // (length - start), MAX_LOGITS // vocab_size)
    if row.images:
        most = min(most, MAX_CACHED * budget // length)
    return max(1, most)


def _plan_entry(row: Encoded, targets: int) -> tuple[object, ...]:
    """Return what the plan's hash covers of a context: its tokens, its images, and its targets."""
    return (row.ids, targets, [str(image) for image in row.images]) if row.images else (row.ids, targets)


def _shared_targets(targets: TargetSet) -> tuple[int, TargetSet | None]:
    """Return what contexts of one batch share: the number of targets, or the targets if any has several tokens."""
    return len(targets), targets if targets.longest > 1 else None


def _prefix_lengths(contexts: Contexts) -> Ints:
    """Return [n] for each context the length of the prefix that it shares, or 0 where that saves little.

    It is shared by the contexts of a group, or by those of the same images, whatever their group.
    """
    together: dict[object, list[int]] = defaultdict(list)
    for i in contexts.distinct.tolist():
        images = contexts.rows[i].images if contexts.with_images[i] else ()
        together[images or int(contexts.group[i])].append(i)
    starts = np.zeros(len(contexts), dtype=np.int64)
    for members in together.values():
        rows = [contexts.rows[i] for i in members]
        shared = common_prefix(rows)
        mean = sum(map(len, rows)) / len(rows)
        if len(rows) > 1 and shared >= MIN_PREFIX and shared >= MIN_SAVING * mean:
            starts[members] = shared
    return starts


def group_alike(keys: Sequence[tuple[int, ...]], most: Callable[[tuple[int, ...]], int]) -> list[list[int]]:
    """Group the indices of equal keys, in the order of the keys, at most `most(key)` (and at least one) together.

    Rows of one length need no padding: a key holds the length of a row, and whatever else a pass must have in common.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, key in enumerate(keys):
        alike.setdefault(key, []).append(i)
    found: list[list[int]] = []
    for key, members in sorted(alike.items()):
        size = max(1, most(key))
        found += [members[a : a + size] for a in range(0, len(members), size)]
    return found


def prefill_once(adapter: Adapter, rows: Sequence[Encoded]) -> Prefix:
    """Return the prefix of rows of one length; equal rows, such as one frame's beginning, are run once.

    What many of the rows begin with is run first, and once, where that saves more tokens than a second pass costs.
    """
    distinct: list[Encoded] = []
    places: dict[tuple[int, ...], list[int]] = {}
    chosen = []
    for row in rows:
        alike = places.setdefault(row.ids, [])
        place = next((k for k in alike if distinct[k] == row), len(distinct))
        if place == len(distinct):
            distinct.append(row)
            alike.append(place)
        chosen.append(place)
    start = _worthwhile_start(distinct)
    if start:
        begun = prefill_once(adapter, [row.upto(start) for row in distinct])
        prefix = adapter.prefill([row.after(start) for row in distinct], prefix=begun)
    else:
        prefix = adapter.prefill(distinct)
    return prefix if len(distinct) == len(rows) else prefix.select(chosen)


def _worthwhile_start(rows: Sequence[Encoded]) -> int:
    """Return the length up to which most tokens of rows are the same as another row's; 0 where they are too few."""
    if any(row.images for row in rows):
        start = common_prefix(rows)
        return start if start >= MIN_PREFIX and start * (len(rows) - 1) >= MIN_SAVED else 0
    order = sorted(rows, key=lambda row: row.ids)
    shared = [common_prefix(pair) for pair in pairwise(order)]
    saved = {start: start * sum(other >= start for other in shared) for start in set(shared) if start >= MIN_PREFIX}
    best = max(saved, key=lambda start: (saved[start], start), default=0)
    return best if best and saved[best] >= MIN_SAVED else 0


def common_prefix(rows: Sequence[Encoded]) -> int:
    """Count leading tokens all rows share, leaving each at least one token of its own.

    An image is shared whole or not at all, and its tokens alone do not tell which image it is.
    """
    low, high = min(r.ids for r in rows), max(r.ids for r in rows)
    limit = min(len(r) for r in rows) - 1
    n = 0
    while n < limit and low[n] == high[n]:
        n += 1
    for row in rows:
        for k, (begin, end) in enumerate(row.image_spans):
            if begin < n and (end > n or row.images[k : k + 1] != rows[0].images[k : k + 1]):
                n = begin
    return n
