"""Tiny random vision-language models of every family, with processors built here: nothing comes from a hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.paligemma.processing_paligemma import PaliGemmaProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from groundbench.adapters.vlm.adapter import VisionLanguage

SIDE, PATCH = 32, 8
WORDS = [f"w{i}" for i in range(64)]
ROWS = [f"<row_{r}_col_{c}>" for r in range(1, 4) for c in range(1, 4)]
NAMED = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>", "video_token": "<video>"}
QWEN = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
IDEFICS = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *ROWS]
VOCABULARY = ["<pad>", "<unk>", "<bos>", "<eos>", *NAMED.values(), *QWEN, *IDEFICS, *WORDS]
SIZE = 2048
"""Entries of the embeddings: PaliGemma's processor adds places and segments to the tokenizer."""

TEXT = {
    "vocab_size": SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}
GEMMA = dict(**TEXT, head_dim=8)
PINPOINTS = [[32, 64], [64, 32], [64, 64]]
QWEN_VISION = {
    "depth": 2,
    "embed_dim": 16,
    "hidden_size": 32,
    "num_heads": 2,
    "mlp_ratio": 2,
    "patch_size": 8,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}


def tokenizer(bos: bool = True, **named: str) -> PreTrainedTokenizerFast:
    """Words between spaces; special tokens are found inside them. `bos`: begins every text with BOS by itself."""
    from tokenizers.processors import TemplateProcessing

    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(VOCABULARY)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if bos:
        backend.post_processor = TemplateProcessing(
            single="<bos> $A", pair="<bos> $A $B:1", special_tokens=[("<bos>", 2)]
        )
    else:
        backend.post_processor = TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens=named,
    )
    made.add_tokens([*NAMED.values(), *QWEN, *IDEFICS], special_tokens=True)
    return made


def _id(token: str) -> int:
    return VOCABULARY.index(token)


def _clip(**changes: Any) -> Any:
    square = {"height": SIDE, "width": SIDE}
    return CLIPImageProcessorPil(**{"size": {"shortest_edge": SIDE}, "crop_size": square, **changes})


def _siglip(kind: type = SiglipImageProcessorPil, **changes: Any) -> Any:
    return kind(size={"height": SIDE, "width": SIDE}, **changes)


def _llava() -> tuple[dict[str, Any], Any]:
    config = {
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": {"model_type": "clip_vision_model", **VISION},
        "image_token_index": _id("<image>"),
    }
    return config, LlavaProcessor(_clip(), tokenizer(), PATCH, "default", num_additional_image_tokens=1)


def _llava_next() -> tuple[dict[str, Any], Any]:
    config, _ = _llava()
    square = {"height": SIDE, "width": SIDE}
    pixels = LlavaNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square, image_grid_pinpoints=PINPOINTS)
    processor = LlavaNextProcessor(pixels, tokenizer(), PATCH, "default", num_additional_image_tokens=1)
    return {**config, "image_grid_pinpoints": PINPOINTS}, processor


