"""The ladder score: how much of the word's own gain the other ENV forms reach (concepts §15).

Copying alone reaches the gain of the form `word`. For every other form f of the ladder,

    r(f) = G(f) / G(word),

both against mismatches of the noun's own category, on the nouns that both forms have (as the copy-corrected gain,
which is r(gloss)). The score is the mean of r over the measured forms: 0 for a model that only copies, 1 for one that
takes every form as well as the word. Its interval is a paired two-way bootstrap: nouns and frames are drawn again, the
same draw for all forms. It is null where the interval of G(word) touches 0. Models are compared on the forms that
both were measured on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.measure import gain_items, noun_means
from groundbench.results.ladder_score import LadderForm, LadderScore, UnscoredForm
from groundbench.stats.bootstrap import N_RESAMPLES, bootstrap_counts, percentile_interval

Floats = npt.NDArray[np.float64]
WORD = "word"


@dataclass(frozen=True)
class FormGains:
    """Same-category gains (nats) of a form and of the word in the same nouns, each [nouns, frames]."""

    form: str
    nouns: tuple[str, ...]
    frames: tuple[str, ...]
    word_frames: tuple[str, ...]
    gain: Floats
    word: Floats


def ladder_score(
    tables: Sequence[SurprisalTable],
    *,
    unmeasured: Mapping[str, str] | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> LadderScore | None:
    """Compute the ladder score of one model's tables; None unless `word` and another form were measured.

    Args:
        unmeasured: forms of the ladder without a table, with the reason; they are named in the record.
        seed: of the bootstrap.
    """
    by_form = {t.form: t for t in tables if t.frame_kind == "shared"}
    others = [t for name, t in by_form.items() if name != WORD]
    if WORD not in by_form or not others:
        return None
    word = by_form[WORD]
    draws = _Draws(word.nouns, n_resamples, seed)
    left_out = dict(unmeasured or {})
    if _touches_zero(draws.mean(word.nouns, word.frames, gain_items(word).same_category)):
        forms = {t.form: "G(word) is not told from 0" for t in others}
        return LadderScore(score=None, unscored=_unscored_forms({**left_out, **forms}))
    records, ratios = [], []
    for table in others:
        pair = form_gains(table, word)
        top = draws.mean(pair.nouns, pair.frames, pair.gain)
        bottom = draws.mean(pair.nouns, pair.word_frames, pair.word)
        if _touches_zero(bottom) or noun_means(pair.word).mean() <= 0:
            left_out[table.form] = "on its nouns G(word) is not told from 0"
            continue
        ratio = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)
        ratios.append(ratio)
        records.append(_record(pair, ratio))
    if not records:
        return LadderScore(score=None, unscored=_unscored_forms(left_out))
    low, high = percentile_interval(np.mean(ratios, axis=0))
    score = float(np.mean([r.ratio for r in records]))
    return LadderScore(score=score, ci_low=low, ci_high=high, forms=tuple(records), unscored=_unscored_forms(left_out))


class _Draws:
    """Bootstrap draws of nouns and of frames: the same for every form that has them."""

    def __init__(self, nouns: tuple[str, ...], n: int, seed: int) -> None:
        self.place = {noun: i for i, noun in enumerate(nouns)}
        self.n, self.seed = n, seed
        self.nouns = bootstrap_counts(len(nouns), n, seed)
        self.frames: dict[tuple[str, ...], Floats] = {}

    def mean(self, nouns: tuple[str, ...], frames: tuple[str, ...], gain: Floats) -> Floats:
        """Return [n] the mean over nouns and frames in each draw; NaN where none of the nouns was drawn."""
        if frames not in self.frames:
            self.frames[frames] = bootstrap_counts(len(frames), self.n, self.seed + 1 + len(self.frames))
        weights = self.nouns[:, [self.place[noun] for noun in nouns]]
        valid = ~np.isnan(gain)
        total = ((weights @ np.where(valid, gain, 0.0)) * self.frames[frames]).sum(1)
        count = ((weights @ valid.astype(np.float64)) * self.frames[frames]).sum(1)
        return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def form_gains(table: SurprisalTable, word: SurprisalTable) -> FormGains:
    """Return a form's gains and the word's on the nouns that have one in both, against mismatches among these nouns."""
    common = [n for n in word.nouns if n in set(table.nouns)]
    gain, own = same_category_items(table, common), same_category_items(word, common)
    both = ~np.isnan(noun_means(gain)) & ~np.isnan(noun_means(own))
    nouns = tuple(n for n, keep in zip(common, both.tolist(), strict=True) if keep)
    return FormGains(table.form, nouns, table.frames, word.frames, gain[both], own[both])


def same_category_items(table: SurprisalTable, nouns: Sequence[str]) -> Floats:
    """Return [nouns, frames] gains (nats) against mismatches of the noun's own category, all among these nouns."""
    where = {n: i for i, n in enumerate(table.nouns)}
    index = np.array([where[n] for n in nouns], dtype=np.int64)
    within = np.isin(table.env, index) & np.isin(table.target, index)
    items = gain_items(replace(table, surprisal=np.where(within, table.surprisal, np.nan)))
    return items.same_category[index]


def _record(pair: FormGains, ratios: Floats) -> LadderForm:
    """Return a form's record with the interval of its ratio's draws."""
    gain, word = (float(noun_means(items).mean()) for items in (pair.gain, pair.word))
    low, high = percentile_interval(ratios)
    return LadderForm(
        env_form=pair.form,
        ratio=gain / word,
        ci_low=low,
        ci_high=high,
        gain=gain,
        gain_word=word,
        n_nouns=len(pair.nouns),
    )


def _touches_zero(draws: Floats) -> bool:
    """Return True if the interval of the draws is not above 0, or there is none."""
    low, _ = percentile_interval(draws)
    return low is None or low <= 0


def _unscored_forms(reasons: Mapping[str, str]) -> tuple[UnscoredForm, ...]:
    return tuple(UnscoredForm(env_form=form, reason=why) for form, why in reasons.items())
