"""The measure `lens`: what the records say, what is trained on what, and how a lens is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.lens_testbed import WordTestbed, contexts_of
from helpers.tiny_models import tiny, tiny_adapter
from helpers.tolerances import nats
from safetensors.torch import save_file

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import score
from groundbench.engine.subject import Subject
from groundbench.evaluation.defaults import resolve_lens
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.lens.measure import measure
from groundbench.measures.lens.options import LensOptions
from groundbench.measures.lens.training_text import frame_halves, heldout_rows, lens_folds
from groundbench.measures.lens.tuned_lens import TunedLens
from groundbench.tasks.childworld import Childworld

QUICK = LensOptions(steps=60)


def measured(adapter, contexts, testbed, options, store=None, batch_tokens=8192):
    subject = Subject(adapter, contexts, None, store, batch_tokens=batch_tokens)  # no lens reads the table
    return measure(subject, resolve_lens(options, adapter.info), testbed)


@pytest.fixture(scope="module")
def adapter():
    return tiny_adapter("gpt2")


def trained_for(adapter):
    layers = (1, 2)
    draw = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(2, 32, 32, generator=draw), torch.randn(2, 32, generator=draw)
    return TunedLens(adapter.info.fingerprint, layers, weight, bias, {"steps": 3})


def test_the_records_hold_every_layer_and_end_in_the_model(adapter):
    contexts = contexts_of(adapter)
    gain = measure_gain(score(adapter, contexts))
    tuned, logit = measured(adapter, contexts, WordTestbed(), QUICK)
    assert (tuned.kind, logit.kind) == ("tuned", "logit")
    for record in (tuned, logit):
        assert [x.layer for x in record.layers] == [1, 2, 3]
        last = record.layers[-1]
        assert last.matched == nats(gain.matched)
        assert last.mismatched == nats(gain.mismatched)
        assert last.gain == nats(gain.mean, gain.mismatched)
        assert last.kl == 0
        for x in record.layers:
            assert x.gain == pytest.approx(x.mismatched - x.matched, abs=1e-9)
    for a, b in zip(tuned.layers[:-1], logit.layers[:-1], strict=True):
        assert 0 < a.kl < b.kl
    assert "cross-fitted over halves of the frames" in tuned.note
    assert "first token" in tuned.note


def test_no_lens_is_read_in_a_frame_that_it_was_trained_on(adapter):
    for testbed in (WordTestbed(), WordTestbed(per_noun=True)):
        contexts = contexts_of(adapter, testbed)
        folds, _ = lens_folds(adapter, contexts, testbed, QUICK)
        assert sorted(f for fold in folds for f in fold.frames) == list(range(len(contexts.frames)))
        for fold in folds:
            read = {c.row for c in contexts if c.frame in fold.frames}
            assert fold.rows
            assert not read & set(fold.rows)


def test_frames_of_one_noun_stay_in_one_half(adapter):
    contexts = contexts_of(adapter, WordTestbed(per_noun=True))
    a, b = frame_halves(contexts, seed=0)
    owners = contexts.frame_nouns
    assert len(a) == len(b) == 8
    assert not set(owners[a]) & set(owners[b])


def test_per_noun_frames_are_measured(adapter):
    contexts = contexts_of(adapter, WordTestbed(per_noun=True))
    gain = measure_gain(score(adapter, contexts))
    tuned, _ = measured(adapter, contexts, WordTestbed(per_noun=True), QUICK)
    assert tuned.layers[-1].gain == nats(gain.mean, gain.mismatched)


def test_with_one_frame_there_is_only_the_logit_lens(adapter):
    testbed = WordTestbed(frames=1)
    (record,) = measured(adapter, contexts_of(adapter, testbed), testbed, QUICK)
    assert record.kind == "logit"
    assert "no tuned lens: cross-fitting it needs two frames" in record.note


def test_a_testbed_with_a_corpus_gives_its_heldout_text():
    testbed = Childworld()
    corpus = testbed.corpus()
    tokenizer = corpus.tokenizer()
    model = tiny("gpt2", vocab_size=len(tokenizer))
    adapter = HFCausal(model, tokenizer, name="childworld")
    options = LensOptions(positions=500, row_length=40)
    contexts = contexts_of(adapter, testbed)
    (fold,), text = lens_folds(adapter, contexts, testbed, options)
    assert text == "trained on held-out rows of the corpus childworld"
    np.testing.assert_array_equal(fold.frames, np.arange(10))
    expected = corpus.heldout(rows=13, length=40)
    for row, ids in zip(fold.rows, expected, strict=True):
        assert row.ids == tuple(i for i in ids.tolist() if i != tokenizer.pad_token_id)
    assert heldout_rows(adapter, corpus, options) == fold.rows


def test_a_corpus_can_be_named(adapter):
    class Two:
        name = "two words"

        def tokenizer(self):
            return adapter.tokenizer

        def heldout(self, *, rows, length):
            return np.tile(np.array([[7, 9]]), (rows, length // 2))

    testbed = WordTestbed()
    (fold,), text = lens_folds(adapter, contexts_of(adapter), testbed, LensOptions(positions=100), Two())
    assert text == "trained on held-out rows of the corpus two words"
    assert {r.ids for r in fold.rows} == {(7, 9) * 32}


def test_a_run_goes_on_from_its_lenses_and_readings(adapter, tmp_path, monkeypatch):
    contexts = contexts_of(adapter)
    key = {"model": "tiny"}
    first = measured(adapter, contexts, WordTestbed(), QUICK, RunStore(tmp_path, key))
    with monkeypatch.context() as patch:
        patch.setattr(adapter, "forward", lambda *a, **k: pytest.fail("a forward pass was run again"))
        again = measured(adapter, contexts, WordTestbed(), QUICK, RunStore(tmp_path, key))
    assert again == first
    others = measured(adapter, contexts, WordTestbed(), replace(QUICK, steps=5), RunStore(tmp_path, key))
    assert others[0].layers[0] != first[0].layers[0]
    assert others == measured(adapter, contexts, WordTestbed(), replace(QUICK, steps=5))


def test_a_killed_run_ends_with_the_same_numbers(adapter, tmp_path, monkeypatch):
    contexts = contexts_of(adapter)
    forward = adapter.forward
    passes = 0

    def killed(*args, **more):
        nonlocal passes
        passes += 1
        if passes == 8:  # in the reading of the first half
            raise KeyboardInterrupt
        return forward(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(adapter, "forward", killed)
        with pytest.raises(KeyboardInterrupt):
            measured(adapter, contexts, WordTestbed(), QUICK, RunStore(tmp_path, {}), 40)
    assert list((tmp_path / "lens").glob("*.safetensors"))
    assert list((tmp_path / "parts").rglob("*.npy"))
    resumed = measured(adapter, contexts, WordTestbed(), QUICK, RunStore(tmp_path, {}), 40)
    assert resumed == measured(adapter, contexts, WordTestbed(), QUICK, None, 40)


def test_a_model_without_hidden_states_is_refused_in_one_sentence(adapter, monkeypatch):
    monkeypatch.setattr(adapter, "info", replace(adapter.info, capabilities=frozenset({"prefix"})))
    with pytest.raises(UnsupportedModelError, match="gpt2: no lens, since GPT2LMHeadModel") as error:
        measured(adapter, contexts_of(adapter), WordTestbed(), QUICK)
    assert "\n" not in str(error.value)


def test_a_saved_lens_comes_back(adapter, tmp_path):
    lens = trained_for(adapter)
    lens.save(tmp_path / "lens.safetensors")
    again = TunedLens.load(tmp_path / "lens.safetensors", adapter.info)
    assert (again.layers, again.training, again.fingerprint) == (lens.layers, lens.training, lens.fingerprint)
    assert torch.equal(again.weight, lens.weight)
    assert torch.equal(again.bias, lens.bias)
    assert again.digest() == lens.digest()
    assert [p.name for p in tmp_path.iterdir()] == ["lens.safetensors"]


def test_a_lens_of_other_weights_is_refused(adapter, tmp_path):
    path = tmp_path / "lens.safetensors"
    trained_for(adapter).save(path)
    other = HFCausal(tiny("gpt2", seed=1), adapter.tokenizer, name="other")
    with pytest.raises(BadInputError, match="was trained for the weights") as error:
        TunedLens.load(path, other.info)
    assert str(path) in str(error.value)
    assert adapter.info.fingerprint in str(error.value)
    assert other.info.fingerprint in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_lens_is_refused(adapter, tmp_path):
    with pytest.raises(BadInputError, match="no such tuned lens"):
        TunedLens.load(tmp_path / "none.safetensors", adapter.info)
    (tmp_path / "text.safetensors").write_text("not a lens")
    with pytest.raises(BadInputError, match="not a tuned lens"):
        TunedLens.load(tmp_path / "text.safetensors", adapter.info)
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInputError, match="found format None with tensors \\['weight'\\]"):
        TunedLens.load(tmp_path / "other.safetensors", adapter.info)


def test_an_unknown_layer_has_no_translator(adapter):
    with pytest.raises(ValueError, match="layer 3 has no translator"):
        trained_for(adapter).translate(3, torch.zeros(1, 32))
