"""The two-way clustered interval of a mean and of a ratio: oracle, agreement with the test, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.simulated_levels import recorded
from scipy import stats as scipy_stats

from groundbench.stats.clustered import (
    MIN_STANDARD_ERRORS,
    clustered_interval,
    clustered_moments,
    clustered_ratio,
    clustered_test,
    items_table,
)


def tables(
    rng: np.random.Generator,
    count: int,
    nouns: int,
    frames: int,
    *,
    noun: float = 1.0,
    frame: float = 0.0,
    product: float = 0.0,
    noise: float = 1.0,
) -> np.ndarray:
    """[count, V, N] tables of mean 0 with standard deviations by noun, frame, noun x frame product and item."""
    by_noun, by_frame = rng.normal(size=(count, nouns, 1)), rng.normal(size=(count, 1, frames))
    return (
        noun * by_noun
        + frame * by_frame
        + product * rng.normal(size=(count, nouns, 1)) * rng.normal(size=(count, 1, frames))
        + noise * rng.normal(size=(count, nouns, frames))
    )


def covered(items: np.ndarray, truth: float) -> np.ndarray:
    """[tables] whether the 95 % interval holds the truth."""
    moments = clustered_moments(items)
    half = scipy_stats.t.ppf(0.975, moments.df) * np.sqrt(moments.variance)
    return np.abs(moments.mean - truth) <= half


def test_the_interval_leaves_out_0_exactly_where_the_test_is_significant() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for shift in np.linspace(0, 1.5, 40):
        items = tables(rng, 1, 12, 5, frame=0.3)[0] + shift
        test, found = clustered_test(items), clustered_interval(items)
        assert test.p is not None
        assert found.ci_low is not None
        assert found.ci_high is not None
        assert (found.ci_low > 0 or found.ci_high < 0) == (test.p < 0.05)
        seen.add(test.p < 0.05)
    assert seen == {True, False}


def test_it_is_statsmodels_two_way_clustered_interval() -> None:
    sm = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    items = tables(np.random.default_rng(3), 1, 14, 6, frame=0.5)[0] + 1
    noun, frame = (i.ravel() for i in np.indices(items.shape))
    fit = sm.OLS(items.ravel(), np.ones(items.size)).fit(
        cov_type="cluster", cov_kwds={"groups": np.column_stack([noun, frame]), "use_correction": True}, use_t=True
    )
    found = clustered_interval(items)
    assert found.value == pytest.approx(float(fit.params[0]))
    half = scipy_stats.t.ppf(0.975, 5) * float(fit.bse[0])
    assert found.ci_high - found.value == pytest.approx(half, rel=1e-8)


@pytest.mark.parametrize(("nouns", "frames"), [(20, 5), (40, 10), (100, 10)])
@pytest.mark.parametrize("shape", [{}, {"frame": 0.3}, {"frame": 1.0}, {"frame": 0.3, "product": 0.5}, {"noun": 0.0}])
def test_it_covers_the_mean_of_new_nouns_and_frames(nouns: int, frames: int, shape: dict[str, float]) -> None:
    """A bootstrap over nouns covers 0.37 to 0.94 of these; conservative where frames differ in nothing."""
    items = tables(np.random.default_rng([nouns, frames, len(shape)]), 2_000, nouns, frames, **shape)
    spread = ", ".join(f"{name} SD {size:g}" for name, size in {"noun": 1.0, **shape, "item": 1.0}.items())
    share = recorded(
        "gain, its categories and differences", f"{nouns} nouns x {frames} frames: {spread}", covered(items, 0.0)
    )
    assert share > 0.92, share


@pytest.mark.parametrize("truth", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("frame", [0.0, 0.4])
def test_a_ratio_covers_its_truth(truth: float, frame: float) -> None:
    rng = np.random.default_rng([int(10 * truth), int(10 * frame)])
    inside = []
    for _ in range(1_000):
        below = 5 + tables(rng, 1, 40, 8, frame=frame)[0]
        above = 5 * truth + tables(rng, 1, 40, 8, frame=frame)[0]
        found = clustered_ratio(above, below)
        assert found.ci_low is not None
        assert found.ci_high is not None
        inside.append(found.ci_low <= truth <= found.ci_high)
    share = recorded(
        "ratio of gains (copy-corrected, gain removed)",
        f"40 nouns x 8 frames: ratio {truth:g}, frame SD {frame:g}",
        inside,
    )
    assert 0.92 <= share <= 0.995


def test_a_small_denominator_has_no_ratio() -> None:
    """A gain of 0.3 with standard error 0.22 passes a rule of significance in a quarter of the runs; here in none."""
    rng = np.random.default_rng(5)
    reported = [clustered_ratio(tables(rng, 1, 20, 4)[0], 0.3 + tables(rng, 1, 20, 4)[0]).value for _ in range(300)]
    assert sum(r is not None for r in reported) <= 3
    assert MIN_STANDARD_ERRORS > 2


def test_frames_that_only_one_of_the_two_has() -> None:
    rng = np.random.default_rng(7)
    below, above = 4 + rng.normal(size=(9, 5)), 2 + rng.normal(size=(9, 5))
    above[:, 3:] = np.nan
    found = clustered_ratio(above, below)
    assert found.value == pytest.approx(above[:, :3].mean() / below.mean())
    assert found.n == 9


def test_items_are_arranged_by_noun_and_frame() -> None:
    table = items_table(np.array([1.0, 3.0, 5.0, np.nan]), ["b", "b", "a", "a"], ["f", "f", "f", "g"])
    assert np.array_equal(table, [[5.0, np.nan], [2.0, np.nan]], equal_nan=True)
