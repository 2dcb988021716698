"""Going on from a layer's saved residual: the layers before it are stepped over for one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from groundbench.adapters import model_structure
from groundbench.api.errors import UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _SteppedOver(nn.Module):
    """Stands in for a layer: gives the saved residual (the last one stepped over) or what it was given.

    Models ask their layers for attributes (which mask, which rotary embedding); those are the layer's own. `packed`: in
    this family a layer returns a tuple, of which the residual is the first.
    """

    def __init__(self, layer: nn.Module, residual: Tensor | None, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        object.__setattr__(self, "layer", layer)  # no submodule: its parameters are not ours
        object.__setattr__(self, "residual", residual)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(object.__getattribute__(self, "layer"), name)

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Tensor | tuple[Tensor, None]:
        """Return the residual that enters the next layer."""
        saved: Tensor | None = object.__getattribute__(self, "residual")
        out = hidden if saved is None else saved
        return (out, None) if self.packed else out


def layers_are_packed(model: PreTrainedModel, call: Callable[[], Any]) -> bool:
    """Return True if the first layer returns a tuple, seen in one call; False where there is no list of layers."""
    layers = model_structure.layer_list(model)
    seen: list[bool] = []

    def look(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(isinstance(output, tuple))

    handle = layers[0].register_forward_hook(look) if layers is not None else None
    if handle is None:
        return False
    try:
        call()
    finally:
        handle.remove()
    return bool(seen) and seen[0]


@contextmanager
def entering_at(model: PreTrainedModel, layer: int, residual: Tensor, packed: bool = False) -> Iterator[None]:
    """Let calls of the model enter `layer` (from 1) with `residual` [B, T, d], without the layers before it.

    Args:
        packed: see `layers_are_packed`.

    Raises:
        UnsupportedModelError: the model's layers cannot be found.
    """
    layers = model_structure.layer_list(model)
    if layers is None:
        raise UnsupportedModelError(f"{model.config.model_type}: its list of layers was not found, so no restart")
    kept = [layers[i] for i in range(layer - 1)]
    try:
        for i, own in enumerate(kept):
            layers[i] = _SteppedOver(own, residual if i == layer - 2 else None, packed)
        if layer > 1:
            yield
        else:
            with _first_input(layers[0], residual):
                yield
    finally:
        for i, own in enumerate(kept):
            layers[i] = own


@contextmanager
def _first_input(layer: nn.Module, residual: Tensor) -> Iterator[None]:
    """Give the first layer the residual in place of the embeddings."""

    def replace(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (residual, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": residual}

    handle = layer.register_forward_pre_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
