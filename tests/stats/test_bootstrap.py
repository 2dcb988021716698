"""Bootstrap over nouns, ratios, sign flips, Holm, ranks, seeds."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from groundbench.stats.significance import (
    Estimate,
    beyond_draws_p,
    bootstrap_counts,
    bootstrap_mean,
    bootstrap_ratio,
    holm,
    rank_p,
    signflip_p,
    t_interval,
)


def test_every_resample_draws_as_many_nouns_as_there_are() -> None:
    counts = bootstrap_counts(13, 200, seed=1)
    assert counts.shape == (200, 13)
    assert (counts.sum(1) == 13).all()
    assert (counts == bootstrap_counts(13, 200, seed=1)).all()
    assert (counts != bootstrap_counts(13, 200, seed=2)).any()


def test_the_interval_is_that_of_scipy() -> None:
    x = np.random.default_rng(0).exponential(size=50)
    ours = bootstrap_mean(x)
    theirs = scipy_stats.bootstrap((x,), np.mean, n_resamples=10_000, method="percentile", rng=1).confidence_interval
    assert ours.value == pytest.approx(x.mean())
    assert (ours.ci_low, ours.ci_high) == pytest.approx(tuple(theirs), abs=0.02)


@given(st.integers(0, 1_000))
def test_the_order_of_nouns_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(3, 1, (2, 12))
    x[rng.random(12) < 0.2] = np.nan
    order = rng.permutation(12)
    assert bootstrap_mean(x, n_resamples=200) == bootstrap_mean(x[order], n_resamples=200)
    assert bootstrap_ratio(x, y, n_resamples=200) == bootstrap_ratio(x[order], y[order], n_resamples=200)
    assert signflip_p(x, n_flips=200) == signflip_p(x[order], n_flips=200)


def test_few_nouns_give_no_interval_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bootstrap_mean(np.array([np.nan, np.nan])) == Estimate(None, None, None, 0)
        assert bootstrap_mean(np.array([np.nan, 2.5])) == Estimate(2.5, None, None, 1)
        assert signflip_p(np.array([2.5, np.nan])) is None
        assert bootstrap_mean(np.zeros(9)) == Estimate(0.0, 0.0, 0.0, 9)
        assert signflip_p(np.zeros(9)) == 1.0


def test_a_ratio_is_paired_over_nouns() -> None:
    word = np.random.default_rng(1).normal(6, 2, 40)
    halves = bootstrap_ratio(0.5 * word, word)
    assert (halves.value, halves.ci_low, halves.ci_high) == pytest.approx((0.5, 0.5, 0.5))
    shuffled = bootstrap_ratio(0.5 * np.roll(np.sort(word), 7), word)
    assert shuffled.ci_low < 0.49
    assert shuffled.ci_high > 0.51


def test_a_ratio_to_nothing_is_not_a_number() -> None:
    rng = np.random.default_rng(2)
    nothing = rng.normal(0, 1, 40)
    assert bootstrap_ratio(rng.normal(2, 1, 40), nothing - nothing.mean()) == Estimate(None, None, None, 40)
    assert bootstrap_ratio(np.ones(5), np.zeros(5)).value is None
    missing = bootstrap_ratio(np.array([1.0, np.nan, 3.0]), np.array([2.0, 9.0, np.nan]))
    assert missing == Estimate(None, None, None, 1)


def test_sign_flips_converge_to_the_exact_test() -> None:
    x = np.array([0.9, -0.3, 1.4, 0.2, 0.8, 1.1, -0.1, 0.5, 0.6, -0.2])
    sums = [abs(np.dot(signs, x)) for signs in itertools.product((-1, 1), repeat=10)]
    exact = np.mean([s >= abs(x.sum()) - 1e-12 for s in sums])
    assert signflip_p(x, n_flips=40_000) == pytest.approx(exact, rel=0.15)


def test_sign_flips_never_reach_zero() -> None:
    assert signflip_p(np.full(60, 5.0), n_flips=999) == 1 / 1000


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.5]) == [1.0, None, 1.0]
    assert holm([None, 0.04]) == [None, 0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_keeps_order_and_lies_between_raw_and_bonferroni(p: list[float], random: object) -> None:
    corrected = holm(p)
    for raw, value in zip(p, corrected, strict=True):
        assert raw <= value <= min(1.0, max(raw * len(p), max(corrected)))
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert all(corrected[a] <= corrected[b] for a, b in itertools.pairwise(order))
    shuffled = list(range(len(p)))
    random.shuffle(shuffled)
    assert holm([p[i] for i in shuffled]) == [corrected[i] for i in shuffled]


def test_rank_counts_draws_at_least_as_harmful() -> None:
    assert rank_p(2.0, [0.5, 1.0, 2.0, 3.0]) == 3 / 5
    assert rank_p(9.0, np.linspace(0, 1, 99)) == 0.01
    assert rank_p(2.0, [np.nan, 3.0]) == 1.0
    assert rank_p(2.0, []) is None
    assert rank_p(math.nan, [1.0]) is None


def test_a_value_is_tested_against_the_spread_of_draws() -> None:
    draws = np.random.default_rng(3).normal(size=20)
    t = (2.5 - draws.mean()) / (draws.std(ddof=1) * math.sqrt(1 + 1 / 20))
    assert beyond_draws_p(2.5, draws) == pytest.approx(2 * scipy_stats.t.sf(abs(t), 19))
    assert beyond_draws_p(float(draws.mean()), draws) == pytest.approx(1)
    assert beyond_draws_p(1.0, [2.0, 2.0]) == 0.0
    assert beyond_draws_p(2.0, [2.0, 2.0]) == 1.0
    assert beyond_draws_p(1.0, [2.0]) is None
    assert beyond_draws_p(1.0, [2.0, np.nan]) is None


def test_seeds_get_a_t_interval() -> None:
    x = [4.9, 5.1, 5.6, 4.7, 5.2]
    ours = t_interval(x)
    theirs = scipy_stats.t.interval(0.95, 4, loc=np.mean(x), scale=scipy_stats.sem(x))
    assert (ours.ci_low, ours.ci_high) == pytest.approx(theirs)
    assert t_interval([3.0]) == Estimate(3.0, None, None, 1)
    assert t_interval([]) == Estimate(None, None, None, 0)
