"""The copy-corrected gain: the gain of a gloss relative to that of the word itself (protocol §13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.measure import gain_items, noun_means
from groundbench.results.run import CopyCorrected
from groundbench.stats.significance import N_RESAMPLES, bootstrap_ratio

Floats = npt.NDArray[np.float64]
WORD, GLOSS = "word", "gloss"


def copy_corrected(
    tables: Sequence[SurprisalTable], *, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> CopyCorrected | None:
    """G(gloss) / G(word): what is left of the gain when the word cannot be copied; None unless both were measured.

    Both gains are over the nouns that both forms have, against mismatches of the noun's own category among those
    nouns; a noun without one in either form is left out of both. The ratio is of means, its interval a paired
    bootstrap over nouns; it is None where the interval of G(word) touches 0.
    """
    by_form = {t.form: t for t in tables}
    if not {WORD, GLOSS} <= by_form.keys():
        return None
    word, gloss = by_form[WORD], by_form[GLOSS]
    common = [n for n in word.nouns if n in set(gloss.nouns)]
    both = np.column_stack([_same_category_gains(word, common), _same_category_gains(gloss, common)])
    both = both[~np.isnan(both).any(1)]
    ratio = bootstrap_ratio(both[:, 1], both[:, 0], n_resamples=n_resamples, seed=seed)
    gain_word, gain_gloss = both.mean(0).tolist() if len(both) else (None, None)
    return CopyCorrected(
        ratio=ratio.value,
        ci_low=ratio.ci_low,
        ci_high=ratio.ci_high,
        gain_gloss=gain_gloss,
        gain_word=gain_word,
        n_nouns=len(both),
    )


def _same_category_gains(table: SurprisalTable, nouns: Sequence[str]) -> Floats:
    """[nouns] each noun's gain (nats) against mismatches of its own category, all among these nouns."""
    where = {n: i for i, n in enumerate(table.nouns)}
    index = np.array([where[n] for n in nouns], dtype=np.int64)
    within = np.isin(table.env, index) & np.isin(table.target, index)
    items = gain_items(replace(table, surprisal=np.where(within, table.surprisal, np.nan)))
    return noun_means(items.same_category)[index]
