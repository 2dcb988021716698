"""The statistics of a screening on simulated answers: known rankings, brute force, calibration that holds."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.simulated_levels import recorded
from scipy import special, stats

from groundbench.screening.calibration import calibration, ece_high, fit_isotonic, fit_logistic, predict
from groundbench.stats.error_ranking import (
    FEWEST,
    auroc,
    auroc_estimate,
    auroc_gap,
    auroc_p,
    ranking_quality,
)
from groundbench.stats.grouped import group_numbers, grouped_mean, rate, wilson


def simulated(n: int, seed: int = 0, slope: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """A risk that is right about the odds of an error up to a shift and a stretch."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    return risk, rng.random(n) < special.expit(slope * risk - 1.0)


def test_auroc_is_the_share_of_ordered_pairs_with_ties_half() -> None:
    rng = np.random.default_rng(1)
    risk, error = rng.integers(0, 5, 60).astype(float), rng.random(60) < 0.4
    wrong, right = risk[error][:, None], risk[~error][None]
    assert auroc(risk, error) == pytest.approx(((wrong > right) + 0.5 * (wrong == right)).mean(), abs=1e-12)


def test_auroc_of_a_constant_is_a_half_and_of_one_class_is_not_measured() -> None:
    error = np.array([True, False, True, False])
    assert auroc(np.zeros(4), error) == 0.5
    assert auroc(np.arange(4.0), np.ones(4, bool)) is None
    assert auroc(np.arange(4.0), np.zeros(4, bool)) is None


def test_permuted_labels_give_an_auroc_within_its_interval_of_a_half() -> None:
    risk, error = simulated(2_000)
    group = np.arange(2_000) // 4
    assert auroc_estimate(risk, error, group).ci_low > 0.7  # type: ignore[operator]
    permuted = np.random.default_rng(5).permutation(error)
    found = auroc_estimate(risk, permuted, group)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < 0.5 < found.ci_high
    assert auroc_p(risk, permuted, group) > 0.05  # type: ignore[operator]
    assert auroc_p(risk, error, group) < 1e-10  # type: ignore[operator]


def test_the_test_of_chance_fires_at_its_level_in_grouped_answers() -> None:
    """Both the risk and the errors have a part that a whole group shares, and nothing to do with each other."""
    rng = np.random.default_rng(2)
    group, kind = np.repeat(np.arange(60), 6), np.tile([0, 0, 0, 1, 1, 2], 60)
    fired = []
    for _ in range(1_000):
        risk = rng.normal(size=60)[group] + rng.normal(size=360)
        error = rng.normal(size=60)[group] + rng.normal(size=360) > 0.5 * kind
        fired.append([auroc_p(risk, error, group) < 0.05, auroc_p(risk, error, group, stratum=kind) < 0.05])
    for design, rejected in zip(("all kinds", "within kinds"), np.transpose(fired), strict=True):
        share = recorded("AUROC above chance", f"60 groups of 6 answers, {design}", rejected, "rejects")
        assert 0.02 < share < 0.07


@pytest.mark.parametrize("errors", [1, 5, FEWEST - 1])
def test_a_few_errors_give_an_auroc_without_interval_and_no_test(errors: int) -> None:
    """With one error a resample of the groups that holds it always holds the same one."""
    risk = np.random.default_rng(errors).normal(size=120)
    group = np.arange(120) // 2
    few = np.arange(120) < 2 * errors  # in as many groups
    for error in (few, ~few):
        found = auroc_estimate(risk, error, group)
        assert found.value == auroc(risk, error)
        assert (found.ci_low, found.ci_high, auroc_p(risk, error, group)) == (None, None, None)
        assert auroc_gap(risk, -risk, error, group).ci_low is None
    kind = np.where(np.arange(120) < 60, 0, 1)  # of the second kind all are right: it tells nothing
    enough = np.arange(120) < 2 * FEWEST
    assert auroc_estimate(risk, enough, group).ci_low is not None
    assert auroc_estimate(risk, np.where(kind == 1, False, few), group, stratum=kind).ci_low is None


def test_with_just_enough_errors_the_test_of_chance_keeps_its_level() -> None:
    rng = np.random.default_rng(7)
    group = np.arange(120) // 2
    error = np.zeros(120, bool)
    error[: 2 * FEWEST : 2] = True
    p = np.array([auroc_p(rng.normal(size=120), error, group) for _ in range(2_000)], dtype=float)
    assert (
        0.03 < recorded("AUROC above chance", "60 groups of 2 answers, fewest errors tested", p < 0.05, "rejects") < 0.1
    )
    assert (p < 0.05 / 9).mean() < 0.03  # at nine signals' share of the level


