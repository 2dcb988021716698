"""Checks of a model's abilities, tried on a few tokens when it is opened. Each returns None, or the reason against.

A capability is never taken from a family's name: it is what the model was seen to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Concatenate, ParamSpec, cast

import torch
from torch import Tensor

from groundbench.adapters import multi_token
from groundbench.adapters.hooks import HeadHooks, attach
from groundbench.adapters.hooks.head_hooks import probe_ids
from groundbench.adapters.kv_cache import CachedPrefix
from groundbench.adapters.model_structure import input_device, logits_of
from groundbench.api.adapter import Capability, Encoded, Forward, Prefix
from groundbench.api.errors import BadInputError, GroundbenchError, UnsupportedModelError
from groundbench.util.resource_errors import is_resource_error
from groundbench.util.users_code import first_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from groundbench.adapters.huggingface import HFCausal

LENGTH = 7
AHEAD, AHEAD_HALF = 1e-4, 1e-2
"""Of the largest logit: what another last token may change of what was said before it, by rounding."""
CANNOT = (Exception,)
"""Errors of a trial of an ability: modelling files raise anything where they are asked too much."""
P = ParamSpec("P")
Check = Callable[Concatenate["HFCausal", P], str | None]


def _failures_as_reasons(check: Check[P]) -> Check[P]:
    """Return a check whose failures are reasons, without a graph."""

    @wraps(check)
    def run_check(adapter: HFCausal, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        with torch.no_grad():
            return run_trial(lambda: check(adapter, *args, **kwargs))

    return run_check


def run_trial(trial: Callable[[], str | None]) -> str | None:
    """Run a trial; return its finding, or the reason for which it failed: modelling files raise anything.

    An error for want of memory is raised, since it tells nothing of the model.
    """
    try:
        return trial()
    except GroundbenchError as error:
        return str(error)
    except Exception as error:  # the model's code, which may raise anything
        if is_resource_error(error):
            raise
        return f"{type(error).__name__}: {first_line(error)[:160]}"


@dataclass(frozen=True)
class Checked:
    """The findings on an adapter that is being opened.

    Attributes:
        lacks: the capabilities that it has not, with the reasons.
        hooks: attached to its heads; None where they cannot be.
        tree_mask: True if many paths may be read in one pass under a tree mask (attention models without a window).
    """

    lacks: dict[Capability, str]
    hooks: HeadHooks | None
    tree_mask: bool


def check(adapter: HFCausal) -> Checked:
    """Try on a few tokens all that a model may be asked for; see the checks below."""
    prefix = no_prefix(adapter) if adapter.has_cache else "its forward pass takes no cache"
    tree_mask = prefix is None and takes_tree_mask(adapter)
    found: dict[Capability, str | None] = {
        "prefix": prefix,
        "hidden": no_lens(adapter),
        "start_at_layer": check_start_at_layer(adapter, cached=prefix is None),
    }
    hooks, found["hooks"] = hooks_of(adapter)
    found["edit"] = found["hooks"] if hooks is None else found["hooks"] or hooks.uncut
    lacks = {name: why for name, why in found.items() if why is not None}
    return Checked(lacks | adapter.inputs.check(adapter, lacks), hooks, tree_mask)


def hooks_of(adapter: HFCausal) -> tuple[HeadHooks | None, str | None]:
    """Attach hooks to a model's heads; return them, and None or the reason for which heads cannot be read."""
    attached: list[HeadHooks] = []

    def try_hooks() -> str | None:
        row = Encoded(tuple(probe_ids(adapter.model)[0].tolist()))
        attached.append(attach(adapter.model, adapter.inputs.of([row])))
        return no_gradient(adapter, attached[0]) if attached[0].mixers else "the model has no heads"

    why = run_trial(try_hooks)
    return (attached[0] if attached else None), why


