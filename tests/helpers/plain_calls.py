"""Plain calls of a model on its processor's own inputs: the oracle of everything measured on images."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from groundbench.adapters.vlm.adapter import VisionLanguage
from groundbench.api.adapter import Encoded
from groundbench.api.testbed import ImageSegment, Prompt, TextSegment
from groundbench.measures.heads.saliency_flow import target_loss
from helpers.image_bed import Square
from helpers.tiny_vlms import tiny_adapter, tiny_vlm

PLACEHOLDER = {"gemma3": "<boi>", "qwen2_vl": "<|vision_start|><|image_pad|><|vision_end|>"}
PLACEHOLDER["qwen2_5_vl"] = PLACEHOLDER["qwen2_vl"]


@cache
def adapter_of(family: str) -> VisionLanguage:
    return tiny_adapter(family)


def prompt(picture: Square, text: str = " w1 w2 w3", boxed: bool = True) -> Prompt:
    image = ImageSegment(picture, picture.box if boxed else None)
    return Prompt("f", "noun", "image", (image, TextSegment(text)))


def plain(family: str, processor: Any, picture: Square, text: str = " w1 w2 w3") -> dict[str, torch.Tensor]:
    """The processor's own inputs, BOS and all."""
    image = picture.load()
    if family == "paligemma":  # the text is the suffix, which the processor ends with EOS
        made = processor(images=[image], text="<image>", suffix=text, return_tensors="pt")
        cut = {k: v[:, :-1] for k, v in made.items() if v.ndim == 2}
        return {**{k: v for k, v in made.items() if k not in cut}, **{k: v for k, v in cut.items() if k != "labels"}}
    made = processor(images=[image], text=[PLACEHOLDER.get(family, "<image>") + text], return_tensors="pt")
    return dict(made)


def log_probability(family: str, adapter: VisionLanguage, picture: Square, text: str, word: str) -> float:
    """log P(word | image, text) in nats, token by token from one plain call, in doubles."""
    start = plain(family, adapter.processor, picture, text)["input_ids"].shape[1]
    inputs = plain(family, adapter.processor, picture, f"{text} {word}")
    with torch.no_grad():
        logp = adapter.model(**inputs, use_cache=False, return_dict=True).logits[0].double().log_softmax(-1)
    ids = inputs["input_ids"][0].tolist()
    return sum(float(logp[i - 1, ids[i]]) for i in range(start, len(ids)))


def eager_flow(family: str, picture: Square, target: int) -> list[torch.Tensor]:
    """[H, T, T] of each layer of the language model: attention times its gradient, by plain eager attention."""
    model, processor = tiny_vlm(family)
    model.set_attn_implementation("eager")
    out = model(**plain(family, processor, picture), output_attentions=True, use_cache=False, return_dict=True)
    for attention in out.attentions:
        attention.retain_grad()
    target_loss(out.logits[:, -1], [target]).sum().backward()
    return [(a.detach() * a.grad)[0] for a in out.attentions]


def without_mixing(family: str) -> VisionLanguage:
    """A model whose vision tower mixes no patches: a change of a few pixels changes their own patches only."""
    model, processor = tiny_vlm(family)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if re.search(r"vision|visual", name) and re.search(r"out_proj|attn\.proj", name):
                parameter.zero_()
    return VisionLanguage(model, processor, name=family)


def planted(adapter: VisionLanguage, bright: Square) -> tuple[Encoded, torch.Tensor]:
    """A prompt with a bright square, and [image tokens] how much each feature differs from those without it."""
    row, _ = adapter.encode([prompt(bright), prompt(dark := replace(bright, colour=(bright.ground,) * 3))])
    return row, (adapter.features.of(bright.key) - adapter.features.of(dark.key)).norm(dim=-1)
