"""Hooks: the mixers that they attach to, the models that they refuse, and that they leave nothing behind."""

from __future__ import annotations

import pytest
import torch
from helpers.shrunk_models import tiny_of
from helpers.tiny_models import BY_ITSELF, INTERFACE, SSD, random_items, tiny, tiny_adapter
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModelForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)
from transformers.masking_utils import bidirectional_mask_function, sdpa_mask

from groundbench.adapters.hooks import attach
from groundbench.adapters.hooks import attention as attention_hooks
from groundbench.adapters.hooks.head_hooks import probe_ids
from groundbench.api.adapter import HeadEdit, Trace
from groundbench.api.errors import UnsupportedModelError

ATTENTION = INTERFACE + BY_ITSELF


@pytest.mark.parametrize("family", [*INTERFACE, "inkling_text"])
def test_weights_of_one_row_are_that_row_of_all(family):
    """Also where a family adds a bias of its own to the scores, which has a row for each query."""
    model = tiny(family) if family in INTERFACE else tiny_of(family)[1]
    hooks = attach(model)
    ids = torch.tensor([i.row.ids for i in random_items(2)])
    with hooks.active(trace=True) as session:
        model(input_ids=ids, return_dict=True, use_cache=False)
    for trace in session.traces:
        every = trace.weights(slice(0, ids.shape[1]))
        for row in (0, 4, ids.shape[1] - 1):
            torch.testing.assert_close(trace.weights(slice(row, row + 1)), every[:, :, row : row + 1])


@pytest.mark.parametrize("family", ATTENTION + SSD)
def test_every_mixer_is_found_and_traced(family):
    model = tiny(family)
    hooks = attach(model)
    layers = [m.layer for m in hooks.mixers]
    assert layers == sorted(layers)
    assert set(layers) <= set(range(1, model.config.num_hidden_layers + 1))
    if family in ATTENTION:
        assert layers == list(range(1, model.config.num_hidden_layers + 1))
        assert {(m.kind, m.n_heads) for m in hooks.mixers} == {("attention", 4)}
    ids = torch.tensor([i.row.ids for i in random_items(2)])
    with hooks.active(trace=True) as session:
        model(input_ids=ids, return_dict=True)
    assert tuple(t.mixer for t in session.traces) == hooks.mixers
    for trace in session.traces:
        assert isinstance(trace, Trace)
        shape = (2, trace.mixer.n_heads, ids.shape[1], trace.mixer.d_head)
        assert trace.output.shape == trace.values.shape == trace.site.shape == shape
        weights = trace.weights(slice(3, 7))
        assert weights.shape == (2, trace.mixer.n_heads, 4, ids.shape[1])
        torch.testing.assert_close(weights[..., :7], trace.weights(slice(3, 7), 7), rtol=1e-5, atol=1e-7)
        assert not weights[..., 7:].any()


def test_hybrids_say_which_layers_have_which_heads():
    found = {f: [(m.layer, m.kind) for m in attach(tiny(f)).mixers] for f in ("bamba", "falcon_h1", "zamba2", "jamba")}
    a, s = "attention", "ssd"
    assert found["bamba"] == [(1, s), (2, a), (3, s)]
    assert found["falcon_h1"] == [(1, s), (1, a), (2, s), (2, a), (3, s), (3, a)]
    assert found["zamba2"] == [(1, s), (2, a), (2, s), (3, s), (4, a), (4, s)]  # one attention module in two layers
    assert found["jamba"] == [(2, a)]  # Mamba-1 has no heads


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "mamba2", "falcon"])
def test_nothing_is_left_behind(family):
    model = tiny(family)
    ids = torch.tensor([i.row.ids for i in random_items(2)])

    def state():
        hooks = sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())
        return hooks, model.config._attn_implementation, [p.requires_grad for p in model.parameters()]

    before, logits = state(), model(input_ids=ids).logits
    hooks = attach(model)
    edit = HeadEdit(torch.zeros(1, sum(m.n_heads for m in hooks.mixers)))
    with hooks.active(edit, trace=True):
        assert (model(input_ids=ids).logits - logits).abs().max() > 0
    with pytest.raises(ZeroDivisionError), hooks.active(edit, trace=True):
        raise ZeroDivisionError
    assert state() == before
    assert torch.equal(model(input_ids=ids).logits, logits)


def test_sessions_do_not_nest():
    hooks = attach(tiny("gpt2"))
    with hooks.active(trace=True), pytest.raises(RuntimeError, match="already active"), hooks.active(trace=True):
        pass


