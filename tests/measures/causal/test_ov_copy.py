"""The OV-copy score against the weights by hand, and of a head that is made to copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny_adapter

from groundbench.adapters.huggingface import HFCausal
from groundbench.measures.causal.head_identity import head_identity
from groundbench.measures.causal.ov_copy import TOKENS, ov_copy


def llama() -> HFCausal:
    adapter = tiny_adapter("llama")
    assert isinstance(adapter, HFCausal)
    return adapter


def sampled(adapter: HFCausal) -> list[int]:
    info = adapter.info
    n = min(TOKENS, info.vocab_size, info.max_length)
    found: list[int] = np.random.default_rng([0, 51]).choice(info.vocab_size, n, replace=False).tolist()
    return found


@torch.no_grad()
def by_hand(adapter: HFCausal) -> list[float]:
    """Llama's heads one by one: norm, value, output projection, final norm, unembedding."""
    model, ids = adapter.model, torch.tensor(sampled(adapter))
    found = []
    for layer in model.model.layers:
        attention = layer.self_attn
        x = layer.input_layernorm(model.model.embed_tokens(ids))
        values = attention.v_proj(x).reshape(len(ids), -1, attention.head_dim)
        heads = model.config.num_attention_heads
        for h in range(heads):
            own = values[:, h // attention.num_key_value_groups]
            written = own @ attention.o_proj.weight[:, h * attention.head_dim : (h + 1) * attention.head_dim].T
            logits = model.lm_head(model.model.norm(written))[:, ids]
            found.append(float((logits.argmax(-1) == torch.arange(len(ids))).double().mean()))
    return found


def test_it_is_what_the_weights_say() -> None:
    adapter = llama()
    found = ov_copy(adapter)
    assert found is not None
    assert found.tolist() == pytest.approx(by_hand(adapter))


def test_a_head_made_to_copy_copies_and_its_neighbours_do_not() -> None:
    adapter = llama()
    layer = adapter.model.model.layers[1].self_attn
    size = layer.head_dim
    with torch.no_grad():  # what the value reads of a token is written back where the unembedding looks for it
        layer.o_proj.weight[:, :size] = torch.linalg.pinv(layer.v_proj.weight[:size])
        adapter.model.lm_head.weight.copy_(adapter.model.model.embed_tokens.weight)
        found = ov_copy(adapter)
    assert found is not None
    copying = adapter.info.head_index.index((2, 0))
    assert found[copying] > 0.3
    assert found[copying] > 5 * np.median(found)


@pytest.mark.parametrize("family", ["gpt2", "gemma3_text", "qwen3", "mistral"])
def test_every_family_of_attention_has_one(family: str) -> None:
    for head in head_identity(tiny_adapter(family)):
        assert head.ov_copy is None or 0 <= head.ov_copy <= 1
    measured = [h.ov_copy for h in head_identity(tiny_adapter(family))]
    assert any(v is not None for v in measured), family


def test_a_state_space_mixer_has_none() -> None:
    assert all(h.ov_copy is None for h in head_identity(tiny_adapter("mamba2")))
