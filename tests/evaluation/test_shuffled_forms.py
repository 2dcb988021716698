"""Every noun in another noun's form: the tables are those of the testbed, permuted, and nothing is grounded."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.ladder_bed import ladder
from helpers.small_models import Home, tiny_llama
from helpers.tolerances import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError, StoreMismatchError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.api.testbed import EnvForm, Noun
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score
from groundbench.evaluation.evaluate import evaluate
from groundbench.evaluation.shuffled_forms import ShuffledForms
from groundbench.measures.gain.compare import compare_runs
from groundbench.measures.gain.measure import measure_gain
from groundbench.results.text.sentences import headline, null_controls


def tables(inner, shuffled, form):
    adapter = tiny_llama()
    return [score(adapter, build_contexts(adapter, bed, bed.form(form))) for bed in (inner, shuffled)]


@pytest.mark.parametrize("form", ["word", "gloss", "name"])
def test_tables_are_permuted_exactly(tmp_path, form):
    bed = ladder(tmp_path)
    shuffled = ShuffledForms(bed, seed=4)
    true, other = tables(bed, shuffled, form)
    assert other.nouns == true.nouns
    place = {n: i for i, n in enumerate(true.nouns)}
    shown = [place[shuffled.shown_as(bed.noun(n), bed.form(form)).word] for n in true.nouns]
    expected = true.dense()[:, shown, :]
    expected[:, np.arange(len(shown)), shown] = np.nan  # what truly shows the noun is no mismatch of it
    assert_same(other.dense(), expected)


@given(st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_no_noun_stays_in_its_place_and_none_comes_twice(seed):
    bed = Home()
    shuffled = ShuffledForms(bed, seed)
    form = bed.form("word")
    shown = {n.word: shuffled.shown_as(n, form).word for n in bed.nouns}
    assert all(env != other for env, other in shown.items())
    assert set(shown.values()) == set(shown)


def test_it_has_an_identity_of_its_own(tmp_path):
    bed = ladder(tmp_path)
    digests = {bed.digest(), ShuffledForms(bed, 0).digest(), ShuffledForms(bed, 1).digest()}
    assert len(digests) == 3
    result = evaluate(tiny_llama(), bed, measures=["gain"], shuffle_forms=True, out=tmp_path / "run")
    assert result.testbed.name == "rungs-shuffled"
    assert result.testbed.hash == ShuffledForms(bed, 0).digest()
    assert [f.env_form for f in result.forms] == ["word", "gloss", "name"]
    with pytest.raises(StoreMismatchError, match="testbed 'rungs-shuffled'"):
        evaluate(tiny_llama(), bed, measures=["gain"], out=tmp_path / "run")


def test_a_model_that_copies_has_a_gain_of_0_and_without_the_true_pairs_left_out_it_would_not():
    """Over many derangements of a planted table (s = -6 where the noun is truly shown) the mean gain is exactly 0."""
    nouns = tuple(Noun(f"n{i}", "things") for i in range(8))

    class Bed(Home):
        pass

    Bed.nouns, Bed.forms, Bed.default_form = nouns, (EnvForm("word"),), "word"
    rng = np.random.default_rng(0)
    s = rng.normal(8, 1, (8, 8)) - 6 * np.eye(8)
    gains, biased = [], []
    for seed in range(600):
        shuffled = ShuffledForms(Bed(), seed)
        form = Bed.forms[0]
        shown = [int(shuffled.shown_as(n, form).word[1:]) for n in nouns]
        env, target = (i.ravel() for i in np.indices((8, 8)))
        values = s[np.array(shown)[env], target]
        kept = np.array(
            [
                (nouns[u].word, nouns[v].word) not in shuffled.excluded_pairs(form)
                for u, v in zip(env, target, strict=True)
            ]
        )
        for into, rows in ((gains, kept), (biased, np.ones(64, bool))):
            table = SurprisalTable(
                "word",
                "shared",
                tuple(n.word for n in nouns),
                ("things",) * 8,
                ("f",),
                np.array([-1]),
                np.zeros(rows.sum(), np.int64),
                env[rows],
                target[rows],
                values[rows],
            )
            into.append(measure_gain(table, n_resamples=10).mean)
    error = np.std(gains) / len(gains) ** 0.5
    assert abs(np.mean(gains)) < 4 * error
    true = np.mean([(s[:, v].sum() - s[v, v]) / 7 - s[v, v] for v in range(8)])
    assert np.mean(biased) == pytest.approx(-true / 7, abs=5 * error)


def test_a_control_is_compared_with_the_run_it_controls(tmp_path):
    bed = ladder(tmp_path)
    asked = {"forms": ["word"], "measures": ["gain"]}
    evaluate(tiny_llama(), bed, out=tmp_path / "run", **asked)
    control = evaluate(tiny_llama(), bed, shuffle_forms=True, out=tmp_path / "control", **asked)
    assert null_controls(control) == ("shuffle-forms",)
    compared = compare_runs(tmp_path / "run", tmp_path / "control")
    assert compared.control == "b"
    assert compared.control_verdict == headline(control).split(" A small")[0]
    assert compare_runs(tmp_path / "control", tmp_path / "run").control == "a"
    assert compare_runs(tmp_path / "run", tmp_path / "run").control is None
    other = evaluate(tiny_llama(), bed, shuffle_forms=True, seed=1, out=tmp_path / "other", **asked)
    assert other.testbed.hash != control.testbed.hash
    with pytest.raises(BadInputError, match="different testbeds"):
        compare_runs(tmp_path / "other", tmp_path / "control")
