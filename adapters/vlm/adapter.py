"""Vision-language models of transformers as an `Adapter`: those of text, with images among the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from groundbench.adapters import multi_token as following
from groundbench.adapters.huggingface import HFCausal, embeddings, max_length
from groundbench.adapters.loading.fingerprint import processor_fingerprint
from groundbench.adapters.tokenization import BosPolicy, PromptEncoder
from groundbench.adapters.vlm import bidirectional as ahead
from groundbench.adapters.vlm import capability_checks as checking
from groundbench.adapters.vlm import mrope as rope
from groundbench.adapters.vlm.families import family_of
from groundbench.adapters.vlm.image_features import Features, ImageInputs, Patched
from groundbench.adapters.vlm.tokenization import ImagePromptEncoder
from groundbench.api.adapter import Capability, Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class VisionLanguage(HFCausal):
    """A vision-language model (see groundbench.api.adapter for the contract), for prompts with images and without.

    Each image is laid out by the model's own processor and its features are computed once, as a plain call computes
    them; they take the place of the image's tokens in that call. What reads or edits heads sees the language model's
    only. When it is opened the model reads a small image both ways; see `checking`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: Any,
        *,
        name: str,
        fingerprint: str | None = None,
        bos: BosPolicy = "auto",
        chat: bool = False,
        notes: tuple[str, ...] = (),
        training: dict[str, Any] | None = None,
        image_inputs: ImageInputs | None = None,
    ) -> None:
        self.processor = processor
        self.family = family_of(model.config)
        self.image_inputs = image_inputs or ImageInputs(processor, model.config, self.family, name)
        self.features = Features(model, self.image_inputs)
        self.placeholder = int(model.config.image_token_id)
        super().__init__(
            model,
            processor.tokenizer,
            name=name,
            fingerprint=fingerprint,
            bos=bos,
            chat=chat,
            notes=notes,
            training=training,
        )
        self.info = replace(
            self.info,
            family=model.config.model_type,
            tokenizer=processor_fingerprint(processor),
            notes=(*self.info.notes, *(() if self.encoder.fault is None else (self.encoder.fault,))),
        )

    encoder: ImagePromptEncoder

    def _make_encoder(self, name: str, bos: BosPolicy, chat: bool) -> PromptEncoder:
        return ImagePromptEncoder(
            self.processor,
            self.image_inputs,
            self.family,
            max_length(self.model),
            name,
            bos,
            chat,
            embeddings(self.model),
        )

    def _tried(self) -> dict[Capability, str]:
        found = super()._tried()
        self.encoder.fault = checking.no_images(self)
        if self.encoder.fault is None and "prefix" not in found:
            why = checking.no_image_prefix(self)
            found |= {} if why is None else {"prefix": why}
        return found

    def _of(self, model: PreTrainedModel, name: str) -> VisionLanguage:
        return VisionLanguage(
            model,
            self.processor,
            name=name,
            bos=self.encoder.bos,
            chat=self.encoder.chat,
            image_inputs=self.image_inputs,
        )

    def patch_images(self, row: Encoded, donor: Encoded, positions: Sequence[int]) -> Encoded:
        """Return the row with the donor's image features at these positions; see `ImagePatchable`."""
        places = [i for i, token in enumerate(row.ids) if token == self.placeholder]
        images, first, chosen = [], 0, set(positions)
        for key, other in zip(row.images, donor.images, strict=True):
            last = first + self.image_inputs.layout_of(key).tokens
            taken = tuple(i for i, place in enumerate(places[first:last]) if place in chosen)
            images.append(Patched(key, other, taken) if taken else key)
            first = last
        return replace(row, images=tuple(images))

    def _inputs(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        inputs = super()._inputs(rows)
        if rope.is_needed(self.model):
            positions, _ = rope.positions(self.model, rows, self.placeholder, self.image_inputs, self.device)
            inputs["position_ids"] = positions[:, :, rows[0].start :]
        features = [self._new_features(row) for row in rows if row.images]
        shown = [f for f in features if len(f)]
        if shown:
            packed = torch.cat(shown)
            output = BaseModelOutputWithPooling(pooler_output=[packed] if self.features.as_list else packed[None])
            inputs["mm_encoder_outputs"] = {"image": output}
        return inputs | ahead.types(self.family, rows, self.placeholder, self.device)

    def _new_features(self, row: Encoded) -> Tensor:
        """Return [n, d] what stands at the placeholders among the row's new tokens."""
        wanted = row.ids[row.start :].count(self.placeholder)
        if not wanted:
            return torch.empty(0, 0)
        before = row.ids[: row.start].count(self.placeholder)
        return torch.cat([self.features.of(key) for key in row.images])[before : before + wanted]

    def _runner(self, rows: Sequence[Encoded]) -> following.Run:
        if not rope.is_needed(self.model):
            return self._run
        _, shift = rope.positions(self.model, rows, self.placeholder, self.image_inputs, self.device)

        def run(ids: Tensor, cache: Any | None, position_ids: Tensor | None = None, **more: Any) -> Tensor:
            shifts = shift.repeat_interleave(len(ids) // len(shift), dim=0)
            if position_ids is None:
                start = cast(Any, cache).get_seq_length()
                position_ids = torch.arange(start, start + ids.shape[1], device=ids.device).expand(len(ids), -1)
            return self._run(ids, cache, position_ids=(position_ids + shifts).expand(3, -1, -1), **more)

        return run