def test_a_curve_has_the_interval_of_resampled_groups() -> None:
    risk, error = simulated(400)
    group = np.arange(400) // 4
    found = ranking_quality(risk, error, group).curve
    for coverage, e in found:
        assert e.ci_low is not None
        assert e.ci_high is not None
        assert e.ci_low <= e.value <= e.ci_high  # type: ignore[operator]
        order = np.argsort(risk)[: round(coverage * 400)]
        assert e.value == pytest.approx(error[order].mean())
    whole = found[-1][1]
    assert whole.ci_high - whole.ci_low == pytest.approx(
        3.92 * (0.25 / 400) ** 0.5 * (4 * whole.value * (1 - whole.value)) ** 0.5, rel=0.2
    )  # type: ignore[operator]
    assert ranking_quality(risk, error, np.zeros(400, int)).curve[3][1].ci_low is None


def test_the_order_of_answers_changes_nothing() -> None:
    risk, error = simulated(300)
    risk = np.round(risk, 1)
    names = [f"scene-{i // 3}" for i in range(300)]
    turned = np.random.default_rng(0).permutation(300)
    there = group_numbers(names), group_numbers([names[i] for i in turned])
    for estimate in (auroc_estimate, lambda *answers: ranking_quality(*answers).aurc):
        assert estimate(risk, error, there[0]) == pytest.approx(estimate(risk[turned], error[turned], there[1]))


def test_risk_coverage_ends_at_the_error_rate_and_a_perfect_risk_keeps_only_right_answers() -> None:
    error = np.array([False] * 75 + [True] * 25)
    curve = {c: e.value for c, e in ranking_quality(error.astype(float), error, np.arange(100)).curve}
    assert curve[1.0] == 0.25
    assert curve[0.75] == 0.0
    flat = ranking_quality(np.zeros(100), error, np.arange(100)).curve
    assert [e.value for _, e in flat] == pytest.approx([0.25] * 20)
    assert ranking_quality(np.zeros(100), error, np.arange(100)).aurc.value == pytest.approx(0.25)


def test_the_gap_of_a_risk_to_itself_is_nothing() -> None:
    risk, error = simulated(200)
    gap = auroc_gap(risk, risk, error, np.arange(200))
    assert (gap.value, gap.ci_low, gap.ci_high) == (0.0, 0.0, 0.0)


def test_wilson_is_wilson() -> None:
    wanted = stats.binomtest(7, 40).proportion_ci(0.95, "wilson")
    assert wilson(7 / 40, 40) == pytest.approx((wanted.low, wanted.high))


def test_questions_of_one_scene_count_as_fewer() -> None:
    """Twenty scenes, ten questions each, all right or all wrong in a scene: as good as twenty questions."""
    events = np.repeat(np.arange(20) < 5, 10)
    grouped = rate(events, np.repeat(np.arange(20), 10))
    alone = rate(np.arange(20) < 5, np.arange(20))
    assert grouped.ci_low == pytest.approx(alone.ci_low, abs=0.02)
    assert grouped.n == 200
    assert rate(np.zeros(50, bool), np.arange(50)).ci_high == pytest.approx(wilson(0.0, 50)[1])
    assert rate(np.zeros(0, bool), np.zeros(0, int)).value is None


def test_the_mean_leaves_out_what_was_not_measured() -> None:
    found = grouped_mean(np.array([1.0, np.nan, 3.0]), np.array([0, 1, 2]))
    assert (found.value, found.n) == (2.0, 2)
    assert grouped_mean(np.full(3, np.nan), np.arange(3)).value is None


@pytest.mark.parametrize("fit", [fit_logistic, fit_isotonic])
def test_calibration_holds_on_another_split(fit) -> None:
    """Protocol of the issue: fitted on one split, ECE below 0.02 on 10,000 others in 10 bins of equal mass."""
    fitted = fit(*simulated(10_000, seed=1))
    risk, error = simulated(10_000, seed=2)
    found = calibration(predict(fitted, risk), error)
    assert found.ece < 0.02
    assert [b.n for b in found.bins] == [1_000] * 10
    shuffled = np.random.default_rng(0).permutation(error)
    assert calibration(predict(fitted, risk), shuffled).ece > 0.1  # the same risk of other answers does not hold


def test_logistic_finds_what_was_simulated() -> None:
    fitted = fit_logistic(*simulated(50_000, seed=3))
    assert fitted.slope == pytest.approx(1.5, abs=0.06)
    assert fitted.intercept == pytest.approx(-1.0, abs=0.05)


def test_a_split_without_errors_has_a_small_risk_that_is_not_zero() -> None:
    risk = np.random.default_rng(0).normal(size=200)
    fitted = fit_logistic(risk, np.zeros(200, bool))
    assert (predict(fitted, risk) > 0).all()
    assert predict(fitted, risk).max() < 0.02
    assert fit_logistic(np.zeros(10), np.arange(10) < 5).slope == 0.0


