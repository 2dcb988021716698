"""Every column of the matrix for one family, each against an oracle that does not share the measuring code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from groundbench.adapters.hooks.own_attention import PROJECTIONS
from groundbench.adapters.huggingface import HFCausal
from groundbench.adapters.model_structure import layer_list
from groundbench.api.adapter import HeadEdit
from groundbench.api.errors import UnsupportedModelError
from groundbench.api.testbed import Noun
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score
from groundbench.measures.heads.saliency import SaliencyItem
from groundbench.measures.heads.saliency_flow import gradients, row_flow, target_loss
from groundbench.measures.heads.single_heads import sweep_heads
from helpers.autograd_oracle import autograd_flow
from helpers.lens_testbed import WordTestbed
from helpers.tiny_models import random_items, tiny, tiny_adapter

COLUMNS = ("behaviour", "cache", "heads", "ablation", "lens", "sweep")
ROUTES = {"AttentionTrace": "interface", "EagerTrace": "fallback", "SSDTrace": "SSD"}
TOLERANCE = {"behaviour": 2e-6, "cache": 2e-6, "heads": 1e-5, "ablation": 2e-6, "lens": 1e-5, "sweep": 2e-6}


class TwoWords(WordTestbed):
    """Three frames (one begins with ten tokens that all its contexts share), targets of two tokens."""

    def __init__(self) -> None:
        super().__init__(frames=3)

    def target(self, noun: Noun) -> str:
        number = self.nouns.index(noun)
        return f"w{30 + number % 2} w{40 + number}"


NOT_COMPARED = "not compared"
Found = dict[str, tuple[str, float | None]]


def checked(model_type: str) -> Found:
    """For each column what stands in it, and the largest error against its oracle (None where it is missing)."""
    return checked_on(tiny_adapter(model_type), model_type)


def checked_on(adapter: HFCausal, model_type: str, config: dict[str, Any] | None = None) -> Found:
    """The same of a model that is open, of a family whose tiny configuration is not in our list.

    A column is `not compared` where the model itself gives nothing to compare with.
    """
    able = adapter.info.capabilities
    works: dict[str, tuple[bool, Callable[[HFCausal, str], float]]] = {
        "behaviour": (True, behaviour_error),
        "cache": ("prefix" in able, cache_error),
        "heads": ("hooks" in able, partial(heads_error, config=config)),
        "ablation": (adapter.info.can_edit, ablation_error),
        "lens": ("hidden" in able, lens_error),
        "sweep": (adapter.info.can_edit and {"hooks", "hidden", "start_at_layer"} <= able, sweep_error),
    }
    found: dict[str, tuple[str, float | None]] = {}
    for column, (is_able, error) in works.items():
        said = routes(adapter) if column == "heads" and is_able else "yes" if is_able else "no"
        try:
            found[column] = (said, error(adapter, model_type) if is_able else None)
        except OracleError as why:
            found[column] = (f"{NOT_COMPARED}: {why}", None)
    return found


class OracleError(Exception):
    """The model gives nothing to compare with."""


def routes(adapter: HFCausal) -> str:
    """Name the ways in which the heads are read."""
    traces = adapter.forward([random_items(1)[0].row], trace=True).traces
    return " + ".join(sorted({ROUTES[type(t).__name__] for t in traces}))


def behaviour_error(adapter: HFCausal, _: str) -> float:
    """The engine's surprisals against the whole text in a row of its own, token by token, in doubles."""
    bed = TwoWords()
    contexts = build_contexts(adapter, bed, bed.form("word"), nouns=["noun0", "noun1", "noun2"])
    table = score(adapter, contexts)
    expected = []
    for prompt in (c.prompt for c in contexts):
        start = len(adapter.tokenizer(prompt.text)["input_ids"])
        for noun in contexts.nouns:
            ids = adapter.tokenizer(f"{prompt.text} {bed.target(noun)}")["input_ids"]
            with torch.no_grad():
                logp = adapter.model(torch.tensor([ids[:-1]])).logits[0].double().log_softmax(-1)
            expected.append(-sum(float(logp[i - 1, ids[i]]) for i in range(start, len(ids))))
    return float(np.abs(table.surprisal - expected).max() / np.max(expected))


