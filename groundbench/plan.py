"""The batch plan: which contexts run together. A function of the prompts and the options alone.

Contexts of one length share a batch, so nothing is padded. Contexts that begin alike share the key/value cache
of their common prefix where that saves a quarter of the tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from groundbench.adapter import Encoded
from groundbench.contexts import Contexts, Targets

MAX_LOGITS = 1 << 25
MIN_PREFIX = 8
MIN_SAVING = 0.25


@dataclass(frozen=True)
class Batch:
    """Contexts (indices) of one length, after a shared prefix of `start` tokens, each with as many targets.

    Where a target has several tokens, all contexts of the batch have the same targets.
    """

    contexts: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Plan:
    """All batches in order, and the hash they are known by."""

    batches: tuple[Batch, ...]
    tokens: int
    budget: int
    digest: str

    def summary(self) -> dict[str, object]:
        """What stands in the manifest."""
        return {
            "batches": len(self.batches),
            "tokens": self.tokens,
            "budget": self.budget,
            "hash": self.digest,
        }


def make_plan(contexts: Contexts, *, budget: int, vocab_size: int, prefixes: bool) -> Plan:
    """Batches under a budget of tokens, longest first so that memory runs out early or never.

    Args:
        budget: tokens in one batch (at least one context always runs).
        vocab_size: bounds the rows so that [rows, V] logits stay under 2^25 numbers.
        prefixes: whether the model can go on from a shared prefix.
    """
    groups: dict[tuple[int, int, tuple[int, ...], tuple[int, Targets]], list[int]] = defaultdict(list)
    starts = _prefix_lengths(contexts) if prefixes else [0] * len(contexts.rows)
    for i in contexts.distinct.tolist():
        row, start = contexts.rows[i], starts[i]
        groups[len(row), start, row.ids[:start], _together(contexts.targets[i])].append(i)
    batches = []
    tokens = 0
    for (length, start, _, _), members in sorted(groups.items(), key=lambda g: (-g[0][0], -g[0][1], g[1][0])):
        rows = max(1, min(budget // (length - start), MAX_LOGITS // vocab_size))
        batches += [Batch(tuple(members[a : a + rows]), start) for a in range(0, len(members), rows)]
        tokens += (length - start) * len(members) + start
    number: dict[Targets, int] = {}
    for targets in contexts.targets:
        number.setdefault(targets, len(number))
    ids = [[b.start, [(contexts.rows[i].ids, number[contexts.targets[i]]) for i in b.contexts]] for b in batches]
    digest = hashlib.sha256(json.dumps([ids, list(number), budget]).encode()).hexdigest()[:16]
    return Plan(tuple(batches), tokens, budget, digest)


def _together(targets: Targets) -> tuple[int, Targets]:
    """What contexts of one batch have in common: how many targets, and the targets if any has several tokens."""
    return len(targets), targets if max(map(len, targets)) > 1 else ()


def _prefix_lengths(contexts: Contexts) -> list[int]:
    """For each context the length of the prefix that its frame's contexts share, or 0 where that saves little."""
    by_frame: dict[int, list[int]] = defaultdict(list)
    for i in contexts.distinct.tolist():
        by_frame[int(contexts.frame[i])].append(i)
    starts = [0] * len(contexts.rows)
    for members in by_frame.values():
        rows = [contexts.rows[i] for i in members]
        shared = common_prefix(rows)
        mean = sum(map(len, rows)) / len(rows)
        if len(rows) > 1 and shared >= MIN_PREFIX and shared >= MIN_SAVING * mean:
            for i in members:
                starts[i] = shared
    return starts


def common_prefix(rows: Sequence[Encoded]) -> int:
    """How many leading tokens all rows share, leaving each at least one token of its own."""
    low, high = min(r.ids for r in rows), max(r.ids for r in rows)
    limit = min(len(r) for r in rows) - 1
    n = 0
    while n < limit and low[n] == high[n]:
        n += 1
    return n