def test_isotonic_rises_and_stays_within_its_knots() -> None:
    risk, error = simulated(500)
    fitted = fit_isotonic(risk, error)
    assert list(fitted.error) == sorted(fitted.error)
    assert predict(fitted, np.array([-99.0, 99.0])) == pytest.approx([fitted.error[0], fitted.error[-1]])
    at_knots = predict(fitted, risk)
    assert at_knots.mean() == pytest.approx(error.mean())  # least squares keeps the mean


def test_equal_predictions_share_their_errors_whatever_their_order() -> None:
    predicted, error = np.full(20, 0.5), np.arange(20) < 10
    assert calibration(predicted, error).ece == 0.0


def test_a_risk_that_only_tells_kinds_apart_is_at_chance_within_them() -> None:
    rng = np.random.default_rng(4)
    kind = np.repeat([0, 1], 1_000)
    error = rng.random(2_000) < np.where(kind == 0, 0.2, 0.7)
    risk = kind + rng.normal(size=2_000) / 10
    assert auroc(risk, error) > 0.7  # type: ignore[operator]
    group = np.arange(2_000)
    found = auroc_estimate(risk, error, group, stratum=kind)
    assert found.ci_low < 0.5 < found.ci_high  # type: ignore[operator]
    assert auroc_p(risk, error, group, stratum=kind) > 0.05  # type: ignore[operator]
    one = np.zeros(2_000, int)
    assert auroc_estimate(risk, error, group, stratum=one).value == pytest.approx(auroc(risk, error))
    assert auroc_p(risk, error, group, stratum=one) == pytest.approx(auroc_p(risk, error, group))
    assert auroc_estimate(risk[error], error[error], group[error], stratum=kind[error]).value is None
    assert auroc_p(risk[error], error[error], group[error], stratum=kind[error]) is None


def test_the_upper_end_of_the_calibration_error_holds_what_is_true() -> None:
    """Answers in groups of four that share a part of their luck; every predicted risk is 0.1 too high."""
    rng = np.random.default_rng(7)
    held = []
    for _ in range(100):
        truth = np.repeat(rng.uniform(0.2, 0.6, 60), 4)
        luck = np.where(rng.random(240) < 0.3, np.repeat(rng.random(60), 4), rng.random(240))
        predicted, error = truth + 0.1, luck < truth
        high = ece_high(predicted, error, np.repeat(np.arange(60), 4))
        assert high is not None
        assert high >= calibration(predicted, error).ece_raw
        held.append(high >= 0.1)
    assert np.mean(held) >= 0.95
    assert ece_high(np.array([0.1, 0.2]), np.array([True, False]), np.zeros(2, np.int64)) is None


def test_the_calibration_error_of_resamples_is_that_of_the_sample_where_groups_are_alike() -> None:
    """Every group holds the same answers, so no resample differs, ties across bins included."""
    predicted, error = np.tile([0.1, 0.3, 0.3, 0.7], 30), np.tile([False, True, False, True], 30)
    group = np.repeat(np.arange(30), 4)
    assert ece_high(predicted, error, group) == pytest.approx(calibration(predicted, error).ece_raw, abs=1e-12)


@pytest.mark.parametrize(("n", "refused"), [(100, 0.5), (300, 0.25), (1_000, 0.02)])
def test_a_calibrated_risk_has_little_calibration_error_by_chance(n: int, refused: float) -> None:
    """By the plain mean gap a limit of 0.05 refuses 98 %, 50 % and 0 % of calibrated risks."""
    rng = np.random.default_rng(n)
    found = []
    for _ in range(200):
        risk = rng.beta(2, 3, n)
        found.append(calibration(risk, rng.random(n) < risk))
    assert np.mean([c.ece for c in found]) < 0.5 * np.mean([c.ece_raw for c in found])
    assert np.mean([c.ece > 0.05 for c in found]) < refused


@pytest.mark.parametrize("n", [200, 1_000])
def test_a_gap_is_found_at_its_size(n: int) -> None:
    rng = np.random.default_rng(n)
    risks = [rng.uniform(0.2, 0.7, n) for _ in range(100)]
    found = [calibration(r, rng.random(n) < r + 0.1).ece for r in risks]
    assert np.mean(found) == pytest.approx(0.1, abs=0.015)


def test_a_real_gap_stays() -> None:
    rng = np.random.default_rng(1)
    risk = rng.beta(2, 3, 2_000)
    assert calibration(risk, rng.random(2_000) < np.clip(risk + 0.15, 0, 1)).ece == pytest.approx(0.14, abs=0.03)
