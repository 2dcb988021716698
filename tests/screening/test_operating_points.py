"""Where to answer and where to withhold: thresholds of models whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.fake_models import FakeModel, noise, scene_questions, sees, unsure

from groundbench import screen
from groundbench.report.pages import render_card_markdown
from groundbench.results.risk_card import EVERY, RiskCard
from groundbench.screening.calibration import true_gap
from groundbench.screening.policy import Policy, WantedPoint
from groundbench.screening.screen import ScreenOptions

QUESTIONS = scene_questions()
BEHAVIOUR = ("gain", "probability", "entropy", "contrast")


def card_of(model: FakeModel, policy: Policy, signals: tuple[str, ...]) -> RiskCard:
    return screen(model, QUESTIONS, ScreenOptions(policy=policy, signals=signals))


def test_a_bound_on_the_risk_says_where_to_withhold_without_requiring_it() -> None:
    card = card_of(unsure(), Policy(max_risk=0.1), signals=BEHAVIOUR)
    assert card.operating is not None
    assert (card.operating.max_risk, card.operating.min_coverage) == (0.1, 0.0)
    assert [c.name for c in card.verdict.checks] == ["max_risk"]
    assert card_of(unsure(), Policy(min_gain=0.1), signals=BEHAVIOUR).operating is None


def test_where_nothing_has_to_be_withheld_nothing_is() -> None:
    """An oracle that is surer of some answers than of others withholds none of them, whatever their risk."""
    varied = FakeModel(lambda text: (1 if sees(text) else -1) * (3 + 0.2 * noise(text)), "varied")
    point = WantedPoint(max_risk=0.0, min_coverage=1.0, signal="probability")
    card = card_of(varied, Policy(operating_point=point), signals=("probability",))
    assert card.verdict.passed is True
    assert card.operating is not None
    assert card.operating.threshold == EVERY
    assert RiskCard.model_validate_json(card.model_dump_json()).operating == card.operating
    assert "no answer is withheld" in render_card_markdown(card)


def test_a_gap_without_any_chance_is_the_raw_gap() -> None:
    """Risks that are next to 0 and 1 leave chance nothing; rounding must not stop the search for the true gap."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(3, 60))
        predicted = np.where(rng.random(n) < 0.5, 1e-13, 1 - 1e-13)
        raw = float(rng.random())
        assert true_gap(raw, predicted) == pytest.approx(raw, abs=1e-6)
