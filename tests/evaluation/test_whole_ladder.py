"""`evaluate` on a ladder: what is measured by default, and what a tokenizer that merges a form leaves of it."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.ladder_bed import GLUED, LADDER, ladder
from helpers.small_models import Home, tiny_gpt2, tiny_llama
from helpers.tolerances import nats

from groundbench.adapters.tokenization import PromptEncoder
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.engine.contexts import EmptyFormError, build_contexts
from groundbench.engine.scoring import score
from groundbench.evaluation.dry_run import dry_run
from groundbench.evaluation.evaluate import evaluate
from groundbench.evaluation.form_contexts import limited_nouns
from groundbench.evaluation.options import Options
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.gain.copy_corrected import copy_corrected
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.heads.saliency import SaliencyOptions, matched_items, measure_saliency
from groundbench.measures.heads.shared_heads import head_forms
from groundbench.results.items import read_items
from groundbench.results.run import Result

QUICK = {
    "heads": HeadOptions(denominator="row"),
    "ablation": AblationOptions(selections=("crossfit",), controls=("layer",), draws=2),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The whole ladder of a small model, by default, with its folder."""
    folder = tmp_path_factory.mktemp("ladder")
    bed = ladder(folder)
    return bed, evaluate(tiny_llama(), bed, out=folder / "run", **QUICK), folder / "run"


def test_a_ladder_is_measured_whole(run):
    _, result, folder = run
    assert [f.env_form for f in result.forms] == ["word", "gloss", "name"]
    assert result.protocol["measures"] == ["gain", "heads", "causal"]
    for form in result.forms:
        assert form.gain is not None
        assert form.heads
        assert not form.ablations
    told = [f.reason for f in result.failures if f.where == "causal"]
    measured = [r.env_form for r in result.causal]
    assert len(measured) + len(told) == 3  # some forms of so few nouns have no prompts of equal length
    assert all("nouns in each half" in t or "of equal length" in t for t in told)
    top = result.forms[0]
    assert (result.testbed.env_form, result.gain, result.heads) == ("word", top.gain, top.heads)
    assert [f.n_nouns for f in result.forms] == [8, 7, 7]
    assert [e.noun for e in result.forms[1].excluded] == ["cup"]
    assert Result.load(folder) == result


def test_the_ladders_numbers_are_those_of_each_form_alone(run):
    bed, result, _ = run
    for form in result.forms:
        alone = evaluate(tiny_llama(), bed, forms=[form.env_form], measures=["gain"])
        assert alone.gain.mean == nats(form.gain.mean, form.gain.mismatched)
        assert [f.env_form for f in alone.forms] == [form.env_form]


def test_what_the_forms_say_together_is_in_the_result(run):
    _, result, folder = run
    tables = [read_items(folder / "items.parquet", form) for form in ("word", "gloss", "name")]
    assert result.copy_corrected == copy_corrected(tables)
    assert result.copy_corrected.n_nouns == 7
    assert result.head_forms == head_forms(result.forms)
    listed = {(h.layer, h.head): h.forms for h in result.head_forms}
    for form in result.forms:
        often = {(h.layer, h.head) for h in form.heads[0].by_head if h.rate >= 0.5}
        assert often == {head for head, forms in listed.items() if form.env_form in forms}


def test_other_testbeds_keep_one_form_and_no_ablation():
    result = evaluate(tiny_llama(), Home())
    assert result.protocol["measures"] == ["gain", "heads"]
    assert result.heads
    assert (len(result.forms), result.ablations, result.copy_corrected) == (1, (), None)


def test_dry_run_plans_what_is_run(run):
    bed, result, _ = run
    plans = dry_run(tiny_llama(), bed)
    assert [(p.form, p.n_nouns) for p in plans] == [(f.env_form, f.n_nouns) for f in result.forms]
    assert [p.contexts for p in plans] == [16, 14, 14]
    assert [p.form for p in dry_run(tiny_llama(), Home())] == ["word"]


def test_forms_share_the_nouns_of_a_limit(tmp_path):
    bed = ladder(tmp_path)
    word, gloss = (limited_nouns(bed, bed.form(f), Options(limit=6, seed=3)) for f in ("word", "gloss"))
    assert len(word) == len(gloss) == 6
    assert len(set(word) & set(gloss)) == (6 if "cup" not in word else 5)


def test_a_noun_whose_form_merges_is_left_out_of_that_form_and_named(tmp_path):
    bed = ladder(tmp_path, GLUED)
    result = evaluate(tiny_gpt2(), bed, measures=["gain"])
    word, _, name = result.forms
    assert (word.n_nouns, name.n_nouns) == (8, 6)
    reasons = {e.noun: e.reason for e in name.excluded}
    assert set(reasons) == {"cat", "elephant"}
    assert "merges ENV with its surroundings" in reasons["cat"]
    assert "cat" not in {n.noun for n in name.gain.by_noun}
    assert result.failures == ()


