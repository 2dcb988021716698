"""Tiny random models of many families, and an adapter around one without a tokenizer."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded
from groundbench.measures.heads.saliency import SaliencyItem

VOCABULARY = 64
LLAMA_LIKE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
GQA = dict(**LLAMA_LIKE, num_key_value_heads=2)
GPT2_LIKE = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WINDOW = "sliding_attention"
SSD_HEADS = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 16, "mamba_chunk_size": 4}

FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": GPT2_LIKE,
    "llama": GQA,
    "gpt_neox": LLAMA_LIKE,
    "opt": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "ffn_dim": 48,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 64,
    },
    "gemma2": dict(**GQA, head_dim=8, sliding_window=4),
    "mistral": dict(**GQA, sliding_window=4),
    "gpt_oss": dict(
        **GQA, head_dim=8, sliding_window=4, num_local_experts=2, num_experts_per_tok=1, pad_token_id=0, eos_token_id=0
    ),
    "deepseek_v3": dict(
        **LLAMA_LIKE,
        num_key_value_heads=4,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=12,
        n_routed_experts=2,
        num_experts_per_tok=1,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=3,
    ),
    "mamba2": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_heads": 8,
        "head_dim": 8,
        "state_size": 16,
        "n_groups": 2,
        "chunk_size": 4,
    },
    "bamba": dict(**GQA, **SSD_HEADS, attn_layer_indices=[1], mamba_expand=2),
    "zamba2": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 48,
        "mamba_d_state": 16,
        "mamba_expand": 2,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "num_mem_blocks": 1,
        "chunk_size": 4,
        "attention_head_dim": 16,
    },
    "falcon_h1": dict(**GQA, **SSD_HEADS, head_dim=8, mamba_d_ssm=64),
    "jamba": dict(**GQA, attn_layer_period=2, attn_layer_offset=1, num_experts=2, mamba_dt_rank=4),
    "qwen2": GQA,
    "qwen3": dict(**GQA, head_dim=8),
    "qwen2_moe": dict(**GQA, **EXPERTS, shared_expert_intermediate_size=16),
    "qwen3_moe": dict(**GQA, **EXPERTS, head_dim=8),
    "mixtral": dict(**GQA, num_local_experts=4, num_experts_per_tok=2),
    "gemma3_text": dict(**GQA, head_dim=8, sliding_window=4, layer_types=[WINDOW, "full_attention", WINDOW]),
    "smollm3": dict(**GQA, **SPECIAL, no_rope_layer_interval=2),
    "phi": LLAMA_LIKE,
    "phi3": dict(**GQA, pad_token_id=0),
    # Families that never call transformers' attention interface.
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 3, "n_head": 4},
    "gpt_neo": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "gptj": dict(**GPT2_LIKE, rotary_dim=4),
    "falcon": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4},
    "mpt": {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 3, "n_heads": 4},
    "codegen": dict(**GPT2_LIKE, rotary_dim=4),
    "xglm": {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "num_layers": 3,
        "attention_heads": 4,
        "ffn_dim": 48,
        "max_position_embeddings": 64,
    },
    # No heads, or none that can be read.
    "mamba": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2},
    "rwkv": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32},
    "groundbench_lstm": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2},
}
INTERFACE = ("gpt2", "llama", "gpt_neox", "opt", "gemma2", "mistral", "gpt_oss", "deepseek_v3")
BY_ITSELF = ("bloom", "gpt_neo", "gptj", "falcon", "mpt", "codegen")
SSD = ("mamba2", "bamba", "zamba2", "falcon_h1")


def tiny(family: str, seed: int = 0, config: dict[str, Any] | None = None, **changes: Any) -> PreTrainedModel:
    """A random model of a family, its weights large enough for attention to be uneven; `config` in place of ours."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **{**(config or FAMILIES[family]), **changes})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(1.5 if family in SSD else 3.0)
    return model


def word_tokenizer(words: list[str] | None = None) -> PreTrainedTokenizerFast:
    """A word-level tokenizer; without words, `w0` to `w63`."""
    vocabulary = words or [f"w{i}" for i in range(VOCABULARY)]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token=vocabulary[0]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=vocabulary[0])


def tiny_adapter(family: str, **changes: Any) -> HFCausal:
    return HFCausal(tiny(family, **changes), word_tokenizer(), name=family)


def random_items(n: int, length: int = 11, seed: int = 0, tokens: int = 1) -> list[SaliencyItem]:
    """Prompts of one length with an ENV span of two tokens somewhere before the end."""
    draw = torch.Generator().manual_seed(seed)
    items = []
    for i in range(n):
        ids = torch.randint(2, VOCABULARY, (length,), generator=draw).tolist()
        target = torch.randint(2, VOCABULARY, (tokens,), generator=draw).tolist()
        start = 1 + i % (length - 5)
        row = Encoded(tuple(ids), env=((start, start + 2),))
        items.append(SaliencyItem(row, tuple(target), f"noun{i % 3}", f"frame{i // 3}"))
    return items
