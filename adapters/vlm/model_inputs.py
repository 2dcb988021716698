"""The inputs of a vision-language model's forward pass: token ids, and the features of the images among them.

Features take the processor's place in the model's own call, so nothing of a family's forward pass is written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from groundbench.adapters.model_inputs import Run, TextInputs, embeddings, max_length
from groundbench.adapters.tokenization import BosPolicy
from groundbench.adapters.vlm import bidirectional, capability_checks, mrope
from groundbench.adapters.vlm.families import family_of
from groundbench.adapters.vlm.image_features import Features, ImageInputs
from groundbench.adapters.vlm.tokenization import ImagePromptEncoder
from groundbench.api.adapter import Capability, Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from groundbench.adapters.huggingface import HFCausal


class ImageTextInputs(TextInputs):
    """The inputs of a vision-language model: token ids with images among them.

    Attributes:
        images: the layouts of images that were seen; shared with an untrained copy of the model.
        features: what tower and projector make of each image, computed once.
        fault: why the model's images cannot be read, once it was checked; None where they can.
    """

    def __init__(self, model: PreTrainedModel, processor: Any, name: str, images: ImageInputs | None = None) -> None:
        super().__init__(model, processor.tokenizer)
        self.processor = processor
        self.family = family_of(model.config)
        self.images = images or ImageInputs(processor, model.config, self.family, name)
        self.features = Features(model, self.images)
        self.placeholder = int(model.config.image_token_id)
        self.fault: str | None = None

    def encoder(self, name: str, bos: BosPolicy, chat: bool) -> ImagePromptEncoder:
        """Return the encoder of prompts with images and without."""
        return ImagePromptEncoder(
            self.processor,
            self.images,
            self.family,
            max_length(self.model),
            name,
            bos,
            chat,
            embeddings(self.model),
        )

    def check(self, adapter: HFCausal, lacks: dict[Capability, str]) -> dict[Capability, str]:
        """Read a small image both ways, and go on from it in a cache; keep in `fault` why images cannot be read."""
        self.fault = capability_checks.no_images(adapter, self)
        if self.fault is not None or "prefix" in lacks:
            return {}
        why = capability_checks.no_image_prefix(adapter)
        return {} if why is None else {"prefix": why}

    def of(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        """Return token ids, the features of the new tokens' images, and what the family asks for besides."""
        inputs = super().of(rows)
        if mrope.is_needed(self.model):
            positions, _ = mrope.positions(self.model, rows, self.placeholder, self.images, self.device)
            inputs["position_ids"] = positions[:, :, rows[0].start :]
        features = [self._new_features(row) for row in rows if row.images]
        shown = [f for f in features if len(f)]
        if shown:
            packed = torch.cat(shown)
            output = BaseModelOutputWithPooling(pooler_output=[packed] if self.features.as_list else packed[None])
            inputs["mm_encoder_outputs"] = {"image": output}
        return inputs | bidirectional.types(self.family, rows, self.placeholder, self.device)

    def _new_features(self, row: Encoded) -> Tensor:
        """Return [n, d] the features for the placeholders among the row's new tokens."""
        wanted = row.ids[row.start :].count(self.placeholder)
        if not wanted:
            return torch.empty(0, 0)
        before = row.ids[: row.start].count(self.placeholder)
        return torch.cat([self.features.of(key) for key in row.images])[before : before + wanted]

    def after(self, rows: Sequence[Encoded], run: Run) -> Run:
        """Return `run` for tokens that continue these rows, at the positions that follow their images."""
        if not mrope.is_needed(self.model):
            return run
        _, shift = mrope.positions(self.model, rows, self.placeholder, self.images, self.device)

        def run_with_positions(
            ids: Tensor, cache: Any | None, position_ids: Tensor | None = None, **more: Any
        ) -> Tensor:
            shifts = shift.repeat_interleave(len(ids) // len(shift), dim=0)
            if position_ids is None:
                start = cast(Any, cache).get_seq_length()
                position_ids = torch.arange(start, start + ids.shape[1], device=ids.device).expand(len(ids), -1)
            return run(ids, cache, position_ids=(position_ids + shifts).expand(3, -1, -1), **more)

        return run_with_positions
