"""From surprisals to gains: definitions by naive loops, planted gains, null controls, invariants."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from helpers.simulated_tables import per_noun_table, random_surprisals, shared_table
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine.contexts import sample_mismatches
from groundbench.measures.gain.measure import gain_items, item_gains, measure_gain, noun_gains


def rows_kept(table: SurprisalTable, keep: np.ndarray) -> SurprisalTable:
    columns = ("frame", "env", "target", "surprisal")
    return replace(table, **{c: getattr(table, c)[keep] for c in columns})


def test_items_are_the_published_definition() -> None:
    s = random_surprisals(np.random.default_rng(0), 4, 6)
    categories = ("animal", "animal", "food", "food", "food", "toy")
    items = gain_items(shared_table(s, categories))
    for v, n in np.ndindex(6, 4):
        others = [u for u in range(6) if u != v]
        alike = [u for u in others if categories[u] == categories[v]]
        assert items.gain[v, n] == pytest.approx(np.mean([s[n, u, v] - s[n, v, v] for u in others]))
        assert items.matched[v, n] == s[n, v, v]
        assert items.mismatched[v, n] == pytest.approx(np.mean([s[n, u, v] for u in others]))
        if alike:
            assert items.same_category[v, n] == pytest.approx(np.mean([s[n, u, v] - s[n, v, v] for u in alike]))
        else:
            assert np.isnan(items.same_category[v, n])


def test_per_noun_frames_are_grouped_by_their_noun() -> None:
    rng = np.random.default_rng(1)
    owners = np.array([2, 0, 1, 0, 2, 2])
    s = rng.normal(8, 1, (6, 3))
    items = gain_items(per_noun_table(s, owners))
    assert items.nested
    assert items.gain.shape == (3, 3)
    for v in range(3):
        frames = np.flatnonzero(owners == v)
        expected = [np.mean([s[f, u] for u in range(3) if u != v]) - s[f, v] for f in frames]
        assert items.gain[v, : len(frames)] == pytest.approx(expected)
        assert np.isnan(items.gain[v, len(frames) :]).all()


def test_per_noun_frames_are_tested_over_nouns_alone() -> None:
    owners = np.random.default_rng(20).permutation(np.arange(40) % 8)
    record = measure_gain(table := per_noun_table(np.random.default_rng(21).normal(8, 1, (40, 8)), owners))
    assert record.p_cluster == pytest.approx(scipy_stats.ttest_1samp(noun_gains(table), 0).pvalue)
    assert record.per_frame_sd is None  # no two nouns share a frame


def test_rows_of_another_target_are_no_items_of_a_per_noun_frame() -> None:
    table = per_noun_table(np.random.default_rng(2).normal(8, 1, (4, 4)), np.arange(4))
    extra = replace(
        table,
        frame=np.append(table.frame, [0, 0]),
        env=np.append(table.env, [1, 2]),
        target=np.append(table.target, [1, 1]),
        surprisal=np.append(table.surprisal, [99.0, 77.0]),
    )
    assert np.array_equal(item_gains(extra), item_gains(table), equal_nan=True)


def test_a_planted_gain_is_measured() -> None:
    s = np.full((5, 9, 9), 7.0)
    planted = np.linspace(1, 3, 9)
    s[:, np.arange(9), np.arange(9)] -= planted
    record = measure_gain(shared_table(s))
    assert record.mean == pytest.approx(2.0)
    assert [n.gain for n in record.by_noun] == pytest.approx(planted)
    assert (record.matched, record.mismatched) == pytest.approx((5.0, 7.0))
    assert record.ci_low < 2.0 < record.ci_high
    assert record.p_cluster < 1e-3
    assert record.p_signflip < 0.01
    assert record.per_frame_sd == pytest.approx(0.0)
    assert [c.gain for c in record.by_category] == pytest.approx([planted[i::3].mean() for i in range(3)])
    assert [c.n_nouns for c in record.by_category] == [3, 3, 3]


@pytest.mark.parametrize("kind", ["shared", "per-noun"])
def test_a_model_blind_to_the_env_slot_has_a_gain_of_exactly_zero(kind: str) -> None:
    rng = np.random.default_rng(3)
    if kind == "shared":
        s = np.repeat(rng.normal(8, 3, (7, 1, 37)), 37, axis=1)  # independent of u, bit for bit
        table = shared_table(s)
    else:
        table = per_noun_table(np.repeat(rng.normal(8, 3, (30, 1)), 10, axis=1), rng.permutation(np.arange(30) % 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = measure_gain(table)
    assert (record.mean, record.ci_low, record.ci_high) == (0.0, 0.0, 0.0)
    assert (record.same_category, record.p_cluster, record.p_signflip) == (0.0, 1.0, 1.0)
    assert {n.gain for n in record.by_noun} == {0.0}
    assert record.detectable is None


def test_shuffled_env_destroys_the_gain() -> None:
    rng = np.random.default_rng(4)
    s = random_surprisals(rng, 8, 30, gain=3.0)
    shuffled = np.stack([frame[rng.permutation(30)] for frame in s])
    real, null = measure_gain(shared_table(s)), measure_gain(shared_table(shuffled))
    assert real.ci_low > 2.0
    assert real.p_cluster < 1e-6
    assert null.ci_low < 0 < null.ci_high
    assert null.p_cluster > 0.05


def test_failed_items_are_left_out_and_counted() -> None:
    s = random_surprisals(np.random.default_rng(5), 4, 6)
    broken = s.copy()
    broken[0, 1, 1] = np.nan  # a matched surprisal: the item is lost
    broken[2, 3, 4] = np.nan  # a mismatch: the mean runs over the others
    gains, complete = item_gains(shared_table(broken)), item_gains(shared_table(s))
    assert np.isnan(gains[1, 0])
    others = [u for u in range(6) if u not in (3, 4)]
    assert gains[4, 2] == pytest.approx(np.mean(s[2, others, 4]) - s[2, 4, 4])
    gains[1, 0] = complete[1, 0]
    gains[4, 2] = complete[4, 2]
    assert np.array_equal(gains, complete)
    assert measure_gain(shared_table(broken)).n_failed == 2


def test_a_noun_whose_items_all_failed_is_null_not_zero() -> None:
    s = random_surprisals(np.random.default_rng(6), 3, 5)
    s[:, :, 2] = np.nan
    record = measure_gain(shared_table(s, ("a", "a", "b", "c", "c")))
    assert record.by_noun[2].gain is None
    assert record.mean == pytest.approx(np.nanmean(noun_gains(shared_table(s))))
    assert [(c.category, c.n_nouns, c.gain is None) for c in record.by_category] == [
        ("a", 2, False),
        ("b", 0, True),
        ("c", 2, False),
    ]
    nothing = measure_gain(shared_table(np.full((2, 3, 3), np.nan)))
    assert (nothing.mean, nothing.p_cluster, nothing.matched, nothing.n_failed) == (None, None, None, 18)


def test_a_table_without_mismatches_has_matched_surprisals_and_no_gain() -> None:
    table = shared_table(random_surprisals(np.random.default_rng(7), 3, 5))
    record = measure_gain(rows_kept(table, table.env == table.target))
    assert record.mean is None
    assert record.mismatched is None
    assert record.matched == pytest.approx(table.surprisal[table.env == table.target].mean())


def test_one_shared_frame_gives_no_interval_but_that_over_nouns() -> None:
    record = measure_gain(shared_table(random_surprisals(np.random.default_rng(8), 1, 12)))
    assert (record.ci_low, record.ci_high) == (None, None)
    assert record.ci_nouns_low < record.mean < record.ci_nouns_high
    assert (record.p_cluster, record.detectable, record.per_frame_sd) == (None, None, None)


def test_the_probe_gap_is_over_the_rows_both_paths_scored() -> None:
    table = shared_table(random_surprisals(np.random.default_rng(9), 3, 5))
    moved = replace(table, surprisal=table.surprisal + np.where(table.env == table.target, 0.25, 0.0))
    part = rows_kept(moved, (moved.frame == 1) & (moved.env < 4) & (moved.target < 4))
    assert measure_gain(table, probe=part).probe_gap == pytest.approx(-0.25)
    assert measure_gain(table, probe=table).probe_gap == 0.0
    assert measure_gain(table, ideal=2.5).ideal == 2.5


@pytest.mark.parametrize("m", [1, 4, 8])
def test_a_sample_of_mismatches_is_seeded_distinct_and_without_the_target(m: int) -> None:
    targets = np.tile(np.arange(9), 50)
    sample = sample_mismatches(targets, 9, m, seed=1)
    assert sample.shape == (450, m)
    assert (sample != targets[:, None]).all()
    assert (np.diff(sample, axis=1) > 0).all()
    assert sample.min() >= 0
    assert sample.max() < 9
    assert np.array_equal(sample, sample_mismatches(targets, 9, m, seed=1))
    assert np.array_equal(sample[:99], sample_mismatches(targets[:99], 9, m, seed=1))
    if m < 8:
        assert not np.array_equal(sample, sample_mismatches(targets, 9, m, seed=2))


def test_samples_are_uniform_over_the_other_nouns() -> None:
    targets = np.full(20_000, 3)
    drawn = np.bincount(sample_mismatches(targets, 6, 2, seed=0).ravel(), minlength=6)
    assert drawn[3] == 0
    assert drawn[[0, 1, 2, 4, 5]] == pytest.approx(8_000, rel=0.05)


@pytest.mark.parametrize("m", [0, 5, -1])
def test_an_impossible_sample_is_refused(m: int) -> None:
    with pytest.raises(ValueError, match="mismatches among 4 other nouns"):
        sample_mismatches(np.arange(5), 5, m, seed=0)


def test_a_sampled_table_counts_only_the_pairs_it_holds() -> None:
    rng = np.random.default_rng(10)
    s = random_surprisals(rng, 3, 8)
    table = shared_table(s)
    sample = sample_mismatches(np.tile(np.arange(8), 3), 8, 2, seed=0).reshape(3, 8, 2)
    keep = np.zeros(s.shape, bool)
    keep[np.arange(3)[:, None, None], sample, np.arange(8)[:, None]] = True
    keep[:, np.arange(8), np.arange(8)] = True
    gains = item_gains(rows_kept(table, keep.ravel()))
    for v, n in np.ndindex(8, 3):
        assert gains[v, n] == pytest.approx(s[n, sample[n, v], v].mean() - s[n, v, v])


@given(st.integers(0, 10_000))
def test_order_of_nouns_frames_and_rows_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s = random_surprisals(rng, 3, 7)
    s[rng.random(s.shape) < 0.05] = np.nan
    categories = tuple(rng.choice(["a", "b"], 7).tolist())
    table = shared_table(s, categories)
    nouns, frames = rng.permutation(7), rng.permutation(3)
    moved = shared_table(s[frames][:, nouns][:, :, nouns], tuple(categories[i] for i in nouns))
    moved = rows_kept(moved, rng.permutation(moved.surprisal.size))
    one, two = (measure_gain(t, n_resamples=200) for t in (table, moved))
    plain = {"by_noun", "by_category"}
    for field, value in one.model_dump(exclude=plain).items():
        assert two.model_dump(exclude=plain)[field] == pytest.approx(value, nan_ok=True)
    assert [one.by_noun[i].gain for i in nouns] == pytest.approx([n.gain for n in two.by_noun])


@given(st.integers(0, 10_000), st.booleans())
def test_a_constant_for_each_target_and_frame_changes_no_gain(seed: int, per_noun: bool) -> None:
    rng = np.random.default_rng(seed)
    if per_noun:
        s, owners = rng.normal(8, 1, (9, 4)), rng.permutation(np.arange(9) % 4)
        one, two = per_noun_table(s, owners), per_noun_table(s + rng.normal(0, 9, (9, 1)), owners)
    else:
        s = random_surprisals(rng, 3, 6)
        one, two = shared_table(s), shared_table(s + rng.normal(0, 9, (3, 1, 6)))
    np.testing.assert_allclose(item_gains(one), item_gains(two), atol=1e-9)


@given(st.integers(0, 10_000))
def test_mismatched_minus_matched_is_the_gain(seed: int) -> None:
    record = measure_gain(shared_table(random_surprisals(np.random.default_rng(seed), 3, 5)), n_resamples=100)
    assert record.mismatched - record.matched == pytest.approx(record.mean)
