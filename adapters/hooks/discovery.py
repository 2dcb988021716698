"""Find a model's attention and Mamba-2 modules by their structure, so that unknown architectures work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from groundbench.adapters.hooks.mamba2 import is_ssd
from groundbench.adapters.hooks.session import Session
from groundbench.adapters.model_structure import layer_list


@dataclass(frozen=True)
class Candidates:
    """Attention and SSD modules of the decoder, and the smallest PreTrainedModel around them.

    `owner` is what is rerouted: a vision-language model's language part, so that its vision tower is left alone.
    """

    attention: tuple[nn.Module, ...]
    ssd: tuple[nn.Module, ...]
    owner: PreTrainedModel
    layers: nn.ModuleList | None

    def __bool__(self) -> bool:
        return bool(self.attention or self.ssd)


def candidates(model: PreTrainedModel) -> Candidates:
    """Return the modules of the decoder that look like mixers with heads; none for an LSTM."""
    layers = layer_list(model)
    inside: list[nn.Module] = list((layers if layers is not None else model).modules())
    attention = tuple(m for m in inside if "Attention" in type(m).__name__ and not _wraps_attention(m))
    ssd = tuple(m for m in inside if is_ssd(m))
    return Candidates(attention, ssd, _owner(model, (*attention, *ssd)), layers)


def _wraps_attention(module: nn.Module) -> bool:
    return any("Attention" in type(m).__name__ for m in module.modules() if m is not module)


def _owner(model: PreTrainedModel, mixers: tuple[nn.Module, ...]) -> PreTrainedModel:
    wanted = {id(m) for m in mixers}
    owner = model
    for module in model.modules():  # outer modules come first
        if isinstance(module, PreTrainedModel) and wanted <= {id(m) for m in module.modules()}:
            owner = module
    return owner


@contextmanager
def layers_counted(layers: nn.ModuleList | None, session: Session) -> Iterator[None]:
    """Tell a discovering session which decoder layer (from 1) is running."""
    with ExitStack() as stack:
        for number, layer in enumerate(layers or (), start=1):

            def note_layer(_: nn.Module, __: Any, number: int = number) -> None:
                session.layer = number

            stack.callback(layer.register_forward_pre_hook(note_layer).remove)
        yield
