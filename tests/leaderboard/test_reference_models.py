"""The models that a board is read against: what they score follows from what they are."""

from __future__ import annotations

import pytest

import groundbench
from groundbench.leaderboard.reference_models import ODDS, CopyOnly, IdealObserver, Untrained
from groundbench.results.run import Result

FORMS = ["word", "gloss", "translation-ru", "emoji"]


def measured(model) -> Result:
    return groundbench.evaluate(model, "ladder", forms=FORMS, limit=12, measures=["gain"])


def test_copying_reaches_the_word_and_nothing_else():
    result = measured(CopyOnly())
    assert result.gain.mean == pytest.approx(ODDS)
    assert result.ladder_score.score == pytest.approx(0.0, abs=0.01)


def test_the_ideal_observer_takes_every_form_as_well_as_the_word():
    result = measured(IdealObserver())
    assert [f.gain.mean for f in result.forms] == pytest.approx([ODDS] * len(FORMS))
    assert result.ladder_score.score == pytest.approx(1.0)


def test_random_weights_have_no_score():
    result = measured(Untrained())
    assert abs(result.gain.mean) < 0.1
    assert result.ladder_score.score is None
