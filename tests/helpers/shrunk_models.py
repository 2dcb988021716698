"""Tiny models of every text family of the installed transformers: their own default configs, shrunk by name.

What a family calls its widths and counts differs, so one table of names serves all; a few need values of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from helpers.family_table import FAMILIES
from helpers.tiny_models import VOCABULARY, tiny

LAYERS, HEADS, GROUPS, WIDTH, HEAD_WIDTH, INNER, WINDOW = 4, 4, 2, 32, 8, 48, 8
SMALL: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), GROUPS),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embedding_size", "word_embed_proj_dim", "lru_width"), WIDTH),
    **dict.fromkeys(("head_dim", "global_head_dim", "kv_channels", "rotary_dim"), HEAD_WIDTH),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "dff", "decoder_ffn_dim"), INNER),
    **dict.fromkeys(("intermediate_size_mlp", "shared_intermediate_size", "prefix_dense_intermediate_size"), INNER),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "moe_num_shared_experts"), 1),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers"), 1),
    **dict.fromkeys(("sliding_window", "window_size", "attention_window_size", "local_attention"), WINDOW),
    **dict.fromkeys(("attention_chunk_size", "keep_window_size", "index_topk"), WINDOW),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "context_length"), 128),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "hidden_size_per_layer_input", "o_lora_rank"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "laurel_rank", "adapter_rank"), 8),
    **dict.fromkeys(("mamba_n_heads", "n_mamba_heads", "mamba_num_heads", "mamba_d_head", "mamba_headdim"), 8),
    **dict.fromkeys(("mamba_head_dim", "mamba_dt_rank", "time_step_rank"), 8),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size", "index_head_dim"), 16),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size"), 4),
    **dict.fromkeys(("mamba_n_groups", "n_groups", "mamba_ngroups", "index_n_heads", "mamba_expand"), 2),
    **dict.fromkeys(("linear_num_key_heads", "altup_num_inputs"), 2),
    **dict.fromkeys(("linear_num_value_heads",), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    "v_head_dim": 12,
    "num_kv_shared_layers": 0,
    "num_mem_blocks": 1,
    "attention_head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OWN: dict[str, dict[str, Any]] = {
    "deepseek_v2": {"num_key_value_heads": HEADS},
    "deepseek_v32": {"num_key_value_heads": HEADS},
    "minicpm3": {"num_key_value_heads": HEADS},
    "gemma3n_text": {"activation_sparsity_pattern": [0.0] * LAYERS},
    "xlstm": {
        "chunkwise_kernel": "chunkwise--native_autograd", "sequence_kernel": "native_sequence__native",
        "step_kernel": "native", "hidden_size": WIDTH, "embedding_dim": WIDTH,
    },
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "dbrx": {
        "attn_config": {"kv_n_heads": GROUPS, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {
            "ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": WIDTH,
            "ffn_act_fn": {"name": "silu"},
        },
    },
}  # fmt: skip
NEEDED = ("head_dim", "num_key_value_heads", "num_experts_per_tok")
"""Fields that some families leave unset and then ask for."""


def unlisted() -> list[str]:
    """The text families that transformers can open as causal language models and the matrix does not list."""
    listed = {f.model_type for f in FAMILIES}
    return sorted(name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name not in listed and is_text(name))


def is_text(model_type: str) -> bool:
    """Return True if a family's config is of one text model: no encoder beside it, no images, no sound."""
    kind = CONFIG_MAPPING[model_type]
    own = getattr(kind, "sub_configs", {}) or {}
    return not own and not getattr(kind(), "is_encoder_decoder", False)


def shrunk(model_type: str) -> dict[str, Any]:
    """The changes that make a family's default config tiny."""
    default: PreTrainedConfig = AutoConfig.for_model(model_type)
    known = set(default.to_dict()) | set(default.attribute_map)
    changes = {n: v for n, v in SMALL.items() if n in known and (n in NEEDED or _of(default, n) is not None)}
    changes |= {n: SMALL[n] for n in ("pad_token_id", "bos_token_id", "eos_token_id") if n in known}
    layers = _of(default, "num_hidden_layers") or 0
    for name in known - changes.keys():
        value = _of(default, name)
        if isinstance(value, list) and len(value) == layers > LAYERS:
            changes[name] = _few(value)
    return changes | OWN.get(model_type, {})


def tiny_of(model_type: str) -> tuple[dict[str, Any], PreTrainedModel]:
    """A tiny model of a family that runs, and the changes that made it. Raises what its own code raises if none does.

    Latent attention has as many key heads as heads, so that grouped ones are tried first and not alone.
    """
    base, first = shrunk(model_type), None
    for more in ({}, {"num_key_value_heads": HEADS}, {"num_experts_per_tok": 2, "num_key_value_heads": HEADS}):
        config = base | {name: value for name, value in more.items() if name in base or name in NEEDED}
        try:
            model = tiny(model_type, config=config)
            with torch.no_grad():
                model(input_ids=torch.arange(3, 12)[None])
        except Exception as error:  # sizes that do not fit each other, in as many ways as there are families
            first = first or error
            continue
        return config, model
    assert first is not None
    raise first


def _of(config: PreTrainedConfig, name: str) -> Any:
    """A config's own value; None where it has none, or one for each layer."""
    try:
        return getattr(config, name, None)
    except Exception:  # what differs by layer raises an error of its own
        return None


def _few(values: list[Any]) -> list[Any]:
    """As many entries as there are layers, every kind among them."""
    kinds = list(dict.fromkeys(map(repr, values)))
    first = [next(v for v in values if repr(v) == kind) for kind in kinds][:LAYERS]
    return (first * LAYERS)[:LAYERS]
