"""What a plain call of a model on its processor's own inputs is given: the oracle of everything measured on images."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from picture_bed import Square
from tiny_vlms import tiny_adapter

from groundbench.adapters.vlm.model import VisionLanguage
from groundbench.testbed import ImageSegment, Prompt, TextSegment

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
    """log P(word | picture, text) in nats, token by token from one plain call, in doubles."""
    start = plain(family, adapter.processor, picture, text)["input_ids"].shape[1]
    inputs = plain(family, adapter.processor, picture, f"{text} {word}")
    with torch.no_grad():
        logp = adapter.model(**inputs, use_cache=False, return_dict=True).logits[0].double().log_softmax(-1)
    ids = inputs["input_ids"][0].tolist()
    return sum(float(logp[i - 1, ids[i]]) for i in range(start, len(ids)))
