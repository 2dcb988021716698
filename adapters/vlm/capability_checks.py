"""Check a vision-language model with a small image on opening, against a plain call of the model itself.

Each check gives None, or why images cannot be read, or not go on from a cache. As for text, nothing is taken from a
family's name.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from PIL import Image
from torch import Tensor

from groundbench.adapters.capability_checks import relative, run_trial
from groundbench.adapters.hooks.head_hooks import probe_ids
from groundbench.adapters.vlm.image_features import OF_THE_TEXT
from groundbench.adapters.vlm.tokenization import ImagePromptEncoder
from groundbench.api.adapter import Encoded
from groundbench.api.testbed import ImageSegment, Prompt

if TYPE_CHECKING:
    from groundbench.adapters.huggingface import HFCausal
    from groundbench.adapters.vlm.model_inputs import ImageTextInputs

SIDES = (61, 47)


@dataclass(frozen=True)
class Speckled:
    """An image of seeded noise."""

    key: str = "groundbench: a small image of noise"

    def load(self) -> Image.Image:
        """Return the image in RGB."""
        width, height = SIDES
        return Image.frombytes("RGB", SIDES, random.Random(0).randbytes(3 * width * height))


def no_images(adapter: HFCausal, inputs: ImageTextInputs) -> str | None:
    """Return None if the model reads an image as a plain call on its processor's inputs does; else the reason."""
    gaps: list[float] = []

    def differs() -> str | None:
        row, plain = _row(adapter), plain_inputs(adapter, inputs)
        if list(row.ids) != plain["input_ids"][0].tolist():
            return "prompts with images are encoded otherwise than its processor does it, so they are refused"
        ours = adapter.forward([row]).logits
        with torch.no_grad():
            wanted = adapter.model(**plain, use_cache=False, return_dict=True).logits[:, -1].float()
        gaps.append(relative(ours, wanted))
        return None

    family = adapter.model.config.model_type
    failed = run_trial(differs)
    if failed is not None:
        return f"{family}: {'' if failed.startswith('prompts with') else 'images cannot be read: '}{failed}"
    if not gaps[0] <= adapter.tolerance:
        return f"{family}: with an image its logits differ by {gaps[0]:.0e} of the largest from those of a plain call"
    return None


def no_image_prefix(adapter: HFCausal) -> str | None:
    """Return the reason for which the model cannot go on from a cached image as if it had read all at once."""
    return run_trial(lambda: _no_image_prefix(adapter))


def _no_image_prefix(adapter: HFCausal) -> str | None:
    row = _row(adapter)
    cut = row.image_spans[0][1]
    gone_on = adapter.forward([row.after(cut)], prefix=adapter.prefill([row.upto(cut)])).logits
    gap = relative(gone_on, adapter.forward([row]).logits)
    return (
        None
        if gap <= adapter.tolerance
        else f"going on from a cached image changes the logits by {gap:.0e} of the largest"
    )


def plain_inputs(adapter: HFCausal, inputs: ImageTextInputs) -> dict[str, Tensor]:
    """Return the processor's own inputs for the image, with ordinary tokens after it (and BOS before)."""
    encoder = cast(ImagePromptEncoder, adapter.encoder)
    made = inputs.processor(
        images=[Speckled().load()], text=[encoder.image_text()], return_tensors="pt", add_special_tokens=False
    )
    of_text = {k: v for k, v in made.items() if k in OF_THE_TEXT and k != "labels"}
    n = len(of_text["input_ids"][0])
    begin = list(encoder.prefix)
    end = probe_ids(adapter.model)[0].tolist()
    added = {"input_ids": (begin, end), "attention_mask": ([1] * len(begin), [1] * len(end))}
    for name, values in of_text.items():
        kind = int(inputs.family.bidirectional == "prefix")
        before, after = added.get(name, ([0] * len(begin), [kind] * len(end)))
        of_text[name] = torch.cat([values.new_tensor([before]), values[:, :n], values.new_tensor([after])], dim=1)
    pixels = {k: v for k, v in made.items() if isinstance(v, Tensor) and k not in OF_THE_TEXT}
    return {k: v.to(adapter.device) for k, v in (of_text | pixels).items()}


def _row(adapter: HFCausal) -> Encoded:
    (row,) = adapter.encode([Prompt("an image", "", "image", (ImageSegment(Speckled()),))])
    return replace(row, ids=row.ids + tuple(probe_ids(adapter.model)[0].tolist()))
