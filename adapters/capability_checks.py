"""What a loaded model can do, tried out on a few tokens when it is opened. Each check gives None, or why it cannot.

A capability is never taken from a family's name: it is what the model was seen to do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import torch
from torch import Tensor

from groundbench.adapters.model_structure import input_device, logits_of
from groundbench.api.adapter import Encoded
from groundbench.api.errors import BadInputError, GroundbenchError, UnsupportedModelError
from groundbench.util.users_code import is_scarcity

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from groundbench.adapters.huggingface import HFCausal

LENGTH = 7
CANNOT = (Exception,)
"""What a trial of an ability may raise: modelling files raise anything where they are asked too much."""
P = ParamSpec("P")
Check = Callable[Concatenate["HFCausal", P], str | None]


def _said(check: Check[P]) -> Check[P]:
    """A check whose failures are reasons, without a graph."""

    @wraps(check)
    def checked(adapter: HFCausal, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        with torch.no_grad():
            return tried(lambda: check(adapter, *args, **kwargs))

    return checked


def tried(trial: Callable[[], str | None]) -> str | None:
    """What a trial finds, or the reason for which it failed: modelling files raise anything where asked too much.

    An error for want of memory is raised, since it tells nothing of the model.
    """
    try:
        return trial()
    except GroundbenchError as error:
        return str(error)
    except Exception as error:  # the model's code, which may raise anything
        if is_scarcity(error):
            raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"{type(error).__name__}: {first[:160]}"


@torch.no_grad()
def require_causal(model: PreTrainedModel, name: str) -> None:
    """Raises UnsupportedModelError where what a model says at a position depends on later tokens: an encoder."""
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]]) % model.config.get_text_config().vocab_size
    logits = logits_of(model(input_ids=ids.to(input_device(model)), return_dict=True), model).float()
    if not torch.isfinite(logits).all():
        _require_finite_weights(model, name)
    if relative(logits[1, :-1], logits[0, :-1]) > 1e-2:
        raise UnsupportedModelError(
            f"{name}: a {model.config.model_type} model that reads ahead is an encoder; "
            "expected a causal language model"
        )


def _require_finite_weights(model: PreTrainedModel, name: str) -> None:
    """Raises BadInputError for weights that are NaN or infinite; finite ones may still overflow in half precision."""
    broken = [n for n, p in model.named_parameters() if p.is_floating_point() and not torch.isfinite(p).all()]
    if broken:
        more = f" and {len(broken) - 1} more hold" if len(broken) > 1 else " holds"
        raise BadInputError(
            f"{name}: its weight {broken[0]}{more} NaN or infinite values; expected finite numbers, so the file is "
            "damaged or its training diverged"
        )


def probe_row(vocab_size: int, length: int = LENGTH) -> Encoded:
    """A short prompt of the first token ids."""
    return Encoded(tuple(i % vocab_size for i in range(length)))


@_said
def no_prefix(adapter: HFCausal) -> str | None:
    """Why the model cannot go on from a cache, by one token and by several, as if it had read all at once."""
    row = probe_row(adapter.vocab_size)
    whole = adapter.forward([row]).logits
    for cut in (4, LENGTH - 1):
        prefix = adapter.prefill([Encoded(row.ids[:cut])])
        gap = relative(adapter.forward([row.after(cut)], prefix=prefix).logits, whole)
        if not gap <= adapter.tolerance:
            return f"going on from its cache by {LENGTH - cut} token(s) changes the logits by {gap:.0e} of the largest"
    return None


@_said
def no_lens(adapter: HFCausal) -> str | None:
    """Why the last residual, unembedded, is not what the model says."""
    last = adapter.model.config.get_text_config().num_hidden_layers
    out = adapter.forward([probe_row(adapter.vocab_size)], hidden=[last])
    gap = relative(adapter.unembed(out.hidden[last][:, -1], normed=False).float(), out.logits)
    return None if gap <= adapter.tolerance else f"its last residual, unembedded, differs from its logits by {gap:.0e}"


@_said
def no_restart(adapter: HFCausal, *, cached: bool) -> str | None:
    """Why the model cannot go on from a layer's saved residual: from the first, the second and the last.

    Args:
        cached: also with all tokens but the last in a cache.
    """
    last = adapter.model.config.get_text_config().num_hidden_layers
    layers = sorted({1, min(2, last), last})
    row = probe_row(adapter.vocab_size)
    starts = (0, LENGTH - 1) if cached else (0,)
    for start in starts:
        rows = [row.after(start)] * 2
        prefix = adapter.prefill([Encoded(row.ids[:start])] * 2) if start else None
        out = adapter.forward(rows, prefix=prefix, hidden=[layer - 1 for layer in layers])
        for layer in layers:
            again = adapter.restart(rows, out.hidden[layer - 1], layer, prefix=prefix, edit=None)
            gap = relative(again, out.logits) if again.shape == out.logits.shape else float("nan")
            if not gap <= adapter.tolerance:
                return f"going on from the residual before layer {layer} changes the logits by {gap:.0e} of the largest"
    return None


def relative(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, against the largest entry where that is above 1."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1.0))
