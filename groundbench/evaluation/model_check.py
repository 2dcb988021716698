"""A check of what can be measured on a model, on one prompt of a testbed: behaviour, heads, ablation, lens, sweep."""

from __future__ import annotations

from typing import NamedTuple

import torch

from groundbench.api.adapter import Adapter, Capability, Encoded, Estimated, HeadEdit, StartsAtLayer
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.engine.contexts import FormContexts, build_contexts
from groundbench.measures.heads.single_heads import missing_capabilities

UNCHANGED = 1e-3
"""Largest change of a logit (relative to the largest logit) by an edit that multiplies every head by 1."""
UNTRIED = "not tried (--try)"


class Ability(NamedTuple):
    """One kind of measurement: True where it works on this model, None where it was not tried; what was found, or why
    not."""

    name: str
    works: bool | None
    detail: str


def find_abilities(adapter: Adapter, testbed: Testbed, form: EnvForm) -> list[Ability]:
    """Try each kind of measurement on the testbed's longest context.

    Raises:
        BadInputError: a prompt or target of the testbed cannot be encoded, so nothing can be measured.
    """
    contexts = build_contexts(adapter, testbed, form)
    row = max(contexts.rows, key=len)
    if isinstance(adapter, Estimated):
        return _abilities_by_config(adapter, contexts, row)
    logits = adapter.forward([row]).logits
    return [
        _behaviour(adapter, contexts, row, logits),
        _prefix(adapter),
        _heads(adapter, row),
        _ablation(adapter, row, logits),
        _sweep(adapter, row, logits),
        _lens(adapter, row, logits),
    ]


def _abilities_by_config(adapter: Adapter, contexts: FormContexts, row: Encoded) -> list[Ability]:
    """Return what config, tokenizer and headers tell; all else is not tried."""
    info = adapter.info
    kinds = ", ".join(sorted({m.kind for m in info.mixers}))
    layers = len({m.layer for m in info.mixers})
    heads = f"{info.n_heads} heads in {layers} of {info.n_layers} layers ({kinds}) by its config; {UNTRIED}"
    return [
        Ability("behaviour", None, f"{_prompts(adapter, contexts, row)}; {UNTRIED}"),
        Ability("shared prefix", None, UNTRIED),
        Ability("heads", None, heads if info.mixers else f"no module of its looks like one with heads; {UNTRIED}"),
        *(Ability(name, None, UNTRIED) for name in ("ablation", "single heads", "lens")),
    ]


def _behaviour(adapter: Adapter, contexts: FormContexts, row: Encoded, logits: torch.Tensor) -> Ability:
    if not torch.isfinite(logits).all():
        return Ability("behaviour", False, "the logits are not finite")
    return Ability("behaviour", True, _prompts(adapter, contexts, row))


def _prompts(adapter: Adapter, contexts: FormContexts, row: Encoded) -> str:
    """Return how the testbed's prompts and words fit the model, from its tokenizer and its context alone."""
    targets = {target for own in contexts.target_sets for target in own.tokens}
    several = sum(len(target) > 1 for target in targets)
    limit = adapter.info.max_length
    detail = (
        f"contexts of up to {len(row)} tokens (it takes {limit:,}); {several} of {len(targets)} targets have several"
    )
    return f"{detail}; {_bos_note(adapter.info.bos)}"


def _bos_note(bos: str) -> str:
    return f"BOS {bos}" if bos in ("added", "none") else f"every context begins with {bos}"


def _prefix(adapter: Adapter) -> Ability:
    if "prefix" in adapter.info.capabilities:
        return Ability("shared prefix", True, f"contexts that begin alike share their cache{_reach(adapter)}")
    return Ability("shared prefix", False, f"every context is run whole: {adapter.info.why_not('prefix')}")


def _reach(adapter: Adapter) -> str:
    """Up to which length a cache is used, and why not beyond."""
    longest, why = adapter.info.cached_up_to, adapter.info.cached_why or "it was not tried beyond"
    return "" if longest is None else f"; those of more than {longest:,} tokens are run whole: {why}"


def _heads(adapter: Adapter, row: Encoded) -> Ability:
    if "hooks" not in adapter.info.capabilities:
        return Ability("heads", False, f"their results are null: {adapter.info.why_not('hooks')}")
    traces = adapter.forward([row], trace=True).traces
    kinds = sorted({t.mixer.kind for t in traces})
    layers = len({t.mixer.layer for t in traces})
    found = f"{adapter.info.n_heads} heads in {layers} of {adapter.info.n_layers} layers ({', '.join(kinds)})"
    return Ability("heads", True, "; ".join((found, *adapter.info.notes)))


def _ablation(adapter: Adapter, row: Encoded, logits: torch.Tensor) -> Ability:
    if not adapter.info.can_edit:
        lacks: Capability = "edit" if "hooks" in adapter.info.capabilities else "hooks"
        return Ability("ablation", False, f"heads cannot be edited: {adapter.info.why_not(lacks)}")
    scale = torch.ones(1, adapter.info.n_heads, device=logits.device)
    same = _change(adapter, row, logits, scale)
    if same > UNCHANGED:
        return Ability("ablation", False, f"multiplying every head by 1 moves the logits by {same:.1e}")
    cut = _change(adapter, row, logits, torch.zeros_like(scale))
    return Ability(
        "ablation", cut > same, f"cutting all heads moves the logits by {cut:.2f} of the largest, none: {same:.0e}"
    )


def _sweep(adapter: Adapter, row: Encoded, logits: torch.Tensor) -> Ability:
    """Sweep single heads from the edited layer on: here from the middle one, with nothing edited."""
    missing = missing_capabilities(adapter.info)
    if missing or not isinstance(adapter, StartsAtLayer):
        why = adapter.info.why_not(missing[0] if missing else "start_at_layer")
        return Ability("single heads", False, f"what each head does alone is null: {why}")
    layer = 1 + adapter.info.n_layers // 2
    residual = adapter.forward([row], hidden=[layer - 1]).hidden[layer - 1]
    gap = _relative(adapter.start_at_layer([row], residual, layer, prefix=None, edit=None), logits)
    return Ability("single heads", gap < UNCHANGED, f"going on from layer {layer} differs from the model by {gap:.0e}")


def _change(adapter: Adapter, row: Encoded, logits: torch.Tensor, scale: torch.Tensor) -> float:
    edited = adapter.forward([row], edit=HeadEdit(scale)).logits
    return _relative(edited, logits)


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def _lens(adapter: Adapter, row: Encoded, logits: torch.Tensor) -> Ability:
    if "hidden" not in adapter.info.capabilities:
        return Ability("lens", False, f"its hidden states cannot be read out: {adapter.info.why_not('hidden')}")
    last = adapter.info.n_layers
    hidden = adapter.forward([row], hidden=[last]).hidden[last][:, -1]
    with torch.no_grad():
        read = adapter.unembed(hidden, normed=False).float()
    gap = _relative(read, logits)
    return Ability("lens", gap < UNCHANGED, f"{last} layers; the last one read out differs from the model by {gap:.0e}")
