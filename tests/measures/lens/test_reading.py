"""Reading lenses: the last layer is the model, the identity is the logit lens, a blind model gains nothing anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.lens_testbed import SHOWN, contexts_of
from helpers.planted import PlantedTestbed, single_head
from helpers.tiny_models import tiny, tiny_adapter, word_tokenizer
from helpers.tolerances import assert_same, tolerance

from groundbench.adapters import model_structure
from groundbench.adapters.huggingface import open_causal
from groundbench.api.errors import NonFiniteLogitsError, UnsupportedModelError
from groundbench.engine.contexts import TargetSet
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import score
from groundbench.measures.gain.measure import item_gains
from groundbench.measures.lens.reading import read_lens, read_lenses
from groundbench.measures.lens.tuned_lens import TunedLens

FAMILY_NAMES = ("gpt2", "llama", "gemma2", "opt", "gpt_neox", "mamba2", "jamba")


def random_lens(adapter, layers, seed=0):
    draw = torch.Generator().manual_seed(seed)
    d = adapter.info.d_model
    weight = torch.randn(len(layers), d, d, generator=draw) / d
    return TunedLens(adapter.info.fingerprint, layers, weight, torch.randn(len(layers), d, generator=draw))


def inner_layers(adapter):
    return tuple(range(1, adapter.info.n_layers))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_last_layer_is_the_model(family):
    adapter = tiny_adapter(family)
    contexts = contexts_of(adapter)
    scored = score(adapter, contexts)
    for lens in (None, random_lens(adapter, inner_layers(adapter))):
        reading = read_lens(adapter, contexts, lens, inner_layers(adapter))
        assert reading.layers == tuple(range(1, adapter.info.n_layers + 1))
        last = reading.tables[-1]
        np.testing.assert_array_equal(last.frame, scored.frame)
        np.testing.assert_array_equal(last.env, scored.env)
        np.testing.assert_array_equal(last.target, scored.target)
        assert_same(last.surprisal, scored.surprisal)
        assert (reading.kl[-1] == 0).all()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_layer_is_what_its_block_gives_out(family):
    """Against hooks on the blocks themselves, unembedded by hand at the last position; the last layer included."""
    model = tiny(family)
    adapter = tiny_adapter(family)
    blocks = model_structure.layer_list(model)
    caught = {}
    for number, block in enumerate(blocks, start=1):
        block.register_forward_hook(
            lambda _m, _a, out, n=number: caught.__setitem__(n, out[0] if isinstance(out, tuple) else out)
        )
    contexts = contexts_of(adapter)
    reading = read_lens(adapter, contexts, None, inner_layers(adapter))
    cap = getattr(model.config, "final_logit_softcapping", None)
    for i in (0, 9, 17, 31):
        with torch.no_grad():
            model(input_ids=torch.tensor([contexts[i].row.ids]))
            for layer, table in zip(reading.layers, reading.tables, strict=True):
                logits = model.get_output_embeddings()(model_structure.final_norm(model)(caught[layer][0, -1]))
                logits = torch.tanh(logits / cap) * cap if cap else logits
                expected = -logits.log_softmax(-1)[[t[0] for t in contexts[i].targets.tokens]]
                rows = (table.frame == contexts.frame[i]) & (table.env == contexts.env[i])
                assert_same(table.surprisal[rows], expected, depth=64)


def test_the_identity_is_the_logit_lens():
    adapter = tiny_adapter("gpt2")
    layers = inner_layers(adapter)
    identity = TunedLens.identity(adapter.info, layers)
    tuned, logit = read_lenses(adapter, contexts_of(adapter), (identity, None), layers)
    for a, b in zip(tuned.tables, logit.tables, strict=True):
        np.testing.assert_array_equal(a.surprisal, b.surprisal)
    np.testing.assert_array_equal(tuned.kl, logit.kl)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_kl_is_positive_below_the_last_layer(family):
    adapter = tiny_adapter(family)
    reading = read_lens(adapter, contexts_of(adapter), None, inner_layers(adapter))
    assert (reading.kl[:-1] > 0).all()
    assert reading.kl.shape == (adapter.info.n_layers, 32)


@pytest.mark.parametrize("batch_tokens", [1, 23, 8192])
def test_a_model_that_cannot_see_env_gains_exactly_nothing_at_any_layer(batch_tokens):
    model = tiny("gpt2")
    with torch.no_grad():
        shown = model.transformer.wte.weight[SHOWN : SHOWN + 8]
        shown.copy_(shown[:1].clone())
    adapter = type(tiny_adapter("gpt2"))(model, word_tokenizer(), name="blind")
    layers = inner_layers(adapter)
    lenses = (random_lens(adapter, layers), None)
    for reading in read_lenses(adapter, contexts_of(adapter), lenses, layers, batch_tokens=batch_tokens):
        for table in reading.tables:
            assert (item_gains(table) == 0).all()


def test_a_model_that_sees_env_gains_from_the_layer_that_moves_it(tmp_path):
    """Head (2, 1) moves the noun to the prediction: layer 1 knows nothing of it, layers 2 and 3 all."""
    planted = single_head(tmp_path)
    adapter = open_causal(str(planted.folder))
    reading = read_lens(adapter, contexts_of(adapter, PlantedTestbed()), None, (1, 2))
    first, second, last = (item_gains(t).mean() for t in reading.tables)
    assert abs(first) < 1e-3
    assert second == pytest.approx(last, abs=1e-3)
    assert last > 3


def test_batches_and_shared_prefixes_change_nothing():
    adapter = tiny_adapter("llama")
    contexts = contexts_of(adapter)
    layers = inner_layers(adapter)
    lens = random_lens(adapter, layers)
    whole = read_lens(adapter, contexts, lens, layers)
    adapter.info = replace(adapter.info, capabilities=frozenset({"hidden"}))
    singly = read_lens(adapter, contexts, lens, layers, batch_tokens=1)
    for a, b in zip(whole.tables, singly.tables, strict=True):
        assert_same(a.surprisal, b.surprisal)
    np.testing.assert_allclose(whole.kl, singly.kl, rtol=0, atol=tolerance(whole.kl, whole.tables[0].surprisal))


def with_token(targets: TargetSet, token: int) -> TargetSet:
    return replace(targets, tokens=tuple((*t, token) for t in targets.tokens))


def test_the_first_token_of_longer_targets_is_read():
    adapter = tiny_adapter("gpt2")
    contexts = contexts_of(adapter)
    longer = replace(contexts, target_sets=tuple(with_token(t, 5) for t in contexts.target_sets))
    short, long = (read_lens(adapter, c, None, (1,)) for c in (contexts, longer))
    for a, b in zip(short.tables, long.tables, strict=True):
        np.testing.assert_array_equal(a.surprisal, b.surprisal)


def test_only_some_layers_are_read():
    adapter = tiny_adapter("gpt2")
    contexts = contexts_of(adapter)
    some, every = (read_lens(adapter, contexts, None, layers) for layers in ((2,), (1, 2)))
    assert some.layers == (2, 3)
    np.testing.assert_array_equal(some.tables[0].surprisal, every.tables[1].surprisal)


def test_a_run_directory_serves_the_same_lens_only(tmp_path):
    adapter = tiny_adapter("gpt2")
    contexts = contexts_of(adapter)
    layers = inner_layers(adapter)
    passes = []
    forward = adapter.forward
    adapter.forward = lambda *a, **k: passes.append(1) or forward(*a, **k)

    def read(seed):
        store = RunStore(tmp_path, {"model": "tiny"})
        before = len(passes)
        (reading,) = read_lenses(adapter, contexts, (random_lens(adapter, layers, seed),), layers, store=store)
        return reading, len(passes) - before

    first, ran = read(0)
    again, reran = read(0)
    other, ran_other = read(1)
    assert ran > 0
    assert reran == 0
    assert ran_other == ran
    np.testing.assert_array_equal(first.tables[0].surprisal, again.tables[0].surprisal)
    assert not np.array_equal(first.tables[0].surprisal, other.tables[0].surprisal)


def test_nan_names_prompt_and_layer():
    adapter = tiny_adapter("gpt2")
    lens = TunedLens.identity(adapter.info, (1, 2))
    lens.bias[1] = torch.nan
    with pytest.raises(NonFiniteLogitsError, match=r"frame 'f\d' with 'noun\d' shown as 'word'.* at layer 2;"):
        read_lens(adapter, contexts_of(adapter), lens, (1, 2))


def test_memory_that_runs_out_halves_the_batch():
    adapter = tiny_adapter("gpt2")
    contexts = contexts_of(adapter)
    expected = read_lens(adapter, contexts, None, (1, 2))
    forward = adapter.forward

    def short_of_memory(rows, **more):
        if len(rows) > 3:
            raise torch.OutOfMemoryError
        return forward(rows, **more)

    adapter.forward = short_of_memory
    halved = read_lens(adapter, contexts, None, (1, 2))
    assert_same(halved.tables[0].surprisal, expected.tables[0].surprisal)


def test_a_model_without_hidden_states_is_refused():
    adapter = tiny_adapter("gpt2")
    adapter.info = replace(adapter.info, capabilities=frozenset({"prefix"}))
    with pytest.raises(UnsupportedModelError, match="no lens, since GPT2LMHeadModel"):
        read_lens(adapter, contexts_of(adapter), None, (1,))
