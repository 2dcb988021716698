"""The last residual, unembedded, is the model's logits, whatever the family does after its head; or it is refused."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import GQA, LLAMA_LIKE, SPECIAL, random_items, tiny, word_tokenizer
from helpers.tolerances import assert_same

from groundbench.adapters.huggingface import HFCausal
from groundbench.adapters.model_structure import AfterHead, after_head
from groundbench.api.errors import UnsupportedModelError

SSD = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 16, "mamba_chunk_size": 4}
AFTER = {
    "falcon_h1": (dict(**GQA, **SSD, head_dim=8, mamba_d_ssm=64, lm_head_multiplier=0.3), AfterHead(0.3)),
    "granite": (dict(**GQA, **SPECIAL, logits_scaling=4.0), AfterHead(0.25)),
    "cohere": (dict(**GQA, **SPECIAL, logit_scale=0.125), AfterHead(0.125)),
    "hyperclovax": (dict(**GQA, **SPECIAL, logits_scaling=3.0), AfterHead(3.0)),
    "recurrent_gemma": (
        dict(**GQA, **SPECIAL, head_dim=8, lru_width=32, attention_window_size=12, logits_soft_cap=2.0),
        AfterHead(1.0, 2.0),
    ),
    "gemma2": (dict(**GQA, **SPECIAL, head_dim=8, final_logit_softcapping=2.5), AfterHead(1.0, 2.5)),
    "lfm2": (dict(**GQA, **SPECIAL, layer_types=["conv", "full_attention", "conv"]), AfterHead()),
}


@pytest.mark.parametrize("family", AFTER)
def test_what_a_family_does_after_its_head(family):
    config, wanted = AFTER[family]
    adapter = HFCausal(tiny(family, config=config), word_tokenizer(), name=family)
    assert "hidden" in adapter.info.capabilities, adapter.info.why_not("hidden")
    last = adapter.info.n_layers
    out = adapter.forward([i.row for i in random_items(3)], hidden=[last])
    with torch.no_grad():
        found = adapter.unembed(out.hidden[last][:, -1], normed=False)
        some = adapter.unembed_tokens(out.hidden[last][:, -1], [5, 0, 9])
    assert (found - out.logits).abs().max() < 1e-5 * out.logits.abs().max()
    assert_same(some, found[:, [5, 0, 9]])
    assert adapter._after_head is not None
    assert adapter._after_head.factor == pytest.approx(wanted.factor)
    assert adapter._after_head.cap == wanted.cap


def test_what_no_number_of_the_config_explains_is_refused():
    model = tiny("llama")
    raw = torch.randn(2, 64)
    assert after_head(model, raw, raw, 1e-4) == AfterHead()
    with pytest.raises(UnsupportedModelError, match="llama: its last residual, normed and unembedded, differs"):
        after_head(model, raw, raw * 1.7, 1e-4)
    config = dict(**LLAMA_LIKE, **SPECIAL, local_attention=12, global_attn_every_n_layers=2)
    adapter = HFCausal(tiny("modernbert-decoder", config=config), word_tokenizer(), name="modernbert")
    assert "its last residual" in adapter.info.why_not("hidden")


def test_a_residual_in_several_streams_is_refused_for_lens_and_restart():
    config = dict(
        **GQA, **SPECIAL, head_dim=8, sliding_window=12, hidden_size_per_layer_input=8, vocab_size_per_layer_input=64,
        num_kv_shared_layers=0, laurel_rank=8, altup_num_inputs=2, activation_sparsity_pattern=[0.0] * 3,
    )  # fmt: skip
    adapter = HFCausal(tiny("gemma3n_text", config=config), word_tokenizer(), name="gemma3n")
    for capability in ("hidden", "start_at_layer"):
        assert "the residual after layer" in adapter.info.why_not(capability)