@torch.no_grad()
def takes_tree_mask(adapter: HFCausal) -> bool:
    """Return True if paths read in one pass under a tree mask have the logits that each has in a row of its own."""
    start = probe_row(adapter.vocab_size, 5)
    paths = [(1,), (1, 2), (2,), (2, 1), (2, 1, 1)]

    def differs() -> str | None:
        prefix = cast(CachedPrefix, adapter.prefill([start]))
        tree = multi_token.tree(adapter.run, prefix.for_batch(1), prefix.length, paths, 1, adapter.device)
        # every path begins one of two rows, whose later tokens it does not see
        rows = torch.tensor([(1, 2, 1), (2, 1, 1)], device=adapter.device)
        logits = adapter.run(rows, prefix.select([0, 0]).for_batch(2)).float()
        wanted = torch.stack([logits[path[0] - 1, len(path) - 1] for path in paths])[None]
        return None if relative(tree, wanted) <= adapter.tolerance else "a tree's logits differ"

    return run_trial(differs) is None


@torch.no_grad()
def require_causal(model: PreTrainedModel, name: str) -> None:
    """Raise UnsupportedModelError where the output at a position depends on later tokens: an encoder."""
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]]) % model.config.get_text_config().vocab_size
    alone = {"use_cache": False} if "use_cache" in signature(model.forward).parameters else {}
    logits = logits_of(model(input_ids=ids.to(input_device(model)), return_dict=True, **alone), model).float()
    if not torch.isfinite(logits).all():
        _require_finite_weights(model, name)
    if relative(logits[1, :-1], logits[0, :-1]) > (AHEAD if model.dtype == torch.float32 else AHEAD_HALF):
        raise UnsupportedModelError(
            f"{name}: a {model.config.model_type} model that reads ahead is an encoder; "
            "expected a causal language model"
        )


def _require_finite_weights(model: PreTrainedModel, name: str) -> None:
    """Raise BadInputError for weights that are NaN or infinite; finite ones may still overflow in half precision."""
    broken = [n for n, p in model.named_parameters() if p.is_floating_point() and not torch.isfinite(p).all()]
    if broken:
        more = f" and {len(broken) - 1} more hold" if len(broken) > 1 else " holds"
        raise BadInputError(
            f"{name}: its weight {broken[0]}{more} NaN or infinite values; expected finite numbers, so the file is "
            "damaged or its training diverged"
        )


def probe_row(vocab_size: int, length: int = LENGTH) -> Encoded:
    """Return a short prompt of the first token ids."""
    return Encoded(tuple(i % vocab_size for i in range(length)))


@_failures_as_reasons
def no_prefix(adapter: HFCausal, rows: Sequence[Encoded] = (), cuts: Sequence[int] = (4, LENGTH - 1)) -> str | None:
    """Return None if the model continues from a cache, by one token and by several, exactly; else the reason.

    Rows of a cache are also taken several times: what a family's own cache keeps besides keys and values is copied too,
    or it fails here.
    """
    rows = list(rows) or [probe_row(adapter.vocab_size)]
    if len(rows) == 1:
        rows.append(Encoded(rows[0].ids[1:] + rows[0].ids[:1]))
    again = [0, *range(1, len(rows)), 1]
    whole = adapter.forward(rows).logits
    for number, cut in enumerate(cuts):
        prefix = adapter.prefill([row.upto(cut) for row in rows])
        chosen = again if number == 0 else list(range(len(rows)))
        gap = _gap_behind(adapter, rows, whole, prefix, chosen)
        if not gap <= adapter.tolerance and number == 0:
            alone = _gap_behind(adapter, rows, whole, prefix, list(range(len(rows))))
            if alone <= adapter.tolerance:
                return f"rows that share a cache differ by {gap:.0e} of the largest logit"
            gap = alone
        if not gap <= adapter.tolerance:
            more = len(rows[0]) - cut
            return f"going on from its cache by {more} token(s) changes the logits by {gap:.0e} of the largest"
    return None


def _gap_behind(
    adapter: HFCausal, rows: Sequence[Encoded], whole: Tensor, prefix: Prefix, chosen: Sequence[int]
) -> float:
    """Return how far the logits of the chosen rows, gone on from a prefix of all rows, are from those of whole rows."""
    taken = prefix if list(chosen) == list(range(len(rows))) else prefix.select(chosen)
    found = adapter.forward([rows[i].after(prefix.length) for i in chosen], prefix=taken).logits
    return relative(found, whole[list(chosen)])


def no_gradient(adapter: HFCausal, hooks: HeadHooks) -> str | None:
    """Return None if a gradient reaches every head that is read; else the reason: some run without a graph."""
    with torch.enable_grad(), hooks.active(None, trace=True) as session:
        adapter.call(adapter.inputs.of([probe_row(adapter.vocab_size)]), **adapter.cache_options(None, 1))
    traces = session.traces
    cut = next((t for t in traces if not t.output.requires_grad), None)
    return None if cut is None else f"{adapter.encoder.name}: layer {cut.mixer.layer} runs without a graph of gradients"


