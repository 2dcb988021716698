"""Tests fire at their nominal rate (protocol §14 D): rejection of a true null at 5 % lies between 2 % and 7 %."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.salient import Salient, cut
from helpers.simulated_levels import recorded
from helpers.simulated_ranks import DESIGNS as DESIGNS_OF_RANKS
from helpers.simulated_ranks import rank_p_values
from helpers.simulated_tables import random_surprisals, shared_table
from scipy import stats as scipy_stats

from groundbench.measures.ablation import crossfit as ablation
from groundbench.measures.ablation.control_heads import set_rank_p
from groundbench.measures.ablation.crossfit import CellTables, crossfit
from groundbench.measures.ablation.folds import Cell
from groundbench.measures.gain.measure import item_gains
from groundbench.measures.heads.heads import HeadRule
from groundbench.results.run import AblationRecord
from groundbench.stats.clustered import clustered_moments, detectable_effect
from groundbench.stats.significance import Estimate, beyond_draws_p, bootstrap_mean, signflip_p

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
    """Return the share of rejections by an item-level t-test."""
    flat = items.reshape(len(items), -1)
    return float((scipy_stats.ttest_1samp(flat, 0, axis=1).pvalue < 0.05).mean())


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("design", DESIGNS)
def test_the_clustered_test_is_calibrated(design: tuple[int, int], variance: str) -> None:
    items = null_items(np.random.default_rng(11), (EXPERIMENTS, *design), VARIANCES[variance])
    rejected = clustered_moments(items).p < 0.05
    assert (
        0.02
        <= recorded("p clustered", f"{design[0]} nouns x {design[1]} frames: {variance}", rejected, "rejects")
        <= 0.07
    )


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


CELL = (Cell(np.arange(20), np.arange(6), np.ones(1, bool)),)


def placebo_records(
    heads: int, spread: float, experiments: int, monkeypatch: pytest.MonkeyPatch
) -> list[AblationRecord]:
    """`crossfit` with a random set of four heads in place of the detected one, on 20 nouns and 6 frames.

    Cutting a head takes away an amount that varies by noun and frame, around a mean that varies by `spread` over heads.
    """
    rng = np.random.default_rng([heads, int(10 * spread)])
    saliency = SimpleNamespace(row_sum=np.zeros((1, heads)), total_sum=None, head_layer=np.arange(heads) // 6 + 1)
    contexts = SimpleNamespace(nouns=[SimpleNamespace(word=f"noun{i}") for i in range(20)])
    monkeypatch.setattr(ablation, "clustered_ratio", lambda *_, **__: Estimate(None, None, None, 0))  # not tested here
    records: list[AblationRecord] = []
    for _ in range(experiments):
        table = shared_table(random_surprisals(rng, 6, 20))
        lost = null_items(rng, (heads, 20, 6), (0.5, 0.3, 0.0)) + 1 + spread * rng.normal(size=(heads, 1, 1))
        chosen = np.isin(np.arange(heads), rng.permutation(heads)[:4])

        def under(_, sets, table=table, lost=lost):
            taken = np.tensordot(sets[0].astype(float), lost, 1)[table.target, table.frame]
            return replace(table, surprisal=table.surprisal + np.where(table.env == table.target, taken, 0.0))

        monkeypatch.setattr(CellTables, "under", under)
        monkeypatch.setattr(ablation, "crossfit_lists", lambda *_, chosen=chosen: (CELL, [chosen]))
        subject = Salient(None, contexts, table, seed=int(rng.integers(1 << 30)), saliency=saliency)
        options = cut(rule=HeadRule(), draws=20, controls=("uniform",))
        records += crossfit(subject, subject.saliency, options)
    return records


@pytest.mark.slow
@pytest.mark.parametrize(("heads", "spread"), [(24, 0.0), (24, 0.5), (24, 2.0), (96, 0.5)])
def test_placebo_ablations_are_calibrated(heads: int, spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Detected and control sets both random, whether heads are alike or not: the test among draws holds its level."""
    records = placebo_records(heads, spread, 1_000, monkeypatch)
    assert all(r.n_draws == 20 for r in records)
    design = f"4 of {heads} heads, 20 draws: head SD {spread:g}"
    assert 0.02 <= recorded("p draws (ablation)", design, [r.p_draws < 0.05 for r in records], "rejects") <= 0.07
    assert 0.02 <= recorded("p rank", design, [r.p_rank < 0.05 for r in records], "rejects", 1 / 21) <= 0.07


@pytest.mark.slow
def test_the_clustered_test_speaks_of_two_given_sets_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds its level where heads are alike; where they are not, two random sets do differ, and it says so."""
    alike, different = (placebo_records(24, spread, 1_000, monkeypatch) for spread in (0.0, 0.5))
    assert 0.02 <= np.mean([r.p_cluster < 0.05 for r in alike]) <= 0.07
    assert np.mean([r.p_cluster < 0.05 for r in different]) > 0.2


def test_a_set_that_carries_the_gain_is_told_from_random_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test among draws has power: a set that takes 8 nats more than it did is found."""
    for record in placebo_records(24, 0.5, 20, monkeypatch):
        assert beyond_draws_p(record.gain_ablated - 8.0, record.gain_control_draws) < 0.01


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
    assert 0.90 <= np.mean([e.ci_low <= 0 <= e.ci_high for e in intervals]) <= 0.97


@pytest.mark.parametrize("heavy_tails", [False, True])
@pytest.mark.parametrize("design", DESIGNS_OF_RANKS)
def test_a_rank_among_draws_holds_its_level_where_draws_overlap(design: str, heavy_tails: bool) -> None:
    """Few heads in a layer, one list or several: the detected set is never in a draw, so a bare rank is too small."""
    p = rank_p_values(design, 1_000, heavy_tails=heavy_tails)
    assert np.isfinite(p).mean() > 0.9
    tails = "heavy-tailed" if heavy_tails else "normal"
    assert 0.02 <= recorded("p rank", f"{design}: {tails} effects", p[np.isfinite(p)] <= 0.05, "rejects") <= 0.08


def test_no_rank_is_given_where_a_draw_has_no_choice() -> None:
    layer, chosen = np.repeat(np.arange(2), 2), np.array([True, False, True, False])
    assert set_rank_p(3.0, [1.0], "layer", [chosen], layer) is None
    assert set_rank_p(3.0, [1.0, 2.0], "uniform", [np.array([True, False, False, False])], layer) == 1 / 3