def cache_error(adapter: HFCausal, _: str) -> float:
    """The surprisals with shared prefixes against those without any."""
    bed = TwoWords()
    contexts = build_contexts(adapter, bed, bed.form("word"), nouns=["noun0", "noun1", "noun2"])
    shared, info = score(adapter, contexts).surprisal, adapter.info
    adapter.info = replace(info, capabilities=info.capabilities - {"prefix"})
    try:
        return float(np.abs(score(adapter, contexts).surprisal - shared).max() / shared.max())
    finally:
        adapter.info = info


def heads_error(adapter: HFCausal, model_type: str, config: dict[str, Any] | None = None) -> float:
    """The prediction row's saliency against A * dL/dA of full autograd; a scan's W x + D x against its output."""
    items = random_items(3)
    out = adapter.forward([i.row for i in items], trace=True)
    grads = gradients(target_loss(out.logits, [i.target[0] for i in items]).sum(), out.traces)
    attention = [(t, g) for t, g in zip(out.traces, grads, strict=True) if t.mixer.kind == "attention"]
    errors = []
    oracle = _returned(model_type, items, config) if attention else []
    if len(oracle) != len(attention):
        raise OracleError(f"{len(attention)} calls of attention, {len(oracle)} matrices returned by the model")
    for (trace, gradient), theirs in zip(attention, oracle, strict=True):
        row = theirs[:, :, -1]
        ours = row_flow(trace, gradient, gradient.shape[2] - 1)
        errors.append(_row_error(ours, row))
    for trace in (t for t in out.traces if t.mixer.kind == "ssd"):
        rebuilt = trace.weights(slice(None)) @ trace.values + trace.skip[:, None, None] * trace.values
        output = trace.output.detach()
        errors.append(float((rebuilt - output).abs().max() / output.abs().max()))
    return max(errors)


def heads_rounding(model_type: str, config: dict[str, Any] | None = None) -> float:
    """The distance of the oracle of `heads_error` from itself in doubles: what rounding alone does to such weights."""
    items = random_items(3)
    single, double = (autograd_flow(model_type, items, config, dtype) for dtype in (torch.float32, torch.float64))
    return max(_row_error(a[:, :, -1], b[:, :, -1]) for a, b in zip(single, double, strict=True) if a is not None)


def logits_rounding(model_type: str, config: dict[str, Any] | None = None) -> float:
    """The distance of the model's logits from themselves in doubles, of the largest."""
    ids = torch.tensor([i.row.ids for i in random_items(3)])
    with torch.no_grad():
        single, double = (
            tiny(model_type, config=config).to(dtype)(input_ids=ids, use_cache=False).logits[:, -1].double()
            for dtype in (torch.float32, torch.float64)
        )
    return float((single - double).abs().max() / double.abs().max())


