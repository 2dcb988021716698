"""From a hub id or a folder to a vision-language model, its processor and the adapter of both."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForImageTextToText, AutoProcessor

from groundbench.adapters.huggingface import in_memory_name, is_model, object_of
from groundbench.adapters.loading import load as loading
from groundbench.adapters.loading import quantization
from groundbench.adapters.loading.fingerprint import weights_fingerprint
from groundbench.adapters.loading.source import Source, locate, names_object, training_of
from groundbench.adapters.loading.users_files import FORWARD, MADE, opening, with_opening
from groundbench.adapters.tokenization import BosPolicy
from groundbench.adapters.vlm.adapter import VisionLanguage
from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError

KIND = "vision-language model that continues text"


def open_vlm(
    model: Any,
    *,
    dtype: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    max_memory: dict[int | str, str] | None = None,
    quantize: quantization.Quantize | None = None,
    bos: BosPolicy = "auto",
    chat: bool = False,
    trust_remote_code: bool = False,
    revision: str | None = None,
    subfolder: str | None = None,
) -> Adapter | None:
    """Return the adapter of a vision-language model.

    Args:
        model: a hub id, a folder, `module:object`, or a model of transformers in memory: alone, or as a pair with its
            processor.
        chat: put prompts into the processor's chat template, images into the user's turn.
        revision, subfolder: of a hub id, see `groundbench.adapters.huggingface.open_causal`.

    Raises:
        BadInputError: the model or its processor cannot be loaded, or the processor reads no images.
        UnsupportedModelError: transformers has no such model that continues text.
    """
    if not isinstance(model, str):
        return _from_memory(model, in_memory_name(model), bos, chat)
    if names_object(model):
        return _from_memory(object_of(model), model, bos, chat)
    source = locate(model, revision, subfolder)
    if source.gguf is not None:
        return None
    config = loading.load_config(source, trust_remote_code)
    if not hasattr(config, "vision_config"):
        return None
    options = loading.LoadOptions(dtype, device, device_map, max_memory, quantize, trust_remote_code)
    options.resolved_dtype()
    loading.require_device(options, source.name)
    processor = load_processor(source, trust_remote_code)
    loaded, notes = loading.load_model(source, config, options, AutoModelForImageTextToText, KIND)
    with opening(source, FORWARD):
        return VisionLanguage(
            loaded,
            processor,
            name=source.name,
            fingerprint=weights_fingerprint(source, loaded),
            bos=bos,
            chat=chat,
            notes=notes,
            training=training_of(source),
        )


@with_opening("preprocessor_config.json")
def load_processor(source: Source, trust_remote_code: bool) -> Any:
    """Return the processor saved beside a model. Raises BadInputError if there is none for images and text."""
    folder = None if source.texts is None or not any(source.texts.glob("*processor_config.json")) else source.texts
    processor = loading.from_pretrained(AutoProcessor, source, folder, trust_remote_code=trust_remote_code)
    return checked_processor(processor, source.name)


def checked_processor(processor: Any, name: str) -> Any:
    """Return the processor itself. Raises BadInputError if it does not read images and text, or gives no offsets."""
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        raise BadInputError(
            f"{name}: its processor ({type(processor).__name__}) does not read images and text; expected "
            "preprocessor_config.json (or processor_config.json) and a tokenizer beside the weights"
        )
    if not getattr(tokenizer, "is_fast", False):
        raise BadInputError(
            f"{name}: its tokenizer ({type(tokenizer).__name__}) gives no character offsets, which are needed to find "
            "the ENV tokens; expected one with a tokenizer.json"
        )
    return processor


def _from_memory(made: Any, spec: str, bos: BosPolicy, chat: bool) -> Adapter | None:
    if is_model(made) and hasattr(made.config, "vision_config"):
        made = (made, load_processor(locate(made.config._name_or_path or spec), False))
    if not (isinstance(made, tuple) and len(made) == 2 and hasattr(getattr(made[0], "config", None), "vision_config")):
        return None
    with opening(Source(spec), MADE):
        return VisionLanguage(made[0], checked_processor(made[1], spec), name=spec, bos=bos, chat=chat)
