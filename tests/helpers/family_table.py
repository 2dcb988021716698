"""The families of the matrix: one row each, named by transformers' model type, and what is missing in it.

A row says nothing of what works: that is what the checks find. `lacks` names what must be found missing.
"""

from __future__ import annotations

from typing import NamedTuple

FEW_STATES = "transformers goes on from a Mamba-1 state exactly by one token only, so every context is run whole"


class Family(NamedTuple):
    """A row: the models it stands for, what its tiny configuration has besides, and what it lacks."""

    model_type: str
    models: str
    has: str
    lacks: frozenset[str] = frozenset()
    note: str = ""


FAMILIES = (
    Family("gpt2", "GPT-2, DistilGPT-2, Cerebras-GPT", "learned positions, fused QKV"),
    Family("gpt_neox", "Pythia, GPT-NeoX", "parallel MLP, partial rotary"),
    Family("llama", "Llama 1-3, TinyLlama, SmolLM 1-2, Yi, Vicuna", "grouped keys and values"),
    Family("smollm3", "SmolLM3", "grouped keys and values, layers without positions"),
    Family("qwen2", "Qwen2, Qwen2.5", "grouped keys and values, biases"),
    Family("qwen3", "Qwen3", "grouped keys and values, normed queries and keys"),
    Family("gemma2", "Gemma 2", "sliding window, soft-capping"),
    Family("gemma3_text", "Gemma 3 (text)", "sliding window in two layers of three, two rotary bases"),
    Family("mistral", "Mistral, Zephyr", "sliding window"),
    Family("opt", "OPT", "learned positions"),
    Family("phi", "Phi-1, Phi-1.5, Phi-2", "parallel MLP, partial rotary"),
    Family("phi3", "Phi-3, Phi-4", "fused QKV"),
    Family("mixtral", "Mixtral", "mixture of experts"),
    Family("qwen2_moe", "Qwen1.5-MoE, Qwen2-MoE", "mixture of experts, a shared expert"),
    Family("qwen3_moe", "Qwen3-MoE", "mixture of experts"),
    Family("deepseek_v3", "DeepSeek-V3, Kimi-K2", "latent attention: values narrower than keys"),
    Family("gpt_oss", "GPT-OSS", "attention sinks, sliding window, mixture of experts"),
    Family("gpt_neo", "GPT-Neo, TinyStories", "local attention"),
    Family("gptj", "GPT-J", "partial rotary"),
    Family("codegen", "CodeGen", "partial rotary"),
    Family("bloom", "BLOOM", "ALiBi"),
    Family("mpt", "MPT", "ALiBi"),
    Family("falcon", "Falcon", "one key and value head"),
    Family("xglm", "XGLM", "sinusoidal positions"),
    Family("mamba2", "Mamba-2, Codestral Mamba", "grouped B and C"),
    Family(
        "bamba",
        "Bamba",
        "Mamba-2 and attention layers",
        frozenset({"cache"}),
        "its cache in transformers is not exact, so every context is run whole",
    ),
    Family("zamba2", "Zamba2", "Mamba-2 layers, one attention module shared by two of them"),
    Family("falcon_h1", "Falcon-H1", "Mamba-2 and attention side by side in each layer"),
    Family(
        "jamba",
        "Jamba",
        "Mamba-1 and attention layers, experts",
        frozenset({"cache"}),
        f"Mamba-1 has no heads; {FEW_STATES}",
    ),
    Family(
        "mamba",
        "Mamba, FalconMamba",
        "Mamba-1: a state for each channel",
        frozenset({"cache", "heads", "ablation", "sweep"}),
        f"it has no heads; {FEW_STATES}",
    ),
    Family(
        "rwkv",
        "RWKV-4",
        "linear recurrence",
        frozenset({"cache", "heads", "ablation", "sweep"}),
        "a state for each channel: there are no heads to read; its state is no cache of transformers",
    ),
    Family(
        "groundbench_lstm",
        "our LSTM presets",
        "one-directional LSTM",
        frozenset({"cache", "heads", "ablation", "lens", "sweep"}),
        "it has no heads; without a final norm no lens is read",
    ),
)


class VisionFamily(NamedTuple):
    """A row of vision-language models: the models it stands for, and how an image stands among their tokens."""

    model_type: str
    models: str
    has: str
    note: str = ""


VISION_FAMILIES = (
    VisionFamily("llava", "LLaVA-1.5, ours", "one grid of patches, cropped to a square"),
    VisionFamily("llava_next", "LLaVA-NeXT (1.6)", "the whole, then tiles joined, a token after each row"),
    VisionFamily(
        "llava_onevision",
        "LLaVA-OneVision",
        "the whole, then tiles joined, a token after each row",
        "one image a prompt: with several, tiles depend on how many there are",
    ),
    VisionFamily("qwen2_vl", "Qwen2-VL", "patches at the image's own shape, joined by fours; positions in three axes"),
    VisionFamily("qwen2_5_vl", "Qwen2.5-VL", "the same, windowed vision"),
    VisionFamily("idefics3", "Idefics3", "tiles and the whole, pooled patches"),
    VisionFamily("smolvlm", "SmolVLM", "tiles and the whole, pooled patches", "its processor needs num2words"),
    VisionFamily(
        "paligemma",
        "PaliGemma",
        "one grid of patches; image tokens see one another",
        "one image, before all text; the text is what the model continues (its processor's suffix)",
    ),
    VisionFamily(
        "gemma3",
        "Gemma 3",
        "one grid of pooled patches; image tokens see one another",
        "no boxes where its processor adds crops (pan and scan)",
    ),
)
