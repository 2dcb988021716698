"""The batch plan: which contexts run together. A function of the prompts and the options alone.

Contexts of one length share a batch, so nothing is padded. Contexts that begin alike share the key/value cache
of their common prefix where that saves a quarter of the tokens; contexts of one image share the image's.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from groundbench.api.adapter import Adapter, Encoded, Prefix
from groundbench.engine.contexts import Context, Contexts, TargetSet

Key = tuple[int, Encoded, tuple[int, TargetSet | None]]
Groups = Mapping[Key, list[int]]
MAX_LOGITS = 1 << 25
MIN_PREFIX = 8
MIN_SAVING = 0.25
MAX_CACHED = 4
"""Of image contexts, the cached tokens of a batch: this many times its budget."""


@dataclass(frozen=True)
class Batch:
    """Contexts (indices) of one length, after a shared prefix of `start` tokens, each with as many targets.

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
    starts = _prefix_lengths(contexts) if cached else [0] * len(contexts)
    starts = [start if _end(contexts[i]) <= cached else 0 for i, start in enumerate(starts)]
    for i in contexts.distinct.tolist():
        row, start = contexts[i].row, starts[i]
        groups[len(row), row.upto(start), _shared_targets(contexts[i].targets)].append(i)
    batches: list[Batch] = []
    tokens, last = 0, Encoded(())
    for (length, prefix, _), members in _in_order(groups):
        rows = _rows(length, len(prefix), contexts[members[0]].row, budget, vocab_size)
        batches += [Batch(tuple(members[a : a + rows]), len(prefix)) for a in range(0, len(members), rows)]
        tokens += (length - len(prefix)) * len(members) + (0 if prefix == last else len(prefix))
        last = prefix
    number: dict[TargetSet, int] = {}
    for c in contexts:
        number.setdefault(c.targets, len(number))
    ids = [[b.start, [_plan_entry(contexts[i].row, number[contexts[i].targets]) for i in b.contexts]] for b in batches]
    digest = hashlib.sha256(json.dumps([ids, [t.tokens for t in number], budget]).encode()).hexdigest()[:16]
    return Plan(tuple(batches), tokens, budget, digest)


def _end(context: Context) -> int:
    """Return tokens of a context, and of its longest target where that has several."""
    longest = context.targets.longest
    return len(context.row) + (longest if longest > 1 else 0)


def _in_order(groups: Groups) -> list[tuple[Key, list[int]]]:
    """Order contexts: longest first; those of one image's prefix together, since one prefix at a time is kept."""
    longest: dict[Encoded, int] = {}
    first: dict[Encoded, int] = {}
    for (length, prefix, _), members in groups.items():
        longest[prefix] = max(length, longest.get(prefix, 0))
        first[prefix] = min(members[0], first.get(prefix, members[0]))

    def place(item: tuple[Key, list[int]]) -> tuple[int, int, int, int, int]:
        (length, prefix, _), members = item
        if prefix.images:
            return -longest[prefix], -len(prefix), first[prefix], -length, members[0]
        return -length, -len(prefix), members[0], 0, 0

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


def _prefix_lengths(contexts: Contexts) -> list[int]:
    """Return for each context the length of the prefix that it shares, or 0 where that saves little.

    It is shared by the contexts of a group, or by those of the same images, whatever their group.
    """
    together: dict[object, list[int]] = defaultdict(list)
    for i in contexts.distinct.tolist():
        together[contexts[i].row.images or contexts[i].group].append(i)
    starts = [0] * len(contexts)
    for members in together.values():
        rows = [contexts[i].row for i in members]
        shared = common_prefix(rows)
        mean = sum(map(len, rows)) / len(rows)
        if len(rows) > 1 and shared >= MIN_PREFIX and shared >= MIN_SAVING * mean:
            for i in members:
                starts[i] = shared
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
    """Return the prefix of rows of one length; equal rows, such as one frame's beginning, are run once."""
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
    prefix = adapter.prefill(distinct)
    return prefix if len(distinct) == len(rows) else prefix.select(chosen)


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
