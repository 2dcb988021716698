"""Tests fire at their nominal rate (protocol §14 D): rejection of a true null at 5 % lies between 2 % and 7 %."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from simulated_tables import random_surprisals, shared_table

from groundbench.clustered import clustered_moments, detectable_effect
from groundbench.gain import item_gains
from groundbench.stats import bootstrap_mean, rank_p, signflip_p

EXPERIMENTS = 2_000
DESIGNS = [(100, 10), (20, 6)]
VARIANCES = {
    "noise": (0.0, 0.0, 0.0),
    "nouns": (1.0, 0.0, 0.0),
    "frames": (0.0, 0.5, 0.0),
    "nouns and frames": (1.0, 0.5, 0.0),
    "noun-by-frame products": (0.5, 0.3, 1.0),
}


def null_items(rng: np.random.Generator, shape: tuple[int, ...], variance: tuple[float, float, float]) -> np.ndarray:
    """Item tables [..., V, N] of true mean 0 with noun, frame and product effects and unit noise."""
    *batch, v, n = shape
    noun, frame, product = variance
    a, b = rng.normal(size=(*batch, v, 1)), rng.normal(size=(*batch, 1, n))
    c, d = rng.normal(size=(*batch, v, 1)), rng.normal(size=(*batch, 1, n))
    return noun * a + frame * b + product * c * d + rng.normal(size=shape)


def item_t_rejections(items: np.ndarray) -> float:
    """What an item-level t-test would do."""
    flat = items.reshape(len(items), -1)
    return float((scipy_stats.ttest_1samp(flat, 0, axis=1).pvalue < 0.05).mean())


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("design", DESIGNS)
def test_the_clustered_test_is_calibrated(design: tuple[int, int], variance: str) -> None:
    items = null_items(np.random.default_rng(11), (EXPERIMENTS, *design), VARIANCES[variance])
    assert 0.02 <= (clustered_moments(items).p < 0.05).mean() <= 0.07


def test_an_item_level_t_test_is_not_which_is_why_there_is_none() -> None:
    items = null_items(np.random.default_rng(12), (EXPERIMENTS, 100, 10), VARIANCES["nouns and frames"])
    assert item_t_rejections(items) > 0.3
    assert (clustered_moments(items).p < 0.05).mean() <= 0.07


def test_gains_of_simulated_tables_are_calibrated() -> None:
    """End to end: surprisals with a true gain of 0, reduced to items, tested."""
    rng = np.random.default_rng(13)
    items = np.stack([item_gains(shared_table(random_surprisals(rng, 6, 20, gain=0.0))) for _ in range(EXPERIMENTS)])
    assert 0.02 <= (clustered_moments(items).p < 0.05).mean() <= 0.07
    assert item_t_rejections(items) > 0.09


def test_an_env_form_that_moves_every_noun_alike_makes_the_test_conservative() -> None:
    rng = np.random.default_rng(14)
    surprisals = rng.normal(size=(500, 6, 20, 20)) + rng.normal(size=(500, 1, 20, 1))  # a main effect of u
    items = np.stack([item_gains(shared_table(s)) for s in surprisals])
    assert (clustered_moments(items).p < 0.05).mean() <= 0.02


def placebo_differences(rng: np.random.Generator, spread: float) -> np.ndarray:
    """Items of gain(set A cut) - gain(set B cut) [R, V, N], both sets drawn at random among 24 heads.

    Each head takes away an amount that varies by noun and frame, around a mean that varies by `spread` over heads.
    """
    differences = np.empty((1_000, 20, 6))
    for experiment in differences:
        heads = null_items(rng, (24, 20, 6), (0.5, 0.3, 0.0)) + 1.0 + spread * rng.normal(size=(24, 1, 1))
        drawn = rng.permutation(24)[:8]
        experiment[:] = heads[drawn[:4]].sum(0) - heads[drawn[4:]].sum(0)
    return differences


def test_placebo_ablations_are_calibrated() -> None:
    differences = placebo_differences(np.random.default_rng(15), spread=0.0)
    assert 0.02 <= (clustered_moments(differences).p < 0.05).mean() <= 0.07
    assert item_t_rejections(differences) > 0.15


def test_the_clustered_p_speaks_of_two_given_head_sets_only_hence_the_rank_p() -> None:
    """Where heads differ in what they carry, two random sets do differ; only the rank counts the choice of heads."""
    rng = np.random.default_rng(16)
    assert (clustered_moments(placebo_differences(rng, spread=0.5)).p < 0.05).mean() > 0.2
    harms = rng.normal(size=(5_000, 20))  # one set and 19 control draws of the same kind
    rejected = np.mean([rank_p(h[0], h[1:]) <= 0.05 for h in harms])
    assert 0.035 <= rejected <= 0.065


@pytest.mark.parametrize("design", DESIGNS)
def test_the_detectable_effect_is_found_in_about_80_percent(design: tuple[int, int]) -> None:
    items = null_items(np.random.default_rng(17), (EXPERIMENTS, *design), (0.3, 0.5, 0.0))
    moments = clustered_moments(items)
    effect = np.mean([detectable_effect(se, int(moments.df[0])) for se in np.sqrt(moments.variance)])
    assert 0.70 <= (clustered_moments(items + effect).p < 0.05).mean() <= 0.90


def test_signflips_and_bootstrap_over_nouns_are_calibrated() -> None:
    rng = np.random.default_rng(18)
    nouns = rng.normal(size=(1_000, 40))
    rejected = np.mean([signflip_p(x, n_flips=499, seed=i) <= 0.05 for i, x in enumerate(nouns)])
    assert 0.03 <= rejected <= 0.07
    intervals = [bootstrap_mean(x, n_resamples=500, seed=i) for i, x in enumerate(nouns)]
    assert 0.90 <= np.mean([e.low <= 0 <= e.high for e in intervals]) <= 0.97
