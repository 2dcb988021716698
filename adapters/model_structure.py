"""Where a transformers language model keeps its layers and its final norm: by structure, not by name of family."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from groundbench.api.errors import UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FINAL_NORMS = ("ln_f", "norm_f", "final_layer_norm", "final_layernorm", "norm", "ln_out", "final_norm", "layer_norm")


def layer_list(model: PreTrainedModel) -> nn.ModuleList | None:
    """The list of decoder layers: the longest ModuleList as long as the config says, outside any vision tower."""
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for name, module in model.named_modules():
        if "vision" in name or "visual" in name:
            continue
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    return None


def input_device(model: PreTrainedModel) -> torch.device:
    """Where token ids go: the embeddings' device, or where accelerate brings them if they are kept elsewhere."""
    embeddings = model.get_input_embeddings()
    device: torch.device = embeddings.weight.device
    if device.type == "meta":
        device = torch.device(embeddings._hf_hook.execution_device)
    return device


def is_spread(model: PreTrainedModel) -> bool:
    """Whether accelerate keeps the weights on several devices or on disk."""
    places = set((getattr(model, "hf_device_map", None) or {}).values())
    return len(places) > 1 or "disk" in places


def parameter_count(model: PreTrainedModel) -> int:
    """Parameters, packed ones unpacked; tied ones count once, also where accelerate keeps them apart on disk."""
    own = dict(model.named_parameters())
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    twice: int = sum(own[a].numel() for a, b in tied.items() if a in own and b in own)
    return int(model.num_parameters()) - twice


def final_norm(model: PreTrainedModel) -> nn.Module | None:
    """The norm between the last layer and the unembedding, or None where there is none."""
    layers = layer_list(model)
    for _, module in model.named_modules():
        if any(child is layers for child in module.children()):
            for name in FINAL_NORMS:
                norm = getattr(module, name, None)
                if isinstance(norm, nn.Module):
                    return norm
    return None


@contextmanager
def caught(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Catch, in the call made inside, the residuals [B, T, d] after these layers (0: the embeddings).

    Raises:
        UnsupportedModelError: the model's layers or its final norm were not found.
    """
    modules, norm = layer_list(model), final_norm(model)
    if modules is None or norm is None:  # an unembedding's input is cut to the last position: no residual of it
        raise UnsupportedModelError(f"{model.config.model_type}: its layers or its final norm were not found")
    states: dict[int, Tensor] = {}

    def keep(number: int) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states[number] = args[0] if args else kwargs["hidden_states"]

        return hook

    handles = [
        (modules[n] if n < len(modules) else norm).register_forward_pre_hook(keep(n), with_kwargs=True) for n in layers
    ]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def unembed(model: PreTrainedModel, hidden: Tensor, *, normed: bool) -> Tensor:
    """Logits of hidden states, through the final norm (unless `normed`), the head, and the family's scalings."""
    norm = final_norm(model)
    if not normed and norm is not None:
        hidden = norm(hidden)
    head = model.get_output_embeddings()
    if head.weight.is_floating_point():  # some norms give fp32
        hidden = hidden.to(head.weight.dtype)
    logits: Tensor = head(hidden)
    config = model.config.get_text_config()
    if getattr(config, "logits_scaling", None) and config.model_type.startswith("granite"):
        logits = logits / config.logits_scaling
    if getattr(config, "logit_scale", None) and config.model_type.startswith("cohere"):
        logits = logits * config.logit_scale
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if not cap else (logits / cap).tanh() * cap


OPTIONS = ("return_dict", "use_cache", "logits_to_keep")
"""Options of a call that say how to answer and change no logit of the last position."""


def accepting_options(model: PreTrainedModel) -> PreTrainedModel:
    """The same model; where its forward pass has few keywords, those of `OPTIONS` it lacks are left out of its calls.

    Code that comes with weights is often written against an older interface. What is asked of it beyond `OPTIONS`
    still fails there, and is then not available.
    """
    parameters = inspect.signature(model.forward).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return model
    lacks = [name for name in OPTIONS if name not in parameters]
    if lacks:
        forward = model.forward

        @wraps(forward)
        def without(*args: Any, **given: Any) -> Any:
            return forward(*args, **{k: v for k, v in given.items() if k not in lacks})

        without.__signature__ = inspect.signature(forward).replace(  # type: ignore[attr-defined]
            parameters=[*parameters.values(), inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)]
        )
        model.forward = without
    return model


def logits_of(out: Any, model: PreTrainedModel) -> Tensor:
    """The logits [batch, tokens, vocabulary] of a call. Raises UnsupportedModelError for an output without them."""
    logits = getattr(out, "logits", None)
    if not isinstance(logits, Tensor):
        raise UnsupportedModelError(
            f"{type(model).__name__}: its forward pass returns {type(out).__name__} without logits; expected an output "
            "with logits [batch, tokens, vocabulary]"
        )
    return logits
