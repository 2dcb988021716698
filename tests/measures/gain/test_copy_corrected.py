"""The copy-corrected gain on planted tables, and the heads that stand in the lists of several forms."""

from __future__ import annotations

import numpy as np
import pytest

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.copy_corrected import copy_corrected
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.heads.shared_heads import head_forms
from groundbench.results.run import FormRecord, HeadCount, HeadsRecord

NOUNS = tuple(f"n{i:02d}" for i in range(24))
CATEGORIES = tuple("abc"[i % 3] for i in range(24))


def planted(form, gains, *, nouns=NOUNS, frames=("f1", "f2", "f3"), noise=0.0, others=0.0):
    """s = 8 - g_v where v itself is shown, 8 in v's category, 8 + `others` elsewhere, noise on every row."""
    n = len(nouns)
    category = np.array([CATEGORIES[NOUNS.index(w)] for w in nouns])
    frame, env, target = (i.ravel() for i in np.indices((len(frames), n, n)))
    s = np.where(category[env] == category[target], 8.0, 8.0 + others)
    s = np.where(env == target, 8 - np.asarray(gains)[target], s)
    s = s + noise * np.random.default_rng(1).standard_normal(len(s))
    return SurprisalTable(
        form, "shared", nouns, tuple(category), frames, np.full(len(frames), -1), frame, env, target, s
    )


GAINS = np.linspace(2, 6, 24)


def test_a_planted_ratio_is_found_exactly():
    found = copy_corrected([planted("word", GAINS), planted("emoji", GAINS), planted("gloss", 0.25 * GAINS)])
    assert found.ratio == pytest.approx(0.25)
    assert (found.ci_low, found.ci_high) == (pytest.approx(0.25), pytest.approx(0.25))
    assert (found.gain_word, found.gain_gloss) == (pytest.approx(4.0), pytest.approx(1.0))
    assert found.n_nouns == 24


def test_it_is_a_ratio_of_means_within_categories():
    """Nouns differ in their ratio: the mean of ratios would be another number; other categories do not count."""
    gloss = np.where(np.arange(24) % 2, 0.1, 0.9) * GAINS
    found = copy_corrected([planted("word", GAINS, others=5), planted("gloss", gloss, others=2)])
    assert found.ratio == pytest.approx(gloss.mean() / GAINS.mean())
    assert found.ratio != pytest.approx((gloss / GAINS).mean(), abs=1e-3)
    assert found.ci_low < found.ratio < found.ci_high


def test_only_nouns_of_both_forms_count_and_frames_may_differ():
    kept = np.arange(24) >= 6
    nouns = tuple(np.array(NOUNS)[kept])
    word = planted("word", np.where(kept, GAINS, 100))
    gloss = planted("gloss", 0.5 * GAINS[kept], nouns=nouns, frames=("g1", "g2"))
    found = copy_corrected([word, gloss])
    assert found.ratio == pytest.approx(0.5)
    assert found.n_nouns == 18
    assert found.gain_word == pytest.approx(GAINS[kept].mean())


def test_a_noun_alone_in_its_category_has_no_same_category_mismatch_and_is_left_out():
    kept = [i for i in range(24) if i % 3 != 2 or i == 2]
    nouns = tuple(NOUNS[i] for i in kept)
    tables = [planted(f, share * GAINS[kept], nouns=nouns) for f, share in (("word", 1), ("gloss", 0.5))]
    assert copy_corrected(tables).n_nouns == 16


def test_without_a_gain_of_the_word_there_is_no_ratio():
    word = planted("word", np.zeros(24), noise=1.0)
    gain = measure_gain(word)
    assert gain.same_category_ci_low < 0 < gain.same_category_ci_high
    found = copy_corrected([word, planted("gloss", GAINS)])
    assert (found.ratio, found.ci_low, found.ci_high) == (None, None, None)
    assert found.gain_gloss == pytest.approx(4.0)
    assert found.gain_word == pytest.approx(gain.same_category)


def test_it_is_none_unless_both_forms_were_measured():
    assert copy_corrected([planted("word", GAINS), planted("emoji", GAINS)]) is None


def form(name, rates):
    heads = tuple(HeadCount(layer=a, head=b, rate=r, share=0.4) for (a, b), r in rates.items())
    record = HeadsRecord(
        kind="aggregate", denominator="row", threshold=0.3, selection="share", mean_count=1.0, by_head=heads
    )
    other = record.model_copy(update={"by_head": (HeadCount(layer=9, head=9, rate=1, share=1),)})
    return FormRecord(env_form=name, n_nouns=5, n_items=10, heads=(record, other))


def test_heads_that_serve_several_forms_come_first():
    forms = [
        form("word", {(1, 0): 0.9, (2, 3): 0.5, (2, 4): 0.49}),
        form("gloss", {(2, 3): 0.7, (1, 1): 0.6}),
        FormRecord(env_form="emoji", n_nouns=5, n_items=10),
    ]
    assert [(h.layer, h.head, h.forms) for h in head_forms(forms)] == [
        (2, 3, ("word", "gloss")),
        (1, 0, ("word",)),
        (1, 1, ("gloss",)),
    ]
