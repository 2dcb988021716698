"""Null controls: their verdict follows from the interval, and a comparison knows the run that one controls."""

from __future__ import annotations

import pytest
from helpers.fake_results import fake_result
from hypothesis import given
from hypothesis import strategies as st

from groundbench.results.run import GainRecord
from groundbench.results.text.sentences import control_verdict, headline, limits


@given(st.floats(-5, 5), st.floats(0.001, 5), st.floats(0.001, 5))
def test_a_control_passes_exactly_where_its_interval_holds_0(mean: float, below: float, above: float) -> None:
    gain = GainRecord(mean=mean, ci_low=mean - below, ci_high=mean + above)
    passed = mean - below <= 0 <= mean + above
    assert control_verdict(gain, ("shuffle-forms",)).startswith(f"Null control {'' if passed else 'not '}passed")


@pytest.mark.parametrize("gain", [None, GainRecord(mean=None), GainRecord(mean=0.0)])
def test_without_an_interval_nothing_is_decided(gain) -> None:
    assert control_verdict(gain, ("random-weights",)).startswith("Null control not decided")


def test_the_headline_of_a_control_is_its_verdict() -> None:
    result = fake_result()
    control = result.model_copy(update={"protocol": {"null_controls": ["shuffle-forms"]}})
    assert headline(control).startswith("Null control not passed")  # the planted gain is 4 nats
    assert "Null control" not in headline(result)


@pytest.mark.parametrize(
    ("nouns", "frames", "said"), [(5, 3, "2 degrees"), (2, 10, "1 degree "), (100, 10, ""), (3, 1, "no p")]
)
def test_a_small_testbed_is_told_what_limits_it(nouns: int, frames: int, said: str) -> None:
    testbed = fake_result().testbed.model_copy(update={"n_nouns": nouns, "n_items": nouns * frames})
    assert said in limits(testbed)
    assert (limits(testbed) == "") == (said == "")
