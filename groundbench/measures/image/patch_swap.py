"""The swap test: patches of the matched and of the mismatched image are swapped, and the gain should turn over.

If what the model knows of the noun comes from the object's patches, then a matched image that carries the other
image's patches in its box is a mismatched one, and the other way round: the gain becomes its negative (§14 B).

An encoder that mixes patches tells of the object outside its box too. So the swapped region may be widened by rings
of patches around the box: how many it takes until the gain has turned over says how far the object reaches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Encoded, ImageGrid, ImagePatchable
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine.contexts import FormContexts, matched_prompts, of_prompts
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS, surprisals
from groundbench.measures.heads.spans import patch_positions
from groundbench.results.base import flat
from groundbench.results.image import SwapRecord
from groundbench.stats.significance import clustered_interval, clustered_ratio, items_table

Floats = npt.NDArray[np.float64]
MISMATCHES = 2


@dataclass(frozen=True)
class Region:
    """The swapped region: the box with `rings` rings of patches around it, or the `whole` image."""

    rings: int = 0
    whole: bool = False

    @property
    def stage(self) -> str:
        """The name of its parts in a run directory."""
        return "swap-whole" if self.whole else f"swap-rings-{self.rings}" if self.rings else "swap"

    def positions(self, row: Encoded) -> list[int]:
        """Return the token positions of its patches in a row, in order.

        A ring is as wide as a patch of the image's finest grid, in all of its grids: tiles and a small version of the
        whole cover the same region. Where the ENV form is the whole image, so is every region.
        """
        patches = patch_positions(row)
        if self.whole:
            return sorted(patches)
        box = set(patches) & set(row.env_positions)
        if self.rings:
            box |= {p for g in row.grids for a, b in self._around(g, row) for p in range(a, b)}
        return sorted(box)

    def _around(self, grid: ImageGrid, row: Encoded) -> tuple[tuple[int, int], ...]:
        box = row.boxes[grid.image]
        if box is None:
            return ()
        grids = [g for g in row.grids if g.image == grid.image]
        across = self.rings * min((g.region[2] - g.region[0]) / g.columns for g in grids)
        down = self.rings * min((g.region[3] - g.region[1]) / g.rows for g in grids)
        return grid.spans(*grid.patches_touching((box[0] - across, box[1] - down, box[2] + across, box[3] + down)))


BOX = Region()
WHOLE = Region(whole=True)


@dataclass(frozen=True)
class _Pair:
    """An item's context and another noun's in the same frame; `target` is the item's noun."""

    item: int
    matched: int
    mismatched: int
    target: int


def measure_swap(
    adapter: Adapter,
    contexts: FormContexts,
    table: SurprisalTable,
    *,
    items: int,
    region: Region = BOX,
    mismatches: int = MISMATCHES,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    store: RunStore | None = None,
) -> SwapRecord | None:
    """Return the gain before and after the patches are swapped, of a seeded sample of items; None if they cannot be.

    Args:
        table: the untouched surprisals of these contexts.
        items: how many items are drawn; each is compared with `mismatches` other nouns. The draw depends on the seed
            alone, so that regions are compared on the same pairs.
        region: the patches that are swapped.
    """
    if not isinstance(adapter, ImagePatchable):
        return None
    mismatches = min(mismatches, len(contexts.nouns) - 1)
    pairs = list(_pairs(contexts, items, mismatches, seed))
    kept = [p for p in pairs if _same_patches(contexts.rows[p.matched], contexts.rows[p.mismatched])]
    if not kept:
        return SwapRecord(
            rings=region.rings, whole=region.whole, n_items=0, mismatches=mismatches, n_left_out=len(pairs)
        )
    index = np.array([[p.item, p.matched, p.mismatched, p.target] for p in kept])
    swapped = _gain_after_swap(adapter, contexts, kept, region, batch_tokens, store)
    rows = [contexts.rows[p.matched] for p in kept]
    frames = [contexts.frames[contexts[i].frame].id for i in index[:, 1]]
    nouns = [contexts.nouns[i].word for i in index[:, 3]]
    tables = [items_table(v, nouns, frames) for v in (_gain_before_swap(contexts, table, index), swapped)]
    before, after = (clustered_interval(items) for items in tables)
    ratio = clustered_ratio(tables[1], tables[0])
    return SwapRecord(
        rings=region.rings,
        whole=region.whole,
        share=float(np.mean([len(region.positions(r)) / len(patch_positions(r)) for r in rows])),
        n_items=len(np.unique(index[:, 0])),
        mismatches=mismatches,
        n_left_out=len(pairs) - len(kept),
        **flat("gain", before),
        **flat("gain_swapped", after),
        **flat("ratio", ratio),
    )


def _pairs(contexts: FormContexts, items: int, mismatches: int, seed: int) -> Iterator[_Pair]:
    """Yield a seeded sample of items, each with a seeded sample of the other nouns that its frame shows."""
    rng = np.random.default_rng(seed)
    index, noun = matched_prompts(contexts)
    for item in np.sort(rng.permutation(len(index))[:items]).tolist():
        own, target = int(index[item]), int(noun[item])
        others = np.flatnonzero((contexts.frame == contexts.frame[own]) & (contexts.env != target))
        if contexts.keep is not None:
            others = others[contexts.keep[contexts.frame[own], contexts.env[others], target]]
        for other in np.sort(rng.permutation(others)[:mismatches]).tolist():
            yield _Pair(item, own, other, target)


def _same_patches(a: Encoded, b: Encoded) -> bool:
    """Return True if the patches of two rows have the same places."""
    return bool(a.grids) and a.grids == b.grids and len(a) == len(b)


def _gain_after_swap(
    adapter: ImagePatchable,
    contexts: FormContexts,
    pairs: list[_Pair],
    region: Region,
    batch_tokens: int,
    store: RunStore | None,
) -> Floats:
    """Return [pairs] the gain with the patches of the region of the matched image swapped."""
    rows: list[Encoded] = []
    for p in pairs:
        a, b = contexts.rows[p.matched], contexts.rows[p.mismatched]
        taken = region.positions(a)
        rows += [adapter.patch_images(a, b, taken), adapter.patch_images(b, a, taken)]
    where = [(i, p.target) for p in pairs for i in (p.matched, p.mismatched)]
    single = of_prompts(
        [contexts.prompts[i] for i, _ in where],
        rows,
        [(contexts.targets(i).of_noun(v),) for i, v in where],
        [str(contexts[i].frame) for i, _ in where],
    )
    stage = f"{region.stage}/{contexts.form.name}"
    found = surprisals(adapter, single, batch_tokens=batch_tokens, store=store, stage=stage)
    values = np.array([found[int(u)][0] for u in single.unique], np.float64).reshape(-1, 2)
    return values[:, 1] - values[:, 0]


def _gain_before_swap(contexts: FormContexts, table: SurprisalTable, index: npt.NDArray[np.int64]) -> Floats:
    """Return [pairs] the gain of the same pairs as the table has it."""
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
