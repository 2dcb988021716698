"""The ladder score against a plain loop, at its two ends, and over simulated models."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.simulated_levels import recorded

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.ladder_score import ladder_score

CATEGORIES = ("animals", "food", "toys")


def table(form: str, gains: np.ndarray, nouns: list[str], noise: float = 0.0, seed: int = 0) -> SurprisalTable:
    """Shared frames in which noun v in frame k is `gains[v, k]` nats likelier when it is shown."""
    v, k = gains.shape
    frame, env, target = (i.ravel() for i in np.indices((k, v, v)))
    s = 10.0 - np.where(env == target, gains[target, frame], 0.0)
    s = s + noise * np.random.default_rng(seed).standard_normal(len(s))
    return SurprisalTable(
        form=form,
        frame_kind="shared",
        nouns=tuple(nouns),
        categories=tuple(CATEGORIES[int(n[1:]) % 3] for n in nouns),
        frames=tuple(f"f{i}" for i in range(k)),
        frame_nouns=np.full(k, -1),
        frame=frame,
        env=env,
        target=target,
        surprisal=s,
    )


NOUNS = [f"n{i}" for i in range(24)]


def gains(seed: int, mean: float, nouns: int = 24, frames: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return mean * (1 + 0.2 * rng.standard_normal((nouns, 1)) + 0.1 * rng.standard_normal((1, frames)))


def test_the_score_is_the_mean_of_the_ratios_by_hand():
    word = gains(0, 8.0)
    gloss, emoji = gains(1, 4.0)[:20], gains(2, 0.5)[4:]
    found = ladder_score(
        [table("word", word, NOUNS), table("gloss", gloss, NOUNS[:20]), table("emoji", emoji, NOUNS[4:])]
    )
    expected = [gloss.mean() / word[:20].mean(), emoji.mean() / word[4:].mean()]
    assert [f.ratio for f in found.forms] == pytest.approx(expected)
    assert found.score == pytest.approx(np.mean(expected))
    assert [f.n_nouns for f in found.forms] == [20, 20]
    assert found.ci_low < found.score < found.ci_high
    assert found.forms[0].gain == pytest.approx(gloss.mean())


def test_a_model_that_only_copies_has_0_and_one_that_takes_all_forms_alike_has_1():
    word = gains(0, 8.0)
    nothing = table("gloss", np.zeros((24, 6)), NOUNS)
    found = ladder_score([table("word", word, NOUNS), nothing])
    assert (found.score, found.ci_low, found.ci_high) == (0.0, 0.0, 0.0)
    same = ladder_score([table("word", word, NOUNS), table("gloss", word, NOUNS)])
    assert (same.score, same.ci_low, same.ci_high) == (1.0, 1.0, 1.0)


def test_it_is_null_where_the_word_has_no_gain():
    rng = np.random.default_rng(3)
    word = table("word", rng.standard_normal((24, 6)), NOUNS)
    found = ladder_score([word, table("gloss", gains(1, 4.0), NOUNS)])
    assert found.score is None
    assert [(u.env_form, u.reason) for u in found.unscored] == [("gloss", "G(word) is not told from 0")]


def test_forms_that_were_not_measured_are_named():
    word, gloss = table("word", gains(0, 8.0), NOUNS), table("gloss", gains(1, 4.0), NOUNS)
    found = ladder_score([word, gloss], unmeasured={"emoji": "not asked for"})
    assert [(u.env_form, u.reason) for u in found.unscored] == [("emoji", "not asked for")]
    assert ladder_score([word]) is None
    assert ladder_score([gloss]) is None


def test_the_order_of_forms_changes_no_number():
    tables = [
        table("word", gains(0, 8.0), NOUNS),
        table("gloss", gains(1, 4.0), NOUNS),
        table("emoji", gains(2, 1.0), NOUNS),
    ]
    one, two = ladder_score(tables), ladder_score(tables[::-1])
    assert (one.score, one.ci_low, one.ci_high) == pytest.approx((two.score, two.ci_low, two.ci_high))


def test_the_interval_covers_the_truth_where_nouns_and_frames_vary():
    """Drawn from populations whose ratio is 1/2: a two-way bootstrap covers it in at least 85 of 100 boards."""
    covered = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        word = 8 + rng.standard_normal((24, 1)) + rng.standard_normal((1, 6))
        gloss = 4 + rng.standard_normal((24, 1)) + rng.standard_normal((1, 6))
        found = ladder_score([table("word", word, NOUNS), table("gloss", gloss, NOUNS)], n_resamples=300, seed=seed)
        covered.append(found.ci_low <= 0.5 <= found.ci_high)
    assert recorded("ladder score", "24 nouns x 6 frames, two forms", covered) >= 0.80
