"""The order of grounding on planted trajectories: the step, the correlations, and the null."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from groundbench.api.errors import BadInputError
from groundbench.studies.children.ages import production_ages
from groundbench.studies.children.onset import onsets, order_beside_children, partial_spearman, spearman
from groundbench.tasks.inventories import load_inventory

STEPS = [0, 100, 200, 400, 800, 1600]


def planted(at: np.ndarray, frames: int, noise: float, seed: int = 0) -> np.ndarray:
    """[C, F, V] gains that rise to 4 nats in a ramp whose middle is the noun's step."""
    draw = np.random.default_rng(seed)
    mean = 4 * np.clip((np.array(STEPS)[:, None] - at) / 100 + 0.5, 0, 1)
    return mean[:, None, :] + noise * draw.standard_normal((len(STEPS), frames, len(at)))


def test_the_step_is_interpolated() -> None:
    gains = np.array([[0.0, 0, 3, 0], [1, 0, 3, 0], [3, 0, 3, -1], [4, 0, 3, -1]])
    found = onsets([0, 100, 200, 400], gains)
    assert found[:3].tolist()[0] == 150
    assert np.isnan(found[1])  # it never grounds
    assert found[2] == 0  # it does from the first checkpoint
    assert np.isnan(found[3])


@given(st.lists(st.floats(-1, 5).map(lambda x: round(x, 6)), min_size=4, max_size=4), st.floats(0.1, 10))
def test_the_step_does_not_depend_on_the_scale(gains: list[float], scale: float) -> None:
    column = np.array(gains)[:, None]
    a, b = onsets(STEPS[:4], column), onsets(STEPS[:4], scale * column)
    assert np.isnan(a[0]) == np.isnan(b[0])
    if not np.isnan(a[0]):
        assert b[0] == pytest.approx(a[0], rel=1e-6, abs=1e-6 * STEPS[3])
        assert STEPS[0] <= a[0] <= STEPS[3]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_rank_correlations_against_an_oracle(seed: int) -> None:
    draw = np.random.default_rng(seed)
    a, b, c = draw.integers(0, 6, (3, 20)).astype(float)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    ranks = [np.argsort(np.argsort(v, kind="stable")) for v in (a + b / 100, b + c / 100, c + a / 100)]
    x, y, z = (r.astype(float) for r in ranks)
    rest = [v - np.polyval(np.polyfit(z, v, 1), z) for v in (x, y)]
    assert partial_spearman(x, y, z) == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-9)


def test_a_planted_order_is_found_and_its_confound_told() -> None:
    draw = np.random.default_rng(1)
    frequency = np.exp(draw.uniform(3, 9, 80))
    ages = 40 - 2.5 * np.log(frequency) + 0.5 * draw.standard_normal(80)  # children follow frequency alone
    at = 1500 - 150 * np.log(frequency) + 30 * draw.standard_normal(80)  # and so does the model
    found = order_beside_children(STEPS, planted(at, 10, 0.3), ages, frequency, n_resamples=300)
    assert found.age.value is not None
    assert found.age.ci_low is not None
    assert found.frequency.ci_high is not None
    assert found.partial.ci_low is not None
    assert found.partial.ci_high is not None
    assert found.age.ci_low > 0.5
    assert found.frequency.ci_high < -0.5
    assert found.partial.ci_low < 0.15 < 0.5 * found.age.value  # nothing is left of it beyond frequency


def test_an_unrelated_order_has_an_interval_of_nothing() -> None:
    draw = np.random.default_rng(2)
    found = order_beside_children(
        STEPS,
        planted(draw.uniform(50, 800, 80), 10, 0.3),
        draw.uniform(16, 30, 80),
        draw.uniform(1, 9, 80) ** 3,
        n_resamples=300,
    )
    assert found.age.ci_low is not None
    assert found.age.ci_high is not None
    assert found.age.ci_low < 0 < found.age.ci_high


def test_a_model_that_does_not_ground_has_no_order() -> None:
    items = -np.abs(planted(np.full(20, 1e9), 4, 0.1))
    found = order_beside_children(STEPS, items, np.arange(20.0), np.arange(20.0), n_resamples=50)
    assert (found.nouns, found.age.value, found.partial.value) == (0, None, None)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInputError, match="steps: expected at least two checkpoints in rising order"):
        onsets([100, 100], np.zeros((2, 3)))
    with pytest.raises(BadInputError, match="items: expected"):
        order_beside_children(STEPS, np.zeros((6, 2, 3)), np.zeros(4), np.zeros(4))


def test_ages_are_of_our_nouns() -> None:
    ages, words = production_ages(), {n.word for n in load_inventory("cdi-en").nouns}
    assert ages.keys() <= words
    assert len(words - ages.keys()) <= 2
    assert all(16 <= months <= 31 for months in ages.values())
    assert ages["ball"] < ages["giraffe"]
