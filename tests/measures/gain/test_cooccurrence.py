"""Counting co-occurrence and regressing gains on it."""

import warnings

import numpy as np
import pytest
from helpers.simulated_tables import per_noun_table, random_surprisals, shared_table
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.cooccurrence import (
    UTTERANCES,
    Cooccurrence,
    count_cooccurrence,
    measure_cooccurrence,
    pair_differences,
)
from groundbench.measures.gain.measure import noun_gains
from groundbench.stats.regression import noun_r2, pair_r2

CHI, MOT, PAD = 0, 1, 2
ENV, LAN = (10, 11, 12), (20, 21, 22)
SCENE = (*ENV, 15)
OTHER = 30


def count_by_loops(rows: np.ndarray, window: str, scene: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The definition, token by token."""
    counts, said = np.zeros((3, 3), int), np.zeros(3, int)
    for row in rows.tolist():
        last: dict[int, int] = {}
        begun = 0
        for p, token in enumerate(row):
            leads_scene = p + 1 < len(row) and row[p + 1] in scene
            begun += token in (CHI, MOT) and not leads_scene
            if token in ENV:
                last[ENV.index(token)] = begun
            if token in LAN:
                said[LAN.index(token)] += 1
                for u, when in last.items():
                    counts[u, LAN.index(token)] += window == "chunk" or begun - when <= UTTERANCES
    return counts, said


@given(
    st.lists(
        st.lists(st.sampled_from([CHI, MOT, *SCENE, *LAN, OTHER]), min_size=24, max_size=24), min_size=1, max_size=4
    ),
    st.sampled_from(["chunk", "utterances"]),
    st.booleans(),
)
def test_counts_are_those_of_the_loop(rows: list[list[int]], window: str, scenes: bool) -> None:
    ids, scene = np.array(rows), SCENE if scenes else ()
    ours = count_cooccurrence([ids], ENV, LAN, (CHI, MOT), window, scene_ids=scene)
    counts, said = count_by_loops(ids, window, scene)
    assert np.array_equal(ours.counts, counts)
    assert np.array_equal(ours.said, said)
    streamed = count_cooccurrence(iter(ids), ENV, LAN, (CHI, MOT), window, scene_ids=scene)
    assert np.array_equal(streamed.counts, counts)


def test_windows_by_hand() -> None:
    utterances = [MOT, OTHER] * 4
    rows = [
        [CHI, 10, MOT, 20, OTHER, 20],  # shown, then said twice in the first utterance
        [CHI, 11, *utterances, CHI, 21],  # said in the 5th utterance after
        [CHI, 12, *utterances, MOT, OTHER, CHI, 22],  # in the 6th: only the chunk reaches it
        [MOT, 21, CHI, 11],  # said before it was shown
    ]
    width = max(map(len, rows))
    ids = np.array([r + [PAD] * (width - len(r)) for r in rows])
    chunk = count_cooccurrence([ids], ENV, LAN, (CHI, MOT), "chunk", scene_ids=SCENE)
    near = count_cooccurrence([ids], ENV, LAN, (CHI, MOT), "utterances", scene_ids=SCENE)
    assert np.array_equal(chunk.counts, np.diag([2, 1, 1]))
    assert np.array_equal(near.counts, np.diag([2, 1, 0]))
    assert chunk.said.tolist() == [2, 2, 1]


def test_nothing_to_count() -> None:
    empty = count_cooccurrence([np.full((2, 5), PAD), np.empty((0, 5), int)], ENV, LAN, (CHI,), "chunk")
    assert empty.counts.sum() == 0
    assert np.isfinite(empty.statistic("pmi")).all()


def test_pmi_is_zero_under_independence_and_positive_for_pairs_that_meet() -> None:
    independent = Cooccurrence("chunk", np.outer([600, 300], [0.5, 0.5]).astype(int), np.array([500, 500]))
    assert independent.statistic("pmi") == pytest.approx(np.zeros((2, 2)), abs=1e-9)
    tied = Cooccurrence("chunk", np.array([[400, 0], [0, 400]]), np.array([500, 500]))
    pmi = tied.statistic("pmi")
    assert np.diagonal(pmi) == pytest.approx(np.log(401 / 201))
    assert pmi[0, 1] == pytest.approx(np.log(1 / 201))
    assert tied.statistic("log-count")[0, 0] == np.log(401)


def test_adjusted_r2_is_that_of_ordinary_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = 0.6 * x + rng.normal(size=30)
    y[4] = np.nan
    fit = scipy_stats.linregress(np.delete(x, 4), np.delete(y, 4))
    ours = noun_r2(x, y)
    assert ours.value == pytest.approx(1 - (1 - fit.rvalue**2) * 28 / 27)
    assert ours.n == 29
    assert ours.ci_low < ours.value < ours.ci_high
    draws = [scipy_stats.linregress(x[i], y[i]).rvalue ** 2 for i in rng.integers(5, 30, (2_000, 29))]
    adjusted = 1 - (1 - np.array(draws)) * 28 / 27
    assert (ours.ci_low, ours.ci_high) == pytest.approx(tuple(np.quantile(adjusted, [0.025, 0.975])), abs=0.06)


def test_pair_r2_equals_least_squares_and_resamples_nouns_on_both_sides() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 12))
    y = rng.normal(size=(12, 12))
    x += np.diag(np.linspace(1, 9, 12))  # the diagonal carries the relation, as it does in a model that grounds
    y += np.diag(np.linspace(1, 9, 12))
    y[3, 4] = np.nan
    valid = ~np.isnan(y)
    fit = scipy_stats.linregress(x[valid], y[valid])
    ours = pair_r2(x, y, n_resamples=500)
    assert ours.n == 143
    assert ours.value == pytest.approx(1 - (1 - fit.rvalue**2) * 142 / 141)
    draws = []
    for drawn in rng.integers(0, 12, (1_000, 12)):
        u, v = np.meshgrid(drawn, drawn, indexing="ij")
        twin = (u == v) & ~np.eye(12, dtype=bool)  # two copies of one noun were never a pair
        use = ~twin & valid[u, v]
        r = np.corrcoef(x[u, v][use], y[u, v][use])[0, 1]
        draws.append(1 - (1 - r * r) * (use.sum() - 1) / (use.sum() - 2))
    assert (ours.ci_low, ours.ci_high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.04)


def test_pair_differences_by_their_definition() -> None:
    rng = np.random.default_rng(2)
    s = random_surprisals(rng, 3, 5)
    d = pair_differences(shared_table(s))
    for u, v in np.ndindex(5, 5):
        others = [w for w in range(5) if w != u]
        assert d[u, v] == pytest.approx(np.mean([s[n, others, v].mean() - s[n, u, v] for n in range(3)]))
    assert np.diagonal(d) == pytest.approx(noun_gains(shared_table(s)))
    per_noun = per_noun_table(rng.normal(8, 1, (8, 4)), np.arange(8) % 4)
    assert np.diagonal(pair_differences(per_noun)) == pytest.approx(noun_gains(per_noun))


def planted(strength: float, seed: int) -> tuple[SurprisalTable, Cooccurrence]:
    """A model whose s(v | u) falls by `strength` nats for each nat of log(1 + count)."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, (25, 25)) + np.diag(rng.integers(20, 900, 25))
    s = 8 + rng.normal(0, 0.3, (6, 25, 25)) - strength * np.log1p(counts)
    return shared_table(s), Cooccurrence("chunk", counts, counts.sum(0))


def test_planted_cooccurrence_is_found() -> None:
    table, counts = planted(1.0, seed=3)
    record = measure_cooccurrence(table, [counts])
    by = {(r.statistic, r.unit): r for r in record.regressions}
    assert set(by) == {(s, u) for s in ("log-count", "pmi") for u in ("noun", "pair")}
    assert by["log-count", "noun"].r2_adjusted > 0.8
    assert by["log-count", "pair"].r2_adjusted > 0.8
    assert by["log-count", "noun"].ci_low > 0.5
    assert record.gain_variance > 0.1


def test_where_counts_explain_nothing_r2_is_zero_on_average() -> None:
    found = [
        [r.r2_adjusted for r in measure_cooccurrence(table, [counts], n_resamples=20).regressions]
        for table, counts in (planted(0.0, seed) for seed in range(60))
    ]
    assert np.mean(found, axis=0) == pytest.approx(np.zeros(4), abs=0.03)


def test_a_blind_model_has_no_r2_and_no_variance() -> None:
    table = shared_table(np.repeat(np.random.default_rng(4).normal(8, 3, (4, 1, 11)), 11, axis=1))
    counts = Cooccurrence("chunk", np.arange(121).reshape(11, 11), np.arange(11) * 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = measure_cooccurrence(table, [counts])
    assert record.gain_variance == 0.0
    assert {(r.r2_adjusted, r.ci_low, r.ci_high) for r in record.regressions} == {(None, None, None)}


def test_counts_of_other_nouns_are_refused() -> None:
    table = shared_table(random_surprisals(np.random.default_rng(5), 2, 4))
    with pytest.raises(ValueError, match=r"shape \(3, 3\), expected \(4, 4\)"):
        measure_cooccurrence(table, [Cooccurrence("chunk", np.zeros((3, 3), int), np.zeros(3, int))])