def _row_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference of a row, of its largest entry."""
    return float(((ours - theirs).abs() / theirs.abs().amax(-1, keepdim=True)).max())


def _returned(model_type: str, items: list[SaliencyItem], config: dict[str, Any] | None) -> list[torch.Tensor]:
    try:
        return [flow for flow in autograd_flow(model_type, items, config) if flow is not None]
    except (TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise OracleError("the model returns no matrices of attention under eager") from error


def ablation_error(adapter: HFCausal, _: str) -> float:
    """Each head edited to 0 against its slice of the output projection's input set to 0, by a hook of our own."""
    rows = [random_items(1)[0].row]
    heads = adapter.info.n_heads
    edited = adapter.forward(rows * heads, edit=HeadEdit(1 - torch.eye(heads))).logits
    untouched = adapter.forward(rows).logits
    assert ((edited - untouched).abs().amax(1) > 0).sum() > heads / 2, "the edits do nothing"
    by_hand = []
    seen: list[torch.nn.Module] = []
    for site in adapter._hooks._sites:
        module = site.module
        projection = next((getattr(module, n) for n in PROJECTIONS if hasattr(module, n)), None)
        if projection is None:
            raise OracleError(f"no output projection of {type(module).__name__} is known by name")
        for head in range(site.mixer.n_heads):
            width = site.mixer.d_head
            hook = _silence(slice(head * width, (head + 1) * width), call=sum(m is module for m in seen))
            handle = projection.register_forward_pre_hook(hook)
            by_hand.append(adapter.forward(rows).logits)
            handle.remove()
        seen.append(module)
    expected = torch.cat(by_hand)
    return float((edited - expected).abs().max() / expected.abs().max())


def _silence(part: slice, call: int) -> Callable[..., tuple[torch.Tensor, ...]]:
    """Zero a part of a projection's input in its `call`-th call (a module may serve several layers)."""
    calls = iter(range(1000))

    def hook(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        if next(calls) != call:
            return args
        changed = args[0].clone()
        changed[..., part] = 0.0
        return (changed, *args[1:])

    return hook


def lens_error(adapter: HFCausal, _: str) -> float:
    """Each layer's residual against what that layer gave, and the last one, unembedded, against the logits."""
    rows = [i.row for i in random_items(2)]
    given: list[torch.Tensor] = []
    handles = [
        layer.register_forward_hook(lambda _, __, out: given.append(out[0] if isinstance(out, tuple) else out))
        for layer in layer_list(adapter.model)
    ]
    numbers = range(1, adapter.info.n_layers + 1)
    out = adapter.forward(rows, hidden=list(numbers))
    for handle in handles:
        handle.remove()
    errors = [
        float((out.hidden[n] - state).abs().max() / state.abs().max()) for n, state in zip(numbers, given, strict=True)
    ]
    with torch.no_grad():
        read = adapter.unembed(out.hidden[adapter.info.n_layers][:, -1], normed=False)
    return max(*errors, float((read - out.logits).abs().max() / out.logits.abs().max()))


def sweep_error(adapter: HFCausal, _: str) -> float:
    """The sweep, which enters at the edited layer, against one whole edited pass for each head."""
    items = random_items(2, length=9)
    heads = adapter.info.n_heads
    errors = []
    for positions in ("last", "all"):
        swept = sweep_heads(adapter, items, positions=positions)
        for item, effects in zip(items, swept, strict=True):
            before = adapter.forward([item.row]).logits.log_softmax(-1)[0, item.target[0]]
            edit = HeadEdit(1 - torch.eye(heads), None, positions)
            after = adapter.forward([item.row] * heads, edit=edit).logits.log_softmax(-1)[:, item.target[0]]
            size = float(-after.min())
            errors.append(float(np.abs(effects - (before - after).double().numpy()).max()) / size)
    return max(errors)


def refusals(adapter: HFCausal, lacks: frozenset[str]) -> list[str]:
    """The sentences with which an adapter refuses what it lacks."""
    said = []
    rows = [random_items(1)[0].row]
    asked: dict[str, Callable[[], object]] = {
        "heads": lambda: adapter.forward(rows, trace=True),
        "ablation": lambda: adapter.forward(rows, edit=HeadEdit(torch.zeros(1, 1))),
        "lens": lambda: adapter.forward(rows, hidden=[1]),
        "sweep": lambda: sweep_heads(adapter, random_items(1)),
    }
    for column in sorted(lacks & asked.keys()):
        try:
            asked[column]()
        except UnsupportedModelError as error:
            said.append(str(error))
        else:
            raise AssertionError(f"{column} is missing, but was not refused")
    return said
