"""The copy-corrected gain: the gain of a gloss relative to that of the word itself (protocol §13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.measure import gain_items, noun_means
from groundbench.results.run import CopyCorrected
from groundbench.stats.significance import clustered_ratio

Floats = npt.NDArray[np.float64]
WORD, GLOSS = "word", "gloss"


def copy_corrected(tables: Sequence[SurprisalTable]) -> CopyCorrected | None:
    """Compute G(gloss) / G(word), the gain left when the word cannot be copied; None unless both were measured.

    Both gains are over the nouns that both forms have, against mismatches of the noun's own category among those
    nouns; a noun without one in either form is left out of both. The ratio is of means; its interval, and where it
    is null, are those of `clustered_ratio`.
    """
    by_form = {t.form: t for t in tables}
    if not {WORD, GLOSS} <= by_form.keys():
        return None
    word, gloss = by_form[WORD], by_form[GLOSS]
    common = [n for n in word.nouns if n in set(gloss.nouns)]
    below, above = _aligned(word, gloss, common)
    both = ~np.isnan(noun_means(below)) & ~np.isnan(noun_means(above))
    ratio = clustered_ratio(above[both], below[both], nested=word.frame_kind == "per-noun")
    return CopyCorrected(
        ratio=ratio.value,
        ci_low=ratio.ci_low,
        ci_high=ratio.ci_high,
        gain_gloss=float(noun_means(above)[both].mean()) if both.any() else None,
        gain_word=float(noun_means(below)[both].mean()) if both.any() else None,
        n_nouns=int(both.sum()),
    )


def same_category_items(table: SurprisalTable, nouns: Sequence[str]) -> Floats:
    """Return [nouns, frames] each item's gain (nats) against mismatches of its category among these nouns."""
    where = {n: i for i, n in enumerate(table.nouns)}
    index = np.array([where[n] for n in nouns], dtype=np.int64)
    within = np.isin(table.env, index) & np.isin(table.target, index)
    items = gain_items(replace(table, surprisal=np.where(within, table.surprisal, np.nan)))
    return items.same_category[index]


def _aligned(one: SurprisalTable, two: SurprisalTable, nouns: Sequence[str]) -> tuple[Floats, Floats]:
    """Return both tables' items [nouns, frames] with a column for each frame that either has."""
    found = same_category_items(one, nouns), same_category_items(two, nouns)
    if one.frame_kind == "per-noun":
        return found
    frames = list(dict.fromkeys([*one.frames, *two.frames]))
    wide = []
    for table, items in zip((one, two), found, strict=True):
        columns = np.full((len(nouns), len(frames)), np.nan)
        columns[:, [frames.index(f) for f in table.frames]] = items
        wide.append(columns)
    return wide[0], wide[1]
