"""`print(result)` and a notebook's view: the numbers of the result, `-` where nothing was measured."""

from __future__ import annotations

import re

import pytest
from helpers.fake_results import fake_result

from groundbench.results.run import Failure


@pytest.fixture(scope="module")
def result():
    return fake_result(0)


def test_the_gain_with_its_interval_is_printed(result) -> None:
    gain = result.gain
    assert f"{gain.mean:.2f} [{gain.ci_low:.2f}, {gain.ci_high:.2f}]" in str(result)
    assert str(result) == result.summary()
    assert result.model.name in str(result)


def test_every_form_has_a_line(result) -> None:
    lines = result.summary().splitlines()
    for form in result.forms:
        assert any(line.startswith(form.env_form) for line in lines)


def test_unmeasured_is_a_dash_and_never_a_number(result) -> None:
    bare = result.headline.model_copy(update={"gain": None, "heads": (), "ablations": (), "lens": ()})
    empty = result.model_copy(update={"forms": (bare,)})
    last = empty.summary().splitlines()[-1]
    assert last.split()[2:] == ["-"]
    assert not re.search(r"\d\.\d", last)


def test_failures_are_said_and_markup_is_inert(result) -> None:
    failed = result.model_copy(update={"failures": (Failure(where="form <b>x</b>", reason="NaN & co"),)})
    assert "failed: form <b>x</b>: NaN & co" in str(failed)
    assert "form &lt;b&gt;x&lt;/b&gt;: NaN &amp; co" in failed._repr_html_()