def test_what_is_left_of_a_form_is_what_it_is_without_the_noun(tmp_path):
    bed = ladder(tmp_path, GLUED)
    contexts = build_contexts(tiny_llama(), bed, bed.form("name"))
    assert set(contexts.left_out) == {"cat"}
    without = ladder(tmp_path, GLUED.replace("{cat: he, ", "{"))
    again = build_contexts(tiny_llama(), without, without.form("name"))
    one, two = (measure_gain(score(tiny_llama(), c)) for c in (contexts, again))
    assert one == two


def test_a_target_that_merges_with_the_frames_end_is_left_out(tmp_path):
    text = LADDER.replace(
        'f2: "The child is at home. [There is the {env} here.] Do you want the', 'f2: "See the {env}. th'
    )
    bed = ladder(tmp_path, text.replace("ladder: true\n", 'ladder: true\njoin: ""\n'))
    contexts = build_contexts(tiny_llama(), bed, bed.form("word"))
    assert set(contexts.left_out) == {"elephant"}
    assert "merges the context's end" in contexts.left_out["elephant"]
    assert "elephant" not in [n.word for n in contexts.nouns]


def test_a_form_that_cannot_be_read_does_not_keep_the_others_from_being_measured(tmp_path):
    bed = ladder(
        tmp_path, GLUED.replace("dog: Rex, duck: Quack, ball: Bounce, book: Tome, blanket: Fluff, cup: Sip", "dog: he")
    )
    result = evaluate(tiny_llama(), bed, measures=["gain"])
    name = result.forms[2]
    assert (name.env_form, name.n_nouns, name.gain) == ("name", 0, None)
    assert {e.noun for e in name.excluded} >= {"cat", "dog"}
    assert [f.where for f in result.failures] == ["form name"]
    assert "merges" in result.failures[0].reason
    with pytest.raises(EmptyFormError, match=r"0 nouns are left, at least 2 are needed.*merges"):
        evaluate(tiny_llama(), bed, forms=["name"])


def test_a_testbed_that_needs_its_own_vocabulary_is_refused(tmp_path):
    bed = ladder(tmp_path, GLUED.replace("natural_language: true", "natural_language: false"))
    with pytest.raises(UnencodableError, match="merges ENV with its surroundings"):
        build_contexts(tiny_llama(), bed, bed.form("name"))


def test_a_context_too_long_is_refused_and_nothing_is_cut_off(tmp_path):
    with pytest.raises(BadInputError, match="nothing is truncated"):
        evaluate(tiny_gpt2(positions=20), ladder(tmp_path))


def test_all_faults_of_a_batch_are_found_at_once(tmp_path):
    bed = ladder(tmp_path, GLUED.replace("dog: Rex", "dog: he"))
    form = bed.form("name")
    prompts = [bed.prompt(f, n, form) for f in bed.frames(form) for n in bed.nouns_of(form)]
    encoder: PromptEncoder = tiny_llama().encoder
    with pytest.raises(UnencodableError) as caught:
        encoder.encode(prompts)
    assert {prompts[i].env for i in caught.value.faults} == {"cat", "dog"}
    assert len(encoder.encode([p for i, p in enumerate(prompts) if i not in caught.value.faults])) == 12


def test_random_weights_have_a_fingerprint_and_a_name_of_their_own(tmp_path):
    bed = ladder(tmp_path)
    model = tiny_gpt2()
    result = evaluate(model, bed, measures=["gain"], random_weights=True, seed=5)
    assert result.model.name == "tiny-gpt2 (untrained)"
    assert result.model.fingerprint != model.info.fingerprint
    again = evaluate(model, bed, measures=["gain"], random_weights=True, seed=5)
    assert again.model.fingerprint == result.model.fingerprint
    assert again.gain == result.gain
    assert not np.isclose(result.gain.mean, evaluate(model, bed, measures=["gain"]).gain.mean)


def test_a_batch_of_prompts_that_begin_alike_has_the_saliency_of_each_alone(tmp_path):
    bed = ladder(tmp_path)
    adapter = tiny_llama()
    items = matched_items(build_contexts(adapter, bed, bed.form("gloss")))
    together = measure_saliency(adapter, items, SaliencyOptions(denominator="row"))
    alone = HeadSaliency.concat([measure_saliency(adapter, [i], SaliencyOptions(denominator="row")) for i in items])
    for name in ("edge", "row_sum", "signed_row", "surprisal"):
        one, other = getattr(together, name), getattr(alone, name)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())
