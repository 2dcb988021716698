"""A tiny Llama as a GGUF file with a byte-level tokenizer of its own, quantized in part."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

N_LAYERS, WIDTH, HIDDEN, N_HEADS, N_KV = 2, 64, 96, 4, 2
WORDS = ("the", "dog", "ball", "red", "saw", "a", "where", "is", "it")


def vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges of a byte-level BPE tokenizer that knows a few words."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    signs = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    tokens, merges = ["<|end|>", *signs], []
    for word in (w for base in WORDS for w in (base, "\u0120" + base)):
        whole = word[0]
        for letter in word[1:]:
            if whole + letter not in tokens:
                merges.append(f"{whole} {letter}")
                tokens.append(whole + letter)
            whole += letter
    return tokens, merges


def write_gguf(path: Path, seed: int = 0, *, quantized: bool = True) -> Path:
    """Write the file; its projections are in Q8_0 where `quantized`."""
    rng = np.random.default_rng(seed)
    tokens, merges = vocabulary()
    out = gguf.GGUFWriter(str(path), "llama")
    out.add_context_length(2048)
    out.add_embedding_length(WIDTH)
    out.add_block_count(N_LAYERS)
    out.add_feed_forward_length(HIDDEN)
    out.add_head_count(N_HEADS)
    out.add_head_count_kv(N_KV)
    out.add_rope_dimension_count(WIDTH // N_HEADS)
    out.add_rope_freq_base(10_000.0)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list(tokens)
    out.add_token_types([3] + [1] * (len(tokens) - 1))
    out.add_token_merges(merges)
    out.add_bos_token_id(0)
    out.add_eos_token_id(0)
    out.add_unk_token_id(0)

    def add(name: str, *shape: int, norm: bool = False) -> None:
        values = np.ones(shape, np.float32) if norm else (rng.normal(size=shape) / 8).astype(np.float32)
        if norm or not quantized or shape[-1] % 32:
            out.add_tensor(name, values)
            return
        kind = gguf.GGMLQuantizationType.Q8_0
        out.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", len(tokens), WIDTH)
    for layer in range(N_LAYERS):
        b = f"blk.{layer}."
        add(b + "attn_norm.weight", WIDTH, norm=True)
        add(b + "attn_q.weight", WIDTH, WIDTH)
        add(b + "attn_k.weight", WIDTH * N_KV // N_HEADS, WIDTH)
        add(b + "attn_v.weight", WIDTH * N_KV // N_HEADS, WIDTH)
        add(b + "attn_output.weight", WIDTH, WIDTH)
        add(b + "ffn_norm.weight", WIDTH, norm=True)
        add(b + "ffn_gate.weight", HIDDEN, WIDTH)
        add(b + "ffn_up.weight", HIDDEN, WIDTH)
        add(b + "ffn_down.weight", WIDTH, HIDDEN)
    add("output_norm.weight", WIDTH, norm=True)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path
