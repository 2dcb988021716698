"""Rank groups: paired tests against a plain loop, Holm against its definition, ties where nothing can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbench.leaderboard.ranks import Contender, Rank, pairwise_p, rank_groups
from groundbench.leaderboard.submission.items_parquet import Cells
from groundbench.stats.clustered import clustered_test
from groundbench.stats.significance import holm_array


def cells(gain: np.ndarray) -> Cells:
    return Cells(tuple(map(str, range(gain.shape[0]))), tuple(map(str, range(gain.shape[1]))), gain)


def contender(gain: np.ndarray) -> Contender:
    c = cells(gain)
    return Contender(c.mean, c.mean - 0.5, c.mean + 0.5, c)


def test_pairwise_tests_are_the_clustered_tests_of_the_differences():
    """Where noun and frame effects make the two-way variance the largest, the test is the package's own."""
    rng = np.random.default_rng(0)
    effects = [(rng.standard_normal((30, 1)), rng.standard_normal((1, 8))) for _ in range(6)]
    tables = [cells(k * 0.1 + noun + frame + rng.standard_normal((30, 8))) for k, (noun, frame) in enumerate(effects)]
    p = pairwise_p(tables)
    for i in range(6):
        for j in range(6):
            if i != j:
                expected = clustered_test(tables[i].gain - tables[j].gain).p
                assert p[i, j] == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert np.isnan(np.diag(p)).all()


def test_pairwise_tests_are_never_more_liberal_than_the_clustered_test():
    rng = np.random.default_rng(6)
    tables = [cells(rng.standard_normal((20, 6))) for _ in range(20)]
    p = pairwise_p(tables)
    single = [clustered_test(a.gain - b.gain).p for i, a in enumerate(tables) for b in tables[:i]]
    assert (p[np.tril_indices(20, -1)] >= np.array(single) - 1e-9).all()


def test_frames_of_one_noun_each_are_clustered_by_noun_alone():
    rng = np.random.default_rng(1)
    own = np.kron(np.eye(12), np.ones((1, 3))).astype(bool)
    nested = [np.where(own, rng.standard_normal(own.shape) + k, np.nan) for k in range(2)]
    tables = [cells(x) for x in nested]
    assert tables[0].nested
    expected = clustered_test(nested[0] - nested[1], nested=True).p
    assert pairwise_p(tables)[0, 1] == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_its_definition(p):
    order = np.argsort(p, kind="stable")
    running, expected = 0.0, [0.0] * len(p)
    for i, k in enumerate(order):
        running = max(running, min(1.0, (len(p) - i) * p[k]))
        expected[k] = running
    assert holm_array(np.array(p)) == pytest.approx(expected)


def test_intervals_that_overlap_share_a_rank():
    ranks = rank_groups([Contender(5, 4, 6), Contender(4.5, 3.9, 5.1), Contender(1, 0.5, 1.5), Contender(1.4, 1, 1.8)])
    assert ranks == [Rank(1, "interval"), Rank(1, "interval"), Rank(3, "interval"), Rank(3, "interval")]


def test_a_paired_test_separates_what_intervals_do_not():
    rng = np.random.default_rng(2)
    spread = 3 * rng.standard_normal((40, 1))
    low, high = (g + spread + 0.1 * rng.standard_normal((40, 10)) for g in (3.0, 3.4))
    wide = [Contender(float(x.mean()), float(x.mean()) - 1, float(x.mean()) + 1, cells(x)) for x in (low, high)]
    assert [r.rank for r in rank_groups(wide)] == [2, 1]
    assert [r.rank for r in rank_groups([Contender(c.gain, c.low, c.high) for c in wide])] == [1, 1]
    assert {r.method for r in rank_groups(wide)} == {"paired"}


def test_models_of_one_truth_rarely_part():
    """500 boards of five equal models: with Holm, at most 5 % of boards may separate any two (two standard errors)."""
    rng = np.random.default_rng(3)
    parted = 0
    for _ in range(500):
        noun = rng.standard_normal((30, 1))
        board = [contender(3 + noun + rng.standard_normal((30, 8))) for _ in range(5)]
        parted += any(r.rank > 1 for r in rank_groups(board))
    assert parted / 500 < 0.05 + 2 * (0.05 * 0.95 / 500) ** 0.5


def test_mixed_boards_say_so():
    rng = np.random.default_rng(4)
    with_items = [contender(g + rng.standard_normal((20, 6))) for g in (1.0, 9.0)]
    ranks = rank_groups([*with_items, Contender(5.0, 4.5, 5.5)])
    assert [r.rank for r in ranks] == [3, 1, 2]
    assert [r.method for r in ranks] == ["mixed", "mixed", "interval"]


def test_a_model_is_not_better_than_its_copy():
    x = np.random.default_rng(5).standard_normal((20, 6))
    assert [r.rank for r in rank_groups([contender(x), contender(x.copy())])] == [1, 1]
