"""The swap test: patches of the matched and of the mismatched picture change places, and the gain should turn over.

If what the model knows of the noun comes from the object's patches, then a matched picture that carries the other
picture's patches in its box is a mismatched one, and the other way round: the gain becomes its negative (§14 B).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.adapter import Adapter, Encoded, Exchangeable
from groundbench.contexts import Contexts, matched, of_prompts
from groundbench.result_image import SwapRecord
from groundbench.scoring import DEFAULT_BATCH_TOKENS, surprisals
from groundbench.spans import patch_positions
from groundbench.stats import bootstrap_mean, bootstrap_ratio
from groundbench.store import RunStore
from groundbench.table import SurprisalTable

Floats = npt.NDArray[np.float64]
MISMATCHES = 2


@dataclass(frozen=True)
class _Pair:
    """An item's context and another noun's in the same frame; `target` is the item's noun."""

    item: int
    matched: int
    mismatched: int
    target: int


def measure_swap(
    adapter: Adapter,
    contexts: Contexts,
    table: SurprisalTable,
    *,
    items: int,
    mismatches: int = MISMATCHES,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    store: RunStore | None = None,
) -> SwapRecord | None:
    """The gain before and after the exchange on a seeded sample of items; None where the adapter cannot exchange.

    Args:
        table: the untouched surprisals of these contexts.
        items: how many items are drawn; each is compared with `mismatches` other nouns.
    """
    if not isinstance(adapter, Exchangeable):
        return None
    mismatches = min(mismatches, len(contexts.nouns) - 1)
    pairs = list(_pairs(contexts, items, mismatches, seed))
    kept = [p for p in pairs if _alike(contexts.rows[p.matched], contexts.rows[p.mismatched])]
    if not kept:
        return SwapRecord(n_items=0, mismatches=mismatches, n_left_out=len(pairs))
    index = np.array([[p.item, p.matched, p.mismatched, p.target] for p in kept])
    swapped = _swapped(adapter, contexts, kept, batch_tokens, store)
    noun = _by_noun(index, _untouched(contexts, table, index)), _by_noun(index, swapped)
    before, after = (bootstrap_mean(values, seed=seed) for values in noun)
    ratio = bootstrap_ratio(noun[1], noun[0], seed=seed)
    return SwapRecord(
        n_items=len(np.unique(index[:, 0])),
        mismatches=mismatches,
        n_left_out=len(pairs) - len(kept),
        gain=before.value,
        gain_ci_low=before.low,
        gain_ci_high=before.high,
        gain_swapped=after.value,
        gain_swapped_ci_low=after.low,
        gain_swapped_ci_high=after.high,
        ratio=ratio.value,
        ratio_ci_low=ratio.low,
        ratio_ci_high=ratio.high,
    )


def _pairs(contexts: Contexts, items: int, mismatches: int, seed: int) -> Iterator[_Pair]:
    """A seeded sample of items, each with a seeded sample of the other nouns that its frame shows."""
    rng = np.random.default_rng(seed)
    index, noun = matched(contexts)
    for item in np.sort(rng.permutation(len(index))[:items]).tolist():
        own, target = int(index[item]), int(noun[item])
        others = np.flatnonzero((contexts.frame == contexts.frame[own]) & (contexts.env != target))
        if contexts.keep is not None:
            others = others[contexts.keep[contexts.frame[own], contexts.env[others], target]]
        for other in np.sort(rng.permutation(others)[:mismatches]).tolist():
            yield _Pair(item, own, other, target)


def _alike(a: Encoded, b: Encoded) -> bool:
    """Whether the patches of two rows stand in the same places."""
    return bool(a.grids) and a.grids == b.grids and len(a) == len(b)


def _swapped(
    adapter: Exchangeable, contexts: Contexts, pairs: list[_Pair], batch_tokens: int, store: RunStore | None
) -> Floats:
    """[pairs] the gain with the patches of the matched picture's box exchanged."""
    rows: list[Encoded] = []
    for p in pairs:
        a, b = contexts.rows[p.matched], contexts.rows[p.mismatched]
        box = sorted(set(patch_positions(a)) & set(a.env_positions))
        rows += [adapter.exchanged(a, b, box), adapter.exchanged(b, a, box)]
    where = [(i, p.target) for p in pairs for i in (p.matched, p.mismatched)]
    chosen = [contexts.targets[i][int(np.flatnonzero(contexts.target_index[i] == v)[0])] for i, v in where]
    single = of_prompts(
        [contexts.prompts[i] for i, _ in where],
        rows,
        [(t,) for t in chosen],
        [str(contexts.frame[i]) for i, _ in where],
    )
    found = surprisals(adapter, single, batch_tokens=batch_tokens, store=store, stage=f"swap/{contexts.form.name}")
    values = np.array([found[int(u)][0] for u in single.unique], np.float64).reshape(-1, 2)
    return values[:, 1] - values[:, 0]


def _untouched(contexts: Contexts, table: SurprisalTable, index: npt.NDArray[np.int64]) -> Floats:
    """[pairs] the gain of the same pairs as the table has it."""
    n = len(table.nouns)
    keys = (table.frame * n + table.env) * n + table.target
    order = np.argsort(keys)
    read = [
        table.surprisal[
            order[np.searchsorted(keys, (contexts.frame[at] * n + contexts.env[at]) * n + index[:, 3], sorter=order)]
        ]
        for at in (index[:, 1], index[:, 2])
    ]
    return np.asarray(read[1] - read[0], np.float64)


def _by_noun(index: npt.NDArray[np.int64], values: Floats) -> Floats:
    """[nouns] each noun's mean over its items of their mean over mismatches (every item has as many)."""
    _, noun = np.unique(index[:, 3], return_inverse=True)
    return np.asarray(np.bincount(noun, values) / np.bincount(noun), np.float64)