def _onevision() -> tuple[dict[str, Any], Any]:
    config = {
        "text_config": {"model_type": "qwen2", **TEXT},
        "vision_config": {"model_type": "siglip_vision_model", **VISION, "vision_use_head": False},
        "image_token_index": _id("<image>"),
        "video_token_index": _id("<video>"),
        "image_grid_pinpoints": PINPOINTS,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
    }
    pixels = LlavaOnevisionImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=PINPOINTS)
    made = _without_video(LlavaOnevisionProcessor, pixels, tokenizer(bos=False))
    made.num_image_tokens, made.vision_feature_select_strategy = (SIDE // PATCH) ** 2, "full"
    made.image_token, made.video_token, made.vision_aspect_ratio = "<image>", "<video>", "anyres_max_9"
    made.image_token_id, made.video_token_id = _id("<image>"), _id("<video>")
    return config, made


def _without_video(kind: type, pixels: Any, text: PreTrainedTokenizerFast) -> Any:
    """A processor without its part for videos, which needs torchvision."""
    made = kind.__new__(kind)
    made.image_processor, made.tokenizer, made.video_processor, made.chat_template = pixels, text, None, None
    return made


def _qwen(model_type: str) -> Callable[[], tuple[dict[str, Any], Any]]:
    def made() -> tuple[dict[str, Any], Any]:
        vision: dict[str, Any] = dict(QWEN_VISION)
        if model_type == "qwen2_5_vl":
            vision = {**vision, "out_hidden_size": 32, "intermediate_size": 24, "hidden_size": 16, "window_size": 32}
            vision["fullatt_block_indexes"] = [1]
            del vision["embed_dim"], vision["mlp_ratio"]
        config = {
            "text_config": {**TEXT, "rope_parameters": ROPE},
            "vision_config": vision,
            "image_token_id": _id("<|image_pad|>"),
            "video_token_id": _id("<|video_pad|>"),
            "vision_start_token_id": _id("<|vision_start|>"),
            "vision_end_token_id": _id("<|vision_end|>"),
        }
        pixels = Qwen2VLImageProcessorPil(
            patch_size=8, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 1024, "longest_edge": 4096}
        )
        processor = _without_video(Qwen2VLProcessor, pixels, tokenizer(bos=False))
        processor.image_token, processor.video_token = "<|image_pad|>", "<|video_pad|>"
        processor.image_token_id, processor.video_token_id = _id("<|image_pad|>"), _id("<|video_pad|>")
        return config, processor

    return made


def _idefics(model_type: str) -> Callable[[], tuple[dict[str, Any], Any]]:
    def made() -> tuple[dict[str, Any], Any]:
        config = {
            "text_config": {"model_type": "llama", **TEXT},
            "vision_config": dict(VISION),
            "image_token_id": _id("<image>"),
            "scale_factor": 2,
        }
        pixels = Idefics3ImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE})
        # SmolVLM's own processor needs num2words and a part for videos; for images it writes what Idefics3's does.
        return config, Idefics3Processor(pixels, tokenizer(), image_seq_len=(SIDE // PATCH // 2) ** 2)

    return made


def _paligemma() -> tuple[dict[str, Any], Any]:
    config = {
        "text_config": {"model_type": "gemma", **GEMMA},
        "vision_config": {"model_type": "siglip_vision_model", **VISION, "vision_use_head": False},
        "image_token_index": _id("<image>"),
        "projection_dim": 32,
        "hidden_size": 32,
    }
    pixels = _siglip()
    pixels.image_seq_length = (SIDE // PATCH) ** 2
    return config, PaliGemmaProcessor(pixels, tokenizer(bos=False, image_token="<image>"))


def _gemma3() -> tuple[dict[str, Any], Any]:
    config = {
        "text_config": {**GEMMA, "sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"]},
        "vision_config": {"model_type": "siglip_vision_model", **VISION, "vision_use_head": False},
        "image_token_index": _id("<image>"),
        "mm_tokens_per_image": 4,
    }
    named = {k: NAMED[k] for k in ("image_token", "boi_token", "eoi_token")}
    return config, Gemma3Processor(_siglip(Gemma3ImageProcessorPil), tokenizer(**named), image_seq_length=4)


FAMILIES: dict[str, Callable[[], tuple[dict[str, Any], Any]]] = {
    "llava": _llava,
    "llava_next": _llava_next,
    "llava_onevision": _onevision,
    "qwen2_vl": _qwen("qwen2_vl"),
    "qwen2_5_vl": _qwen("qwen2_5_vl"),
    "idefics3": _idefics("idefics3"),
    "smolvlm": _idefics("smolvlm"),
    "paligemma": _paligemma,
    "gemma3": _gemma3,
}


def tiny_vlm(model_type: str, seed: int = 0) -> tuple[PreTrainedModel, Any]:
    """A random model of a family, its weights large enough for attention to be uneven, and its processor."""
    config, processor = FAMILIES[model_type]()
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(model_type, **config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(3.0)
            elif name.endswith("image_newline"):
                parameter.normal_()
        for parameter in model.parameters():
            if parameter.ndim == 2 and not parameter.any():
                parameter.normal_(std=0.3)  # Gemma 3's projection begins as zeros
    return model, processor


def tiny_adapter(model_type: str, seed: int = 0, **options: Any) -> VisionLanguage:
    model, processor = tiny_vlm(model_type, seed)
    return VisionLanguage(model, processor, name=model_type, **options)