def no_rows_on_a_cache(adapter: HFCausal, row: Encoded) -> str | None:
    """Return None if the prediction row's weights and gradients are the same on a cache; else the reason."""
    return run_trial(lambda: _other_rows_on_a_cache(adapter, row))


def _other_rows_on_a_cache(adapter: HFCausal, row: Encoded) -> str | None:
    cut = len(row) - 1
    whole = _last_rows(adapter.forward([row], trace=True))
    cached = _last_rows(adapter.forward([row.after(cut)], prefix=adapter.prefill([row.upto(cut)]), trace=True))
    for (weights, gradient), (own, wanted) in zip(cached, whole, strict=True):
        kept = own[..., -weights.shape[-1] :]  # a sliding window's cache may not reach back to the first token
        gap = max(_gap(weights, kept), _gap(gradient, wanted))
        if not gap <= adapter.tolerance or own[..., : -weights.shape[-1]].any():
            return f"going on from its cache changes the prediction row by {gap:.0e} of the largest"
    return None


def _last_rows(out: Forward) -> list[tuple[Tensor, Tensor]]:
    """Return weights and gradients of the prediction position in each mixer; loss: the likeliest token's."""
    loss = -out.logits.log_softmax(-1).amax()
    grads = torch.autograd.grad(loss, [t.output for t in out.traces], materialize_grads=True)
    rows = []
    for trace, gradient in zip(out.traces, grads, strict=True):
        n = gradient.shape[2]
        rows.append((trace.weights(slice(n - 1, n)), gradient[:, :, -1].float()))
    return rows


def _gap(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))


@_failures_as_reasons
def no_lens(adapter: HFCausal, rows: Sequence[Encoded] = ()) -> str | None:
    """Return the reason for which the last residual, unembedded, is not what the model says."""
    last = adapter.model.config.get_text_config().num_hidden_layers
    out = adapter.forward(rows or [probe_row(adapter.vocab_size)], hidden=sorted({1, last}))
    adapter.learn_after_head(out.hidden[last][:1, -1], out.logits[:1])
    gap = relative(adapter.unembed(out.hidden[last][:, -1], normed=False).float(), out.logits)
    return None if gap <= adapter.tolerance else f"its last residual, unembedded, differs from its logits by {gap:.0e}"


@_failures_as_reasons
def check_start_at_layer(
    adapter: HFCausal, *, cached: bool, whole: bool = True, rows: Sequence[Encoded] = ()
) -> str | None:
    """Return None if the forward pass can start at a saved residual (first, second, last layer); else the reason.

    Different rows are tried together, and one of them twice: a residual must belong to its row.

    Args:
        cached: with all tokens but the last in a cache.
        whole: with no token in a cache.
    """
    last = adapter.model.config.get_text_config().num_hidden_layers
    layers = sorted({1, min(2, last), last})
    if not rows:
        row = probe_row(adapter.vocab_size)
        rows = [row, Encoded(row.ids[1:] + row.ids[:1])]
    again = [*range(len(rows)), len(rows) - 1]
    length = len(rows[0])
    for start in (*([0] if whole else []), *([length - 1] if cached else [])):
        new = [row.after(start) for row in rows]
        prefix = adapter.prefill([row.upto(start) for row in rows]) if start else None
        out = adapter.forward(new, prefix=prefix, hidden=[layer - 1 for layer in layers])
        more, wanted = None if prefix is None else prefix.select(again), out.logits[again]
        for layer in layers:
            residual = out.hidden[layer - 1]
            if residual.shape[:2] != (len(rows), length - start):
                return f"the residual before layer {layer} has the shape {list(residual.shape)}: not one for each row"
            found = adapter.start_at_layer([new[i] for i in again], residual[again], layer, prefix=more, edit=None)
            gap = relative(found, wanted) if found.shape == wanted.shape else float("nan")
            if not gap <= adapter.tolerance:
                return f"going on from the residual before layer {layer} changes the logits by {gap:.0e} of the largest"
    return None


def relative(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference, against the largest entry where that is above 1."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1.0))
