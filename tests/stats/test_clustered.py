"""The two-way clustered test: oracles, invariants, missing items, degenerate tables."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from groundbench.stats.clustered import clustered_moments, clustered_test, detectable_effect


def pairwise_variance(items: np.ndarray) -> float:
    """Cameron-Gelbach-Miller by its definition: loops over pairs of items that share a noun, a frame, or both."""
    index = [(v, n) for v, n in np.ndindex(items.shape) if not np.isnan(items[v, n])]
    nouns, frames = {v for v, _ in index}, {n for _, n in index}
    theta = np.mean([np.nanmean(items[v]) for v in nouns])
    score = {(v, n): (items[v, n] - theta) / (len(nouns) * np.sum(~np.isnan(items[v]))) for v, n in index}
    total = 0.0
    for i in index:
        for j in index:
            product = score[i] * score[j]
            total += product * (i[0] == j[0]) * len(nouns) / (len(nouns) - 1)
            total += product * (i[1] == j[1]) * len(frames) / (len(frames) - 1)
            total -= product * (i == j) * len(index) / (len(index) - 1)
    return total


@pytest.mark.parametrize("failed", [0, 7])
def test_variance_is_the_published_double_sum(failed: int) -> None:
    rng = np.random.default_rng(failed)
    items = rng.normal(size=(9, 5)) + rng.normal(size=(9, 1)) + rng.normal(size=5)
    items.ravel()[rng.choice(45, failed, replace=False)] = np.nan
    test = clustered_test(items)
    assert test.se is not None
    assert test.se**2 == pytest.approx(pairwise_variance(items), rel=1e-10)
    assert test.df == 4
    assert test.n_items == 45 - failed
    assert not test.fallback
    assert test.p == pytest.approx(2 * scipy_stats.t.sf(abs(test.mean / test.se), 4))


def test_per_noun_frames_give_the_t_test_on_noun_means() -> None:
    items = np.random.default_rng(0).normal(0.3, 1, (12, 6))
    test, expected = clustered_test(items, nested=True), scipy_stats.ttest_1samp(items.mean(1), 0)
    assert test.df == expected.df
    assert test.p == pytest.approx(expected.pvalue)


def test_frames_nested_in_nouns_reduce_the_two_way_formula_to_one_way() -> None:
    items = np.random.default_rng(1).normal(size=(6, 3))
    apart = np.full((6, 18), np.nan)  # every frame holds one item
    apart[np.repeat(np.arange(6), 3), np.arange(18)] = items.ravel()
    assert clustered_test(apart).se == pytest.approx(clustered_test(items, nested=True).se)


def test_a_failed_item_is_left_out_not_zero() -> None:
    items = np.full((4, 3), 2.0) + np.random.default_rng(2).normal(0, 0.1, (4, 3))
    broken = items.copy()
    broken[0, 0] = np.nan
    assert clustered_test(broken).mean == pytest.approx((np.mean(broken[0, 1:]) + items[1:].mean(1).sum()) / 4)
    gone = np.vstack([items, np.full(3, np.nan)])
    assert clustered_test(gone) == clustered_test(items)


def test_a_negative_variance_falls_back_to_the_larger_one_way_variance() -> None:
    items = np.array([[1.0, 2.0, -1.0, -2.0], [-1.0, 0.0, 0.0, -2.0], [1.0, -2.0, 1.0, 2.0]])
    moments = clustered_moments(items)
    assert pairwise_variance(items) < 0
    assert bool(moments.fallback)
    centred = items - items.mean()
    by_noun, by_frame = (centred.sum(1) ** 2).sum() / 12**2 * 3 / 2, (centred.sum(0) ** 2).sum() / 12**2 * 4 / 3
    assert by_noun > by_frame
    assert float(moments.variance) == pytest.approx(by_noun)
    assert float(clustered_moments(items.T).variance) == pytest.approx(by_noun)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_one_noun_or_one_frame_allows_no_test(shape: tuple[int, int]) -> None:
    test = clustered_test(np.random.default_rng(3).normal(size=shape))
    assert test.mean is not None
    assert (test.p, test.se, test.detectable) == (None, None, None)


def test_degenerate_tables_raise_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blind = clustered_test(np.zeros((5, 4)))
        assert (blind.mean, blind.p) == (0.0, 1.0)
        constant = clustered_test(np.full((5, 4), 0.1))
        assert constant.mean == pytest.approx(0.1)
        assert constant.p is None  # no variation: nothing can be estimated
        empty = clustered_test(np.full((5, 4), np.nan))
        assert (empty.mean, empty.p, empty.n_items) == (None, None, 0)


def test_a_batch_equals_its_tables_one_by_one() -> None:
    rng = np.random.default_rng(4)
    batch = rng.normal(size=(20, 8, 4))
    batch[rng.random(batch.shape) < 0.1] = np.nan
    together = clustered_moments(batch)
    for i, items in enumerate(batch):
        assert clustered_test(items).p == pytest.approx(together.p[i])


@given(st.integers(0, 10_000), st.booleans())
def test_order_of_nouns_and_frames_and_sign_change_nothing(seed: int, nested: bool) -> None:
    rng = np.random.default_rng(seed)
    items = rng.normal(0.2, 1, (7, 4)) + rng.normal(size=(7, 1))
    items[rng.random(items.shape) < 0.15] = np.nan
    shuffled = items[rng.permutation(7)][:, rng.permutation(4)]
    one, two, flipped = (clustered_test(x, nested=nested) for x in (items, shuffled, -items))
    assert one.mean == pytest.approx(two.mean)
    assert one.p == pytest.approx(two.p)
    assert one.p == pytest.approx(flipped.p)


@given(st.floats(1e-3, 1e3))
def test_p_does_not_depend_on_the_unit(factor: float) -> None:
    items = np.random.default_rng(5).normal(0.2, 1, (7, 4))
    assert clustered_test(items * factor).p == pytest.approx(clustered_test(items).p)


@pytest.mark.parametrize("df", [1, 5, 9, 99])
def test_detectable_effect_has_the_power_it_claims(df: int) -> None:
    critical, nc = scipy_stats.t.ppf(0.975, df), detectable_effect(2.0, df) / 2.0
    rng = np.random.default_rng(6)
    t = (rng.normal(size=200_000) + nc) / np.sqrt(rng.chisquare(df, 200_000) / df)
    assert (np.abs(t) > critical).mean() == pytest.approx(0.8, abs=0.005)
