"""Families that never call transformers' attention interface (gpt_neo, gptj, bloom, falcon, mpt, codegen …).

Outputs and edits come from a hook before the output projection, weights from `output_attentions`, values from the
cache. The model itself holds the T x T weights meanwhile, so memory is not linear in T here. Whether weights x values
give the hooked output is part of the self-check on attach: a family for which they do not is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from groundbench.adapters.hooks.session import Session, as_graph_root
from groundbench.api.adapter import Mixer
from groundbench.api.errors import UnsupportedModelError

PROJECTIONS = ("out_proj", "o_proj", "dense", "c_proj")
HEAD_COUNTS = ("num_heads", "n_heads", "num_attention_heads")


@dataclass
class EagerTrace:
    """One attention call, with weights that the model itself has returned."""

    mixer: Mixer
    output: Tensor
    site: Tensor
    attention: Tensor | None = None
    value: Tensor | None = None
    skip: Tensor | None = None
    smear: int = 0
    sinks: bool = False
    bidirectional: bool = False

    @property
    def values(self) -> Tensor:
        """[B, H, Tk, D], key/value heads repeated for the heads that share them."""
        if self.value is None:
            raise UnsupportedModelError(f"layer {self.mixer.layer}: the model's cache holds no values")
        return self.value.repeat_interleave(self.mixer.n_heads // self.value.shape[1], dim=1)

    def weights(self, rows: slice, keys: int | None = None) -> Tensor:
        """Return [B, H, r, keys] fp32: the weights of some query rows over the first `keys` keys (default all)."""
        if self.attention is None:
            raise UnsupportedModelError(f"layer {self.mixer.layer}: the model returned no attention weights")
        return self.attention[:, :, rows, :keys].to(torch.float32, copy=True)


def projection(module: nn.Module) -> nn.Module | None:
    """Return the output projection of an attention module that can be hooked this way, else None."""
    if not any(hasattr(module, n) for n in HEAD_COUNTS):
        return None
    return next((p for n in PROJECTIONS if isinstance(p := getattr(module, n, None), nn.Module)), None)


class EagerRecorder:
    """Hooks of one session on a model that computes its attention by itself."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @contextmanager
    def attach(self, model: nn.Module, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Attach hooks to the output projections, and to the model's call when tracing; all are removed on leaving."""
        with ExitStack() as stack:
            for module in modules:
                target = projection(module)
                if target is None:
                    raise UnsupportedModelError(f"{type(module).__name__}: no output projection is known")
                hook = self._hook(module)
                stack.callback(target.register_forward_pre_hook(hook).remove)
            if self._session.trace:
                stack.callback(model.register_forward_pre_hook(_ask, with_kwargs=True).remove)
                stack.callback(model.register_forward_hook(self._collect).remove)
            yield

    def _hook(self, module: nn.Module) -> Any:
        n_heads = int(next(getattr(module, n) for n in HEAD_COUNTS if hasattr(module, n)))

        def before_projection(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            session = self._session
            index = session.claim(module, "attention", n_heads, args[0].shape[-1] // n_heads)
            if index is None or not (session.trace or session.changes(index)):
                return None
            if session.edges_cut(index) is not None:
                raise UnsupportedModelError(
                    f"{type(module).__name__}: it computes its attention by itself, so no edge of it can be cut"
                )
            merged = as_graph_root(args[0], session.trace)
            heads = merged.view(*merged.shape[:-1], n_heads, -1).transpose(1, 2)
            if session.trace:
                session.traces.append(EagerTrace(session.sites[index].mixer, heads, heads))
            return (session.edit(index, heads).transpose(1, 2).flatten(2), *args[1:])

        return before_projection

    def _collect(self, model: nn.Module, _: Any, out: Any) -> None:
        attentions = getattr(out, "attentions", None) or ()
        cache = getattr(out, "past_key_values", None)
        layers = getattr(cache, "layers", ())
        traces = [t for t in self._session.traces if isinstance(t, EagerTrace)]
        if not len(attentions) == len(layers) == len(traces):
            raise UnsupportedModelError(
                f"{type(model).__name__}: {len(traces)} attention calls, but {len(attentions)} returned weights and "
                f"{len(layers)} cached layers"
            )
        for trace, weights, layer in zip(traces, attentions, layers, strict=True):
            if not isinstance(weights, Tensor):
                raise UnsupportedModelError(f"{type(model).__name__}: it returns no attention weights")
            trace.attention, trace.value = weights.detach(), layer.values.detach()


def _ask(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Ask the model for its weights and its cache."""
    return args, {**kwargs, "output_attentions": True, "use_cache": True, "return_dict": True}
