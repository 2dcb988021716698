"""Layer-matched random sets and the two tests against them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.simulated_levels import recorded

from groundbench.measures.causal.random_sets import against_draws, layer_matched_draws

LAYER = np.repeat(np.arange(1, 11), 8)


def _set(heads: list[int]) -> np.ndarray:
    chosen = np.zeros(len(LAYER), dtype=bool)
    chosen[heads] = True
    return chosen


def test_draws_match_the_layers_and_never_hold_the_heads_themselves() -> None:
    lists = [_set([0, 1, 20, 71]), _set([5, 33, 40, 41])]
    draws, borrowed = layer_matched_draws(lists, LAYER, 20, seed=0)
    assert len(draws) == 20
    assert borrowed == 0
    for sets in draws:
        for own, drawn in zip(lists, sets, strict=True):
            assert not (own & drawn).any()
            assert np.bincount(LAYER[own], minlength=11).tolist() == np.bincount(LAYER[drawn], minlength=11).tolist()
    assert len({b"".join(s.tobytes() for s in sets) for sets in draws}) == 20


def test_cells_with_one_set_share_their_draw() -> None:
    own = _set([0, 20])
    draws, _ = layer_matched_draws([own, own], LAYER, 5, seed=1)
    assert all(np.array_equal(a, b) for a, b in draws)


def test_there_may_be_fewer_different_draws_than_asked_for() -> None:
    draws, _ = layer_matched_draws([_set([3])], LAYER, 50, seed=0)
    assert len(draws) == 7


def test_a_value_far_above_the_draws_is_told_from_them() -> None:
    drawn = np.random.default_rng(0).normal(0, 0.02, 20).tolist()
    beyond, rank = against_draws(0.9, drawn, [_set([0, 20])], LAYER)
    assert rank == pytest.approx(1 / 21)
    assert beyond is not None
    assert beyond < 1e-6
    assert against_draws(None, drawn, [_set([0])], LAYER) == (None, None)


@pytest.mark.slow
def test_p_draws_fires_at_its_level_when_the_ranked_set_is_random_too() -> None:
    """A set drawn like its controls, from heads with effects of their own: 2 to 7 % of 1,000 experiments at 5 %."""
    rng = np.random.default_rng(0)
    rejected = []
    n = 1000
    for seed in range(n):
        effect = rng.normal(0, 0.05, len(LAYER))
        own = np.zeros(len(LAYER), dtype=bool)
        for layer in rng.choice(np.arange(1, 11), 6, replace=False):
            own[rng.choice(np.flatnonzero(layer == LAYER))] = True
        draws, _ = layer_matched_draws([own], LAYER, 20, seed=seed)
        beyond, _ = against_draws(float(effect[own].sum()), [float(effect[d[0]].sum()) for d in draws], [own], LAYER)
        assert beyond is not None
        rejected.append(beyond < 0.05)
    assert (
        0.02 <= recorded("p draws (interchange)", "10 layers x 8 heads, 6 heads, 20 draws", rejected, "rejects") <= 0.07
    )
