"""Weights in 8 or 4 bits (bitsandbytes): what is asked for, what a loaded model has, and what is refused."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import BitsAndBytesConfig
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

from groundbench.adapters.model_structure import input_device
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.util.users_code import first_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Quantize = Literal["8bit", "4bit"]


def asked_for(name: str, gguf: str | None, config: Any, bits: Quantize) -> BitsAndBytesConfig:
    """Return the quantization asked for on loading.

    Raises:
        BadInputError: bitsandbytes is not installed, or the weights are quantized already.
    """
    own = getattr(config, "quantization_config", None)
    if gguf is not None or own is not None:
        method = "gguf" if gguf is not None else _field(own, "quant_method")
        raise BadInputError(f"{name}: its weights are quantized already ({method}); leave out --quantize {bits}")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it would say of each product how it casts its inputs
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise BadInputError(f"{name}: --quantize {bits} needs bitsandbytes; install groundbench[quant]") from None
    # Threshold 0: without it which columns keep 16 bits depends on all rows of a batch, and so would every number.
    return (
        BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
        if bits == "8bit"
        else BitsAndBytesConfig(load_in_4bit=True)
    )


def require_known(config: Any, name: str) -> None:
    """Raise UnsupportedModelError where transformers does not know the weights' quantization, which it would ignore."""
    own = getattr(config, "quantization_config", None)
    method = None if own is None else _field(own, "quant_method")
    if method is not None and method not in AUTO_QUANTIZER_MAPPING and method != "bitsandbytes":
        raise UnsupportedModelError(
            f"{name}: its weights are quantized by {method!r}, which transformers does not know; "
            f"expected plain weights or one of {', '.join(sorted(AUTO_QUANTIZER_MAPPING))}"
        )


def make_ready(model: PreTrainedModel, name: str, bits: Quantize) -> None:
    """Let gradients pass on every device, and run the model once.

    Raises:
        UnsupportedModelError: it has no layer that was quantized (an LSTM), or bitsandbytes cannot run it here.
    """
    quantized = [m for m in model.modules() if type(m).__module__.startswith("bitsandbytes.")]
    for module in quantized:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # Packed for the CPU, 4-bit weights give no gradient to their inputs: saliency would be wrong in silence.
            module.support_avx512bf16_for_cpu = False
    if not quantized:
        raise UnsupportedModelError(
            f"{name}: --quantize {bits} changes no layer of a {model.config.model_type} model: none is a linear layer "
            "besides its unembedding"
        )
    try:
        with torch.no_grad():
            model(input_ids=torch.tensor([[0, 1]], device=input_device(model)))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UnsupportedModelError(
            f"{name}: bitsandbytes cannot run this {model.config.model_type} model in {bits} on {input_device(model)}: "
            f"{first_line(error)}"
        ) from error


def method_of(model: PreTrainedModel) -> str | None:
    """Return `8bit` or `4bit` for bitsandbytes, the name of another method, or None for plain weights."""
    if getattr(model, "is_loaded_in_8bit", False):
        return "8bit"
    if getattr(model, "is_loaded_in_4bit", False):
        return "4bit"
    if not getattr(model, "is_quantized", False):
        return None
    return str(_field(getattr(model.config, "quantization_config", None), "quant_method"))


def _field(config: Any, name: str) -> object:
    found = config.get(name) if isinstance(config, dict) else getattr(config, name, None)
    return getattr(found, "value", found)
