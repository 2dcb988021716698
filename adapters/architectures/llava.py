"""A LLaVA-architecture model to train: an image encoder, a projection and a language model (protocol §2.3).

Encoder and language model are each either taken from somewhere, then frozen, or new, then trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    BitImageProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from groundbench.adapters.architectures.build import SPECIAL, sentence
from groundbench.adapters.loading import load as loading
from groundbench.adapters.loading.fingerprint import files_fingerprint, weight_files
from groundbench.adapters.loading.peft_adapters import MERGE
from groundbench.adapters.loading.source import locate
from groundbench.adapters.loading.users_files import opening
from groundbench.api.errors import BadInputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

ARCHITECTURE = "llava"
IMAGE, PAD, UNK = "<image>", "<pad>", "<unk>"


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Make a tokenizer of words and single punctuation marks: `<pad>`=0, `<unk>`=1, `<image>`=2, no BOS."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Punctuation, Sequence, WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    vocabulary = dict.fromkeys([PAD, UNK, IMAGE, *words])
    model = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNK))
    model.pre_tokenizer = Sequence([WhitespaceSplit(), Punctuation("isolated")])
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token=PAD,
        unk_token=UNK,
        additional_special_tokens=[IMAGE],
        clean_up_tokenization_spaces=False,
    )


def build_llava(
    options: Mapping[str, Any], *, pixels: int, vision: str | None, language: str | None, words: Sequence[str]
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Return the model, fresh weights drawn from torch's current random state, and the processor to save beside it.

    Args:
        options: values of the LLaVA config; `text_config` and `vision_config` name a `model_type` each.
        pixels: the side to which images are scaled, whatever their shape; boxes stay true as fractions.
        vision: hub id or folder of an encoder, frozen; None: a new one of `vision_config`, to be trained.
        language: hub id, folder or .gguf file of a language model, frozen; its tokenizer gets `<image>` added, a
            token that is never scored. None: a new one of `text_config`, reading `words`.

    Raises:
        BadInputError: a source that cannot be read, or options that are refused.
    """
    encoder = None if vision is None else _encoder(vision)
    config: Any = _vision_config(options) if encoder is None else encoder.config
    if pixels % config.patch_size:
        raise BadInputError(f"images of {pixels} pixels: expected a multiple of the patch size {config.patch_size}")
    if language is None:
        tokenizer, model = word_tokenizer(words), None
        text_config = _text_config(options, len(tokenizer))
    else:
        tokenizer, model = _language(language)
        text_config = model.config
    llava = _assemble(options, config, text_config, tokenizer)
    if encoder is not None:
        _take(llava.model.vision_tower, encoder)
    if model is not None:
        _take(llava.model.language_model, model.base_model)
        _take(llava.lm_head, model.get_output_embeddings())
    return llava, _processor(vision, pixels, config.patch_size, tokenizer)


def source_fingerprint(source: str) -> str:
    """Return 16 hex digits for the weights of a hub id, folder or .gguf file. Raises BadInputError."""
    found = locate(source)
    return f"hub:{found.snapshot.commit[:16]}" if found.snapshot else files_fingerprint(weight_files(found))


def _take(part: nn.Module, source: nn.Module) -> None:
    """Copy weights and freeze them."""
    part.load_state_dict(source.state_dict())
    part.requires_grad_(False)


def _encoder(vision: str) -> PreTrainedModel:
    source = locate(vision)
    with opening(source, "the weights"):
        loading.fetch_weights(source)
        encoder = loading.load_whole(AutoModel, source, dtype=torch.float32).model.eval()
    if not hasattr(encoder.config, "patch_size") or encoder.main_input_name != "pixel_values":
        raise BadInputError(f"{vision}: a {encoder.config.model_type} model is no encoder of image patches")
    return encoder


def _language(language: str) -> tuple[PreTrainedTokenizerFast, Any]:
    """Return a tokenizer with `<image>` and the language model with a row of zeros for it."""
    source = locate(language)
    options = loading.LoadOptions(dtype="float32", device="cpu")
    tokenizer = loading.load_tokenizer(source, False)
    if source.adapter is not None:
        raise BadInputError(f"{language}: a language model to see through must be whole; {MERGE}")
    model = loading.load_causal(source, loading.load_config(source, False), options).model
    if not hasattr(model.base_model, "embed_tokens"):
        raise BadInputError(
            f"{language}: a {model.config.model_type} model has no embed_tokens, which a LLaVA architecture needs"
        )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    size = max(len(tokenizer), model.config.vocab_size)
    before = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        for embedding in (model.get_input_embeddings(), model.get_output_embeddings()):
            embedding.weight[before:] = 0
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = IMAGE
    return tokenizer, model


def _text_config(options: Mapping[str, Any], vocab_size: int) -> Any:
    values = dict(options.get("text_config") or {})
    return _config("text_config", {"vocab_size": vocab_size, **dict.fromkeys(SPECIAL), **values})


def _vision_config(options: Mapping[str, Any]) -> Any:
    if not options.get("vision_config"):
        raise BadInputError(
            "the preset sees images through a pretrained encoder: give one (`--vision`), a DINOv2 hub id or folder"
        )
    return _config("vision_config", options["vision_config"])


def _config(name: str, values: Mapping[str, Any]) -> Any:
    values = dict(values)
    kind = values.pop("model_type", None)
    if kind not in CONFIG_MAPPING:
        raise BadInputError(f"llava: {name}.model_type is {kind!r}: expected a model_type of transformers")
    defaults = CONFIG_MAPPING[kind]()
    for key in values:
        if not hasattr(defaults, key):
            raise BadInputError(f"llava: {name}: a {kind} config has no option {key!r}")
    return sentence(kind, lambda: AutoConfig.for_model(kind, **values))


def _assemble(options: Mapping[str, Any], vision: Any, text: Any, tokenizer: Any) -> LlavaForConditionalGeneration:
    rest = {k: v for k, v in options.items() if k not in ("text_config", "vision_config")}
    unknown = [key for key in rest if not hasattr(LlavaConfig, key)]
    if unknown:
        raise BadInputError(f"llava: its config has no option {unknown[0]!r}")
    image = tokenizer.convert_tokens_to_ids(IMAGE)

    def build() -> LlavaForConditionalGeneration:
        return LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config=json.loads(json.dumps(vision.to_dict(), default=str)),
                text_config=json.loads(json.dumps(text.to_dict(), default=str)),
                image_token_index=image,
                tie_word_embeddings=text.tie_word_embeddings,
                **rest,
            )
        )

    llava: LlavaForConditionalGeneration = sentence(ARCHITECTURE, build)
    return llava


def _processor(vision: str | None, pixels: int, patch: int, tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Make a processor that scales to pixels × pixels, uncut, with the encoder's mean and deviation (0.5 if new)."""
    mean = deviation = [0.5, 0.5, 0.5]
    if vision is not None:
        source = locate(vision)
        with opening(source, "preprocessor_config.json"):
            theirs = loading.from_pretrained(AutoImageProcessor, source)
        mean, deviation = list(theirs.image_mean), list(theirs.image_std)
    image_processor = BitImageProcessor(
        size={"height": pixels, "width": pixels},
        do_center_crop=False,
        image_mean=mean,
        image_std=deviation,
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
