"""What can be measured on a model, tried out on one prompt of a testbed: behaviour, heads, ablation, lens."""

from __future__ import annotations

from typing import NamedTuple

import torch

from groundbench.adapter import Adapter, Encoded, HeadEdit
from groundbench.contexts import Contexts, build_contexts
from groundbench.testbed import EnvForm, Testbed

UNCHANGED = 1e-3
"""Largest change of a logit (relative to the largest logit) by an edit that multiplies every head by 1."""


class Ability(NamedTuple):
    """One kind of measurement: whether it works on this model, and what was found, or why not."""

    name: str
    works: bool
    detail: str


def find_abilities(adapter: Adapter, testbed: Testbed, form: EnvForm) -> list[Ability]:
    """Try each kind of measurement on the testbed's longest context.

    Raises:
        BadInputError: a prompt or target of the testbed cannot be encoded, so nothing can be measured.
    """
    contexts = build_contexts(adapter, testbed, form)
    row = max(contexts.rows, key=len)
    logits = adapter.forward([row]).logits
    return [
        _behaviour(adapter, contexts, row, logits),
        _prefix(adapter),
        _heads(adapter, row),
        _ablation(adapter, row, logits),
        _lens(adapter, row, logits),
    ]


def _behaviour(adapter: Adapter, contexts: Contexts, row: Encoded, logits: torch.Tensor) -> Ability:
    if not torch.isfinite(logits).all():
        return Ability("behaviour", False, "the logits are not finite")
    targets = {target for after in contexts.targets for target in after}
    several = sum(len(target) > 1 for target in targets)
    limit = adapter.info.max_length
    detail = (
        f"contexts of up to {len(row)} tokens (it takes {limit:,}); {several} of {len(targets)} targets have several"
    )
    return Ability("behaviour", True, f"{detail}; BOS {adapter.info.bos}")


def _prefix(adapter: Adapter) -> Ability:
    if "prefix" in adapter.info.capabilities:
        return Ability("shared prefix", True, "contexts that begin alike share their cache")
    return Ability("shared prefix", False, "every context is run whole")


def _heads(adapter: Adapter, row: Encoded) -> Ability:
    if "tap" not in adapter.info.capabilities:
        return Ability("heads", False, "; ".join(adapter.info.notes) or "it has no heads: their results are null")
    traces = adapter.forward([row], trace=True).traces
    kinds = sorted({t.mixer.kind for t in traces})
    layers = len({t.mixer.layer for t in traces})
    return Ability("heads", True, f"{adapter.info.n_heads} heads in {layers} layers ({', '.join(kinds)})")


def _ablation(adapter: Adapter, row: Encoded, logits: torch.Tensor) -> Ability:
    if "tap" not in adapter.info.capabilities:
        return Ability("ablation", False, "heads cannot be edited")
    scale = torch.ones(1, adapter.info.n_heads, device=logits.device)
    same = _change(adapter, row, logits, scale)
    if same > UNCHANGED:
        return Ability("ablation", False, f"multiplying every head by 1 moves the logits by {same:.1e}")
    cut = _change(adapter, row, logits, torch.zeros_like(scale))
    return Ability(
        "ablation", cut > same, f"cutting all heads moves the logits by {cut:.2f} of the largest, none: {same:.0e}"
    )


def _change(adapter: Adapter, row: Encoded, logits: torch.Tensor, scale: torch.Tensor) -> float:
    edited = adapter.forward([row], edit=HeadEdit(scale)).logits
    return float((edited - logits).abs().max() / logits.abs().max())


def _lens(adapter: Adapter, row: Encoded, logits: torch.Tensor) -> Ability:
    if "hidden" not in adapter.info.capabilities:
        return Ability("lens", False, "its hidden states cannot be read out")
    last = adapter.info.n_layers
    hidden = adapter.forward([row], hidden=[last]).hidden[last][:, -1]
    with torch.no_grad():
        read = adapter.unembed(hidden, normed=False).float()
    gap = float((read - logits).abs().max() / logits.abs().max())
    return Ability("lens", gap < UNCHANGED, f"{last} layers; the last one read out differs from the model by {gap:.0e}")
