"""Vision-language models of transformers as an `Adapter`: those of text, with images among the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groundbench.adapters.huggingface import HFCausal
from groundbench.adapters.loading.fingerprint import processor_fingerprint
from groundbench.adapters.tokenization import BosPolicy
from groundbench.adapters.vlm.image_features import ImageInputs, Patched
from groundbench.adapters.vlm.model_inputs import ImageTextInputs
from groundbench.adapters.vlm.tokenization import ImagePromptEncoder
from groundbench.api.adapter import Encoded

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
        images: ImageInputs | None = None,
    ) -> None:
        inputs = ImageTextInputs(model, processor, name, images)
        super().__init__(
            model,
            processor.tokenizer,
            name=name,
            fingerprint=fingerprint,
            bos=bos,
            chat=chat,
            notes=notes,
            training=training,
            inputs=inputs,
        )
        self.inputs: ImageTextInputs = inputs
        self.processor, self.features, self.placeholder = processor, inputs.features, inputs.placeholder
        self.encoder.fault = inputs.fault
        self.info = replace(
            self.info,
            family=model.config.model_type,
            tokenizer=processor_fingerprint(processor),
            notes=(*self.info.notes, *(() if inputs.fault is None else (inputs.fault,))),
        )

    encoder: ImagePromptEncoder

    def _with_model(self, model: PreTrainedModel, name: str) -> VisionLanguage:
        return VisionLanguage(
            model,
            self.processor,
            name=name,
            bos=self.encoder.bos,
            chat=self.encoder.chat,
            images=self.inputs.images,
        )

    def patch_images(self, row: Encoded, donor: Encoded, positions: Sequence[int]) -> Encoded:
        """Return the row with the donor's image features at these positions; see `ImagePatchable`."""
        places = [i for i, token in enumerate(row.ids) if token == self.inputs.placeholder]
        images, first, chosen = [], 0, set(positions)
        for key, other in zip(row.images, donor.images, strict=True):
            last = first + self.inputs.images.layout_of(key).tokens
            taken = tuple(i for i, place in enumerate(places[first:last]) if place in chosen)
            images.append(Patched(key, other, taken) if taken else key)
            first = last
        return replace(row, images=tuple(images))
