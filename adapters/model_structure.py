"""Find a transformers language model's layers and final norm by structure, not by name of family."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from groundbench.api.errors import UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FINAL_NORMS = (
    "ln_f",
    "norm_f",
    "final_layer_norm",
    "final_layernorm",
    "norm",
    "ln_out",
    "final_norm",
    "layer_norm",
    "embedding_norm",
)


def layer_list(model: PreTrainedModel) -> nn.ModuleList | None:
    """Return the decoder layers: the longest ModuleList of the config's length, outside any vision tower."""
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for name, module in model.named_modules():
        if "vision" in name or "visual" in name:
            continue
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    return None


def input_device(model: PreTrainedModel) -> torch.device:
    """Return the device for token ids: the embeddings', or accelerate's where they are kept elsewhere."""
    embeddings = model.get_input_embeddings()
    device: torch.device = embeddings.weight.device
    if device.type == "meta":
        device = torch.device(embeddings._hf_hook.execution_device)
    return device


def is_spread(model: PreTrainedModel) -> bool:
    """Return True if accelerate keeps the weights on several devices or on disk."""
    places = set((getattr(model, "hf_device_map", None) or {}).values())
    return len(places) > 1 or "disk" in places


def parameter_count(model: PreTrainedModel) -> int:
    """Count parameters, packed ones unpacked; tied ones once, also where accelerate keeps them on disk."""
    own = dict(model.named_parameters())
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    twice: int = sum(own[a].numel() for a, b in tied.items() if a in own and b in own)
    return int(model.num_parameters()) - twice


def final_norm(model: PreTrainedModel) -> nn.Module | None:
    """Return the norm between the last layer and the unembedding, or None where there is none."""
    layers = layer_list(model)
    for _, module in model.named_modules():
        if any(child is layers for child in module.children()):
            for name in FINAL_NORMS:
                norm = getattr(module, name, None)
                if isinstance(norm, nn.Module):
                    return norm
    return None


@contextmanager
def catch_residuals(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[dict[int, Tensor]]:
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
            state = args[0] if args else kwargs["hidden_states"]
            if state.ndim != 3:
                raise UnsupportedModelError(
                    f"{model.config.model_type}: the residual after layer {number} has the shape {list(state.shape)}; "
                    "expected [batch, tokens, width]"
                )
            states[number] = state

        return hook

    handles = [
        (modules[n] if n < len(modules) else norm).register_forward_pre_hook(keep(n), with_kwargs=True) for n in layers
    ]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


SCALES = re.compile(r"logit|lm_head|mup|scal")
CAPS = re.compile(r"logit.*cap")


@dataclass(frozen=True)
class AfterHead:
    """The steps of a family after the unembedding: a factor, then a soft cap."""

    factor: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the model's logits of the unembedding's output."""
        if self.factor != 1.0:
            logits = logits * self.factor
        return logits if self.cap is None else (logits / self.cap).tanh() * self.cap


def after_head(model: PreTrainedModel, raw: Tensor, logits: Tensor, tolerance: float) -> AfterHead:
    """Find, among the numbers of the config, the factor and soft cap that make the model's logits of the unembedding's.

    Args:
        raw, logits: [..., V] of one call: the last residual through norm and unembedding, and what the model said.
        tolerance: largest difference, relative to the largest logit.

    Raises:
        UnsupportedModelError: no factor and cap of its config give its logits.
    """
    config = model.config.get_text_config()
    named = {n: v for n in dir(config) if (v := _number(config, n)) is not None and v > 0}
    scales = [v for n, v in named.items() if SCALES.search(n) and not CAPS.search(n)]
    wanted, best = logits.float(), float("inf")
    for cap in (None, *(v for n, v in named.items() if CAPS.search(n))):
        for factor in (1.0, *scales, *(1 / v for v in scales)):
            found = AfterHead(factor, cap)
            gap = float((found(raw.float()) - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
            if gap <= tolerance:
                return found
            best = min(best, gap)
    raise UnsupportedModelError(
        f"{config.model_type}: its last residual, normed and unembedded, differs from its logits by {best:.0e} of the "
        "largest under every factor and soft cap that its config names"
    )


def _number(config: Any, name: str) -> float | None:
    if not (SCALES.search(name) or CAPS.search(name)) or name.startswith("_"):
        return None
    value = getattr(config, name, None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def unembed(model: PreTrainedModel, hidden: Tensor, *, normed: bool, tokens: Sequence[int] | None = None) -> Tensor:
    """Return the unembedding's output for hidden states, through the final norm unless `normed`; see `after_head`.

    Args:
        tokens: ids of the columns that are wanted; all by default.
    """
    norm = final_norm(model)
    if not normed and norm is not None:
        hidden = norm(hidden)
    head = model.get_output_embeddings()
    if head is None:
        raise UnsupportedModelError(f"{model.config.model_type}: its unembedding was not found")
    if head.weight.is_floating_point():  # some norms give fp32
        hidden = hidden.to(head.weight.dtype)
    if tokens is not None and type(head) is nn.Linear:
        index = torch.tensor(list(tokens), device=head.weight.device)
        bias = None if head.bias is None else head.bias[index]
        return nn.functional.linear(hidden, head.weight[index], bias)
    logits: Tensor = head(hidden)
    return logits if tokens is None else logits[..., list(tokens)]


OPTIONS = ("return_dict", "use_cache", "logits_to_keep")
"""Options of a call that say how to answer and change no logit of the last position."""


def accepting_options(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model with a forward pass that ignores those of `OPTIONS` which it does not know.

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


def can_skip_logits(model: PreTrainedModel) -> bool:
    """Return True for a class of transformers that takes the positions whose logits are wanted as a tensor: also none.

    A quantized unembedding may not take no rows.
    """
    wanted = inspect.signature(type(model).forward).parameters.get("logits_to_keep")
    takes = wanted is not None and "Tensor" in str(wanted.annotation)
    theirs = type(model).__module__.startswith("transformers.")
    return takes and theirs and type(model.get_output_embeddings()) is nn.Linear


def logits_of(out: Any, model: PreTrainedModel) -> Tensor:
    """Return the logits [batch, tokens, vocabulary] of a call. Raises UnsupportedModelError without any."""
    logits = getattr(out, "logits", None)
    if not isinstance(logits, Tensor):
        raise UnsupportedModelError(
            f"{type(model).__name__}: its forward pass returns {type(out).__name__} without logits; expected an output "
            "with logits [batch, tokens, vocabulary]"
        )
    return logits


def last_logits(out: Any) -> Tensor:
    """Return [B, V] fp32 logits of the last position; [B, 0] of a pass without logits."""
    logits: Tensor = out.logits
    return logits[:, -1].float() if logits.shape[1] else logits.new_empty(len(logits), 0)


CPU_CHUNK = 32


def shorten_chunks(model: PreTrainedModel, device: torch.device) -> None:
    """Shorten the chunks of state-space scans on the CPU, which pads every prompt to a whole one."""
    if device.type != "cpu":
        return
    for module in model.modules():
        if isinstance(getattr(module, "chunk_size", None), int):
            module.chunk_size = min(module.chunk_size, CPU_CHUNK)
