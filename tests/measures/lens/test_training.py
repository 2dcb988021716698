"""Training a tuned lens: it lowers the KL on text it never saw, and its gradient and translators are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.lens_testbed import contexts_of
from helpers.planted import PlantedTestbed, single_head
from helpers.tiny_models import VOCABULARY, tiny_adapter

from groundbench.adapters.huggingface import open_causal
from groundbench.api.adapter import Encoded
from groundbench.api.errors import BadInputError, NonFiniteLogitsError, UnsupportedModelError
from groundbench.evaluation.defaults import resolve_lens
from groundbench.measures.lens.options import LensOptions
from groundbench.measures.lens.reading import read_lenses
from groundbench.measures.lens.training import _kl_gradient, _Translators, hidden_states, kl_divergence, train_lens
from groundbench.measures.lens.tuned_lens import TunedLens

QUICK = LensOptions(steps=150, positions=2_000)


def random_rows(n, length=12, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [Encoded(tuple(r)) for r in torch.randint(0, VOCABULARY, (n, length), generator=draw).tolist()]


def heldout_kl(adapter, lens, rows):
    """[layers] mean KL(final || lens) over all positions of some rows."""
    states = hidden_states(adapter, rows, (*lens.layers, adapter.info.n_layers), LensOptions())
    with torch.no_grad():
        final = adapter.unembed(states[-1], normed=False).log_softmax(-1)
        seen = [adapter.unembed(lens.translate(k, h), normed=False) for k, h in zip(lens.layers, states, strict=False)]
    return torch.tensor([kl_divergence(final, s.log_softmax(-1)).mean() for s in seen])


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "mamba2"])
def test_training_lowers_the_kl_on_text_it_never_saw(family):
    adapter = tiny_adapter(family)
    lens = train_lens(adapter, random_rows(200), resolve_lens(QUICK, adapter.info))
    unseen = random_rows(50, seed=1)
    before = heldout_kl(adapter, TunedLens.identity(adapter.info, lens.layers), unseen)
    after = heldout_kl(adapter, lens, unseen)
    assert (after < 0.95 * before).all(), (before, after)
    if family == "gpt2":
        assert (after < 0.6 * before).all(), (before, after)


def test_a_lens_learns_what_a_layer_knows_and_not_what_it_does_not(tmp_path):
    """Head (2, 1) of the planted model moves the noun: no translator may find it in layer 1."""
    adapter = open_causal(str(single_head(tmp_path).folder))
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, adapter.info.vocab_size, (300, 12), generator=draw).tolist()
    lens = train_lens(adapter, [Encoded(tuple(r)) for r in ids], resolve_lens(QUICK, adapter.info))
    contexts = contexts_of(adapter, PlantedTestbed())
    tuned, _ = read_lenses(adapter, contexts, (lens, None), lens.layers)
    dense = [np.nan_to_num(t.dense()) for t in tuned.tables]
    gains = [(s.sum(1) - np.einsum("nvv->nv", s)).mean() / 11 - np.einsum("nvv->nv", s).mean() for s in dense]
    assert abs(gains[0]) < 0.01
    assert gains[1] > 0.9 * gains[2] > 3


def test_the_closed_gradient_is_autograds():
    adapter = tiny_adapter("gemma2")  # its logits are soft-capped, so the unembedding is not linear
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 5, 32, generator=draw, requires_grad=True)
    final = torch.randn(5, 32, generator=draw)
    goal = adapter.unembed(final, normed=False).detach().log_softmax(-1)
    lens = adapter.unembed(hidden, normed=False).log_softmax(-1)
    kl_divergence(goal, lens).sum().div(5).backward()
    torch.testing.assert_close(_kl_gradient(adapter, hidden.detach(), final), hidden.grad, rtol=1e-4, atol=1e-7)


def test_the_gradient_does_not_depend_on_chunks(monkeypatch):
    adapter = tiny_adapter("gpt2")
    draw = torch.Generator().manual_seed(0)
    hidden, final = torch.randn(2, 7, 32, generator=draw), torch.randn(7, 32, generator=draw)
    whole = _kl_gradient(adapter, hidden, final)
    monkeypatch.setattr("groundbench.measures.lens.training.CHUNK_LOGITS", 2 * VOCABULARY * 3)
    torch.testing.assert_close(_kl_gradient(adapter, hidden, final), whole)


def test_translators_are_affine_and_start_at_the_identity():
    draw = torch.Generator().manual_seed(0)
    states = 5 + 3 * torch.randn(2, 50, 8, generator=draw)
    translators = _Translators(states, "cpu")
    assert torch.equal(translators(states), states)
    with torch.no_grad():
        for parameter in translators.parameters:
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    lens = TunedLens("", (1, 2), *translators.affine())
    for k in (0, 1):
        torch.testing.assert_close(lens.translate(k + 1, states[k]), translators(states)[k], rtol=1e-4, atol=1e-3)


def test_every_distinct_run_of_tokens_is_trained_on_once():
    adapter = tiny_adapter("gpt2")
    rows = [Encoded(ids) for ids in [(1, 2, 3), (1, 2, 4), (1, 2, 3), (5, 2, 3, 6), (1,)]]
    runs = {r.ids[: t + 1] for r in rows for t in range(len(r))}
    states = hidden_states(adapter, rows, (1, 3), LensOptions())
    assert states.shape == (2, len(runs), 32)
    whole = {run: adapter.forward([Encoded(run)], hidden=(1,)).hidden[1][0, -1] for run in runs}
    found = torch.stack(sorted(states[0], key=lambda h: h[0].item()))
    expected = torch.stack(sorted(whole.values(), key=lambda h: h[0].item()))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_positions_are_limited():
    adapter = tiny_adapter("gpt2")
    assert hidden_states(adapter, random_rows(50), (1,), LensOptions(positions=77)).shape == (1, 77, 32)


def test_training_is_seeded_and_leaves_the_model_alone():
    adapter = tiny_adapter("gpt2")
    rows = random_rows(20)
    before = [p.clone() for p in adapter.model.parameters()]
    options = resolve_lens(replace(QUICK, steps=5), adapter.info)
    steps = []
    first, second = (train_lens(adapter, rows, options, advance=told) for told in (steps.append, None))
    other = train_lens(adapter, rows, options, seed=1)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, other.weight)
    assert first.training == second.training != other.training
    assert sum(steps) == 5
    for old, new in zip(before, adapter.model.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None


def test_only_some_layers_are_trained_and_the_last_never():
    adapter = tiny_adapter("gpt2")
    lens = train_lens(adapter, random_rows(5), LensOptions(layers=(3, 2), steps=2, batch_positions=8))
    assert lens.layers == (2,)
    assert lens.weight.shape == (1, 32, 32)
    assert train_lens(adapter, random_rows(5), LensOptions(layers=(3,))).layers == ()


def test_deep_models_are_read_at_evenly_spaced_layers():
    def translated(n_layers):
        info = replace(tiny_adapter("gpt2").info, n_layers=n_layers)
        return resolve_lens(LensOptions(), info).translated_layers(info)

    assert translated(18) == tuple(range(1, 18))
    deep = translated(30)
    assert (len(deep), deep[0], deep[-1]) == (11, 1, 27)
    assert set(np.diff(deep)) <= {2, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "lens option steps is 0; expected at least 1"),
        ({"batch_positions": -1}, "lens option batch_positions is -1"),
        ({"learning_rate": 0.0}, "lens option learning_rate is 0.0; expected more than 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(BadInputError, match=message):
        LensOptions(**options)


def test_an_unknown_layer_and_no_text_are_refused():
    adapter = tiny_adapter("gpt2")
    with pytest.raises(BadInputError, match="lens layer 4: gpt2 has layers 1 to 3"):
        train_lens(adapter, random_rows(2), LensOptions(layers=(4,)))
    with pytest.raises(BadInputError, match="no text"):
        train_lens(adapter, [], LensOptions(layers=(1,)))


def test_a_model_that_passes_no_gradient_is_refused():
    adapter = tiny_adapter("gpt2")
    unembed = adapter.unembed
    adapter.unembed = lambda hidden, *, normed: unembed(hidden, normed=normed).detach()
    with pytest.raises(UnsupportedModelError, match="passes no gradient"):
        train_lens(adapter, random_rows(2), resolve_lens(QUICK, adapter.info))


def test_nan_gradients_are_a_fault():
    adapter = tiny_adapter("gpt2")
    with torch.no_grad():
        adapter.model.get_output_embeddings().weight[0] = torch.nan
    with pytest.raises(NonFiniteLogitsError, match="at step 0 of a lens' training"):
        train_lens(adapter, random_rows(2), resolve_lens(QUICK, adapter.info))