def test_the_graph_starts_at_the_first_mixer():
    adapter = tiny_adapter("llama")
    out = adapter.forward([i.row for i in random_items(2)], trace=True)
    assert out.traces[0].output.grad_fn.next_functions[0][0].next_functions == ()  # a transposed leaf
    assert all(t.output.requires_grad for t in out.traces)
    assert all(p.requires_grad for p in adapter.model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["gpt2", "gemma2", "gpt_oss", "mamba2", "bloom"])
def test_half_precision_models_are_read_with_weights_in_full_precision(family, dtype):
    model = tiny(family).to(dtype)
    hooks = attach(model)
    with hooks.active(trace=True) as session:
        model(input_ids=torch.tensor([[5, 6, 7, 8]]))
    for trace in session.traces:
        assert trace.weights(slice(None)).dtype == torch.float32


def test_a_model_without_heads_has_no_mixers():
    assert attach(tiny("mamba")).mixers == ()
    lstm = AutoModelForCausalLM.from_config(AutoConfig.for_model("groundbench_lstm", vocab_size=64))
    assert attach(lstm.eval()).mixers == ()


def test_a_family_that_cannot_be_read_is_refused_by_name():
    with pytest.raises(UnsupportedModelError, match=r"rwkv: RwkvSelfAttention: no output projection is known"):
        attach(tiny("rwkv"))


def test_the_self_check_sees_a_missing_causal_mask(monkeypatch):
    def everywhere(*args, mask_function=None, allow_is_causal_skip=None, **kwargs):
        return sdpa_mask(*args, mask_function=bidirectional_mask_function, allow_is_causal_skip=False, **kwargs)

    monkeypatch.setattr(attention_hooks, "register", lambda: None)
    attach(tiny("gpt2"))
    AttentionMaskInterface.register(attention_hooks.NAME, everywhere)
    try:
        with pytest.raises(UnsupportedModelError, match="gpt2: hooked logits differ"):
            attach(tiny("gpt2"))
    finally:
        AttentionMaskInterface.register(attention_hooks.NAME, sdpa_mask)


def test_the_self_check_sees_weights_that_are_not_the_models(monkeypatch):
    original = attention_hooks.eager_function

    def lukewarm(module):
        def eager(module, query, *args, **kwargs):
            return original(module)(module, query * 0.9, *args, **kwargs)

        return eager

    monkeypatch.setattr(attention_hooks, "eager_function", lukewarm)
    with pytest.raises(UnsupportedModelError, match=r"llama, layer 1 \(attention\): weights x values differ"):
        attach(tiny("llama"))


def test_the_self_check_sees_a_mixer_that_does_not_call_the_tap(monkeypatch):
    model = tiny("llama")
    second = model.model.layers[1].self_attn
    monkeypatch.setattr(second, "forward", lambda hidden_states, **_: (torch.zeros_like(hidden_states), None))
    with pytest.raises(UnsupportedModelError, match="the heads of LlamaAttention cannot be read"):
        attach(model)


def test_sinks_leave_rows_below_one_and_no_fault():
    adapter = tiny_adapter("gpt_oss")
    with torch.no_grad():
        for layer in adapter.model.model.layers:
            layer.self_attn.sinks.fill_(1.0)
    (trace, *_) = adapter.forward([i.row for i in random_items(1)], trace=True).traces
    assert trace.sinks
    assert trace.weights(slice(None)).sum(-1).max() < 1
    attach(adapter.model)


def test_a_vision_tower_is_not_rerouted(monkeypatch):
    text = tiny("llama").config
    vision = {"model_type": "clip_vision_model", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision |= {"intermediate_size": 48, "image_size": 28, "patch_size": 14, "projection_dim": 32}
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=63, vision_feature_select_strategy="default"
    )
    model = LlavaForConditionalGeneration(config).eval()
    calls = []
    original = attention_hooks.hooked_attention

    def counted(module, *args, **kwargs):
        calls.append(type(module).__name__)
        return original(module, *args, **kwargs)

    hooks = attach(model)
    assert [m.layer for m in hooks.mixers] == [1, 2, 3]
    AttentionInterface.register(attention_hooks.NAME, counted)
    try:
        ids = torch.tensor([[5, 63, 63, 63, 63, 7, 8]])
        with hooks.active(trace=True) as session:
            model(input_ids=ids, pixel_values=torch.randn(1, 3, 28, 28))
    finally:
        attention_hooks.register()
    assert calls == ["LlamaAttention"] * 3
    assert len(session.traces) == 3
    assert model.config.vision_config._attn_implementation == "sdpa"
    assert model.config.text_config._attn_implementation == "sdpa"


def test_probe_ids_are_ordinary_tokens():
    model = tiny("llama", vocab_size=5, bos_token_id=1, eos_token_id=2, pad_token_id=None)
    assert set(probe_ids(model)[0].tolist()) == {0, 3, 4}
    attach(model)
