"""`print(result)` and a notebook's view: the numbers of the result, `-` where nothing was measured."""

from __future__ import annotations

import re
from html import escape

import pytest
from helpers.cards import made_up_card as card
from helpers.fake_results import fake_result

from groundbench.measures.gain.compare import ComparedRun, Comparison
from groundbench.measures.gain.comparison_text import finding
from groundbench.results.run import Failure
from groundbench.results.summary import with_ends
from groundbench.results.text.card_sentences import headline as card_headline
from groundbench.results.text.sentences import headline
from groundbench.results.trajectory import Trajectory, TrajectoryPoint


def comparison() -> Comparison:
    sides = [ComparedRun(run=n, model=n, step=None, gain=g, n_failed=0) for n, g in (("one", 1.5), ("two", 0.25))]
    return Comparison(
        testbed="toy",
        testbed_hash="0",
        env_form="word",
        a=sides[0],
        b=sides[1],
        difference=1.25,
        ci_low=1.0,
        ci_high=1.5,
        ci_nouns_low=1.1,
        ci_nouns_high=1.4,
        p_cluster=0.001,
        p_signflip=0.001,
        detectable=0.3,
        n_nouns=10,
        n_items=100,
        n_unpaired=0,
        by_noun=(),
        control="b",
        control_verdict="Null control passed.",
    )


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


def test_a_column_that_nothing_was_measured_for_is_not_shown(result) -> None:
    bare = result.model_copy(update={"forms": (result.headline.model_copy(update={"heads": (), "ablations": ()}),)})
    for text in (str(bare), bare._repr_html_()):
        assert "heads" not in text
        assert "gain (nats)" in text


def test_what_a_notebook_is_given_says_the_same_as_print(result) -> None:
    """Results, trajectories, comparisons and cards: one sentence first, the same numbers, no record dumped."""
    point = TrajectoryPoint(step=100, heldout_loss=2.5, result=result)
    trajectory = Trajectory(name="mini", points=(point, point.model_copy(update={"step": 200, "heldout_loss": None})))
    for found, sentence in (
        (result, headline(result)),
        (trajectory, headline(result)),
        (comparison(), finding(comparison())),
        (card(), card_headline(card())),
    ):
        text, html = str(found), found._repr_html_()
        assert text == found.summary()
        assert " ".join(text.split()).startswith(" ".join(sentence.split()))
        assert escape(sentence) in html
        assert set(re.findall(r"\d\.\d\d+", text)) == set(re.findall(r"\d\.\d\d+", html))
        assert max(map(len, text.splitlines())) < 200
        assert "Record(" not in text
        assert "Record(" not in html
    assert str(trajectory).splitlines()[-1].split()[-1] == "-"


def test_a_small_number_keeps_its_digits_and_zero_has_no_sign() -> None:
    assert with_ends(-0.001, -0.004, 0.002) == "\u22120.0010 [\u22120.0040, 0.0020]"
    assert with_ends(1.0, -0.001, 2.0) == "1.00 [0.00, 2.00]"
    assert with_ends(None, None, None) == "-"
