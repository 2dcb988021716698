"""The copy-corrected gain: the gain of a gloss relative to that of the word itself (protocol §13)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.ladder_score import WORD, FormGains, form_gains
from groundbench.measures.gain.measure import mean_or_none, noun_means
from groundbench.results.run import CopyCorrected
from groundbench.stats.significance import clustered_ratio

Floats = npt.NDArray[np.float64]
GLOSS = "gloss"


def copy_corrected(tables: Sequence[SurprisalTable]) -> CopyCorrected | None:
    """Compute G(gloss) / G(word), the gain left when the word cannot be copied; None unless both were measured.

    Both gains are over the nouns that both forms have, against mismatches of the noun's own category among those
    nouns; a noun without one in either form is left out of both. The ratio is of means; its interval, and where it
    is null, are those of `clustered_ratio`.
    """
    by_form = {t.form: t for t in tables}
    if not {WORD, GLOSS} <= by_form.keys():
        return None
    pair = form_gains(by_form[GLOSS], by_form[WORD])
    nested = by_form[WORD].frame_kind == "per-noun"
    above, below = (pair.gain, pair.word) if nested else _align_frames(pair)
    ratio = clustered_ratio(above, below, nested=nested)
    return CopyCorrected(
        ratio=ratio.value,
        ci_low=ratio.ci_low,
        ci_high=ratio.ci_high,
        gain_gloss=mean_or_none(noun_means(above)),
        gain_word=mean_or_none(noun_means(below)),
        n_nouns=len(pair.nouns),
    )


def _align_frames(pair: FormGains) -> tuple[Floats, Floats]:
    """Return the form's gains and the word's [nouns, frames] with a column for each frame that either has."""
    frames = list(dict.fromkeys([*pair.word_frames, *pair.frames]))
    wide = []
    for own, gains in ((pair.frames, pair.gain), (pair.word_frames, pair.word)):
        columns = np.full((len(pair.nouns), len(frames)), np.nan)
        columns[:, [frames.index(f) for f in own]] = gains
        wide.append(columns)
    return wide[0], wide[1]
