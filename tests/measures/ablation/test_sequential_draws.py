"""Control draws that stop once the verdict is settled: the same verdict, the level kept, fewer draws."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.simulated_levels import recorded
from helpers.simulated_ranks import DESIGNS, Experiment, experiments_of

from groundbench.measures.ablation.control_heads import FAR, FEW, draws_suffice

LAYER = np.repeat(np.arange(4), 12)
CHOSEN = np.isin(np.arange(48), [3, 17, 30])
MANY = "30 x 9 heads, 3 of them"


@pytest.fixture(autouse=True)
def _ninety_nine_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (*shape, _) in list(DESIGNS.items()):
        monkeypatch.setitem(DESIGNS, name, (*shape, 99))


def suffice(harm: float, draws: list[float], most: int = 99) -> bool:
    return draws_suffice(harm, draws, most, "layer", [CHOSEN], LAYER)


def test_never_before_twenty_draws_and_never_of_twenty() -> None:
    low = list(np.random.default_rng(0).normal(size=FEW))
    assert not suffice(1e6, low[: FEW - 1])
    assert suffice(1e6, low)
    assert not suffice(1e6, low, most=FEW)


def test_as_soon_as_no_rank_below_five_percent_is_left_or_the_set_stands_far_beyond() -> None:
    rng = np.random.default_rng(1)
    draws = list(rng.normal(size=FEW))
    assert suffice(min(draws) - 1.0, draws)  # all are as harmful
    assert suffice(float(np.mean(draws)), draws)
    assert not suffice(float(np.mean(draws)) + 2.5, draws)  # neither far nor among them: the rest decides


@pytest.mark.parametrize("planted", [0.0, 3.0, 12.0])
def test_the_verdict_by_rank_is_the_one_of_all_draws_where_draws_stop_for_want_of_an_effect(planted: float) -> None:
    """Where the stop says "not beyond random", all the draws say so too; only the harm's scale may still move."""
    made = experiments_of(MANY, 300, heavy_tails=False, planted=planted)
    stopped = [(e, e.made()) for e in made]
    none = [e.p_values() for e, n in stopped if n < len(e.drawn) and e.p_values(n)[0] > 0.05]
    assert np.mean([rank > 0.04 for rank, _ in none] or [1.0]) > 0.97
    beyond = [e.p_values() for e, n in stopped if n < len(e.drawn) and e.p_values(n)[1] < FAR]
    assert np.mean([apart < 0.05 for _, apart in beyond] or [1.0]) == 1.0
    assert none or beyond


def levels(made: list[Experiment]) -> tuple[np.ndarray, np.ndarray, float]:
    """[experiments] p_rank and p_draws at the stop, and the mean number of draws made."""
    stops = [e.made() for e in made]
    p = np.array([e.p_values(n) for e, n in zip(made, stops, strict=True)])
    return p[:, 0], p[:, 1], float(np.mean(stops))


@pytest.mark.slow
@pytest.mark.parametrize("heavy_tails", [False, True])
@pytest.mark.parametrize("design", DESIGNS)
def test_stopping_keeps_the_level_of_both_tests(design: str, heavy_tails: bool) -> None:
    """No more rejections than all draws give: heavy tails raise the t-test's level with and without a stop."""
    made = experiments_of(design, 1_000, heavy_tails=heavy_tails)
    whole = np.array([e.p_values() for e in made])
    rank, beyond, _ = levels(made)
    what = f"{design}, sequential draws: {'heavy-tailed' if heavy_tails else 'normal'} effects"
    for name, stopped, every in (("p rank", rank, whole[:, 0]), ("p draws (ablation)", beyond, whole[:, 1])):
        known = np.isfinite(every)
        level = recorded(name, what, stopped[known] <= 0.05, "rejects")
        assert 0.02 <= level <= (0.10 if heavy_tails else 0.08), name
        assert level <= (every[known] <= 0.05).mean() + 0.02, name


def test_an_effect_is_found_with_a_fifth_of_the_draws_and_none_is_with_a_third() -> None:
    rank, beyond, draws = levels(experiments_of(MANY, 200, heavy_tails=False, planted=20.0))
    assert (rank <= 0.05).all()
    assert (beyond < FAR).all()
    assert draws == FEW
    assert levels(experiments_of(MANY, 200, heavy_tails=False))[2] < 99 / 2
