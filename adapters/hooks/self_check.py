"""Checks before a head is read: the hooks see every mixer, and see what the model computes."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from groundbench.adapters.hooks.discovery import Candidates
from groundbench.adapters.hooks.session import Session
from groundbench.api.adapter import Trace
from groundbench.api.errors import UnsupportedModelError

# Relative to the largest entry: logits hooked against unhooked, and weights x values against the mixer's output.
LOGITS_FP32, OUTPUT_FP32 = 1e-4, 1e-5
LOGITS_HALF, OUTPUT_HALF = 5e-2, 2e-2
# Rows of weights that sum to 1; a family that rounds its own weights to half precision sums to a little more or less.
ROWS_FP32, ROWS_HALF = 1e-4, 1e-2


def check(model: PreTrainedModel, found: Candidates, session: Session, unhooked: Tensor, hooked: Tensor) -> None:
    """Compare one traced call with an untouched one.

    Raises:
        UnsupportedModelError: a mixer was not seen; rows do not sum to 1 (more than 1 with sinks); weight above the
            diagonal; weights x values (+ D x) are not the output; the logits differ. Names the model type.
    """
    family = model.config.model_type
    missed = _missed_mixer(found, session)
    if missed:
        raise UnsupportedModelError(
            f"{family}: the heads of {missed} cannot be read: it does not call transformers' attention interface"
        )
    full = model.dtype == torch.float32
    if not torch.isfinite(hooked).all():
        raise UnsupportedModelError(f"{family}: the hooked model returned NaN or infinite logits")
    gap = _relative(hooked, unhooked)
    if gap > (LOGITS_FP32 if full else LOGITS_HALF):
        raise UnsupportedModelError(f"{family}: hooked logits differ from unhooked ones by {gap:.1e} of the largest")
    if len(session.traces) != len(session.sites):
        raise UnsupportedModelError(
            f"{family}: {len(session.sites)} mixers were called, {len(session.traces)} were traced"
        )
    for trace in session.traces:
        fault = _fault(trace, *((OUTPUT_FP32, ROWS_FP32) if full else (OUTPUT_HALF, ROWS_HALF)))
        if fault:
            raise UnsupportedModelError(f"{family}, layer {trace.mixer.layer} ({trace.mixer.kind}): {fault}")


def _missed_mixer(found: Candidates, session: Session) -> str | None:
    """Return the class of a mixer that was not seen: neither itself, nor a part of it, nor what it is a part of."""
    fired = {id(s.module) for s in session.sites}
    inside = {id(part) for s in session.sites for part in s.module.modules()}
    for module in (*found.attention, *found.ssd):
        if id(module) not in inside and not any(id(part) in fired for part in module.modules()):
            return type(module).__name__
    return None


@torch.no_grad()
def _fault(trace: Trace, tolerance: float, row_tolerance: float) -> str | None:
    weights = trace.weights(slice(None))
    length = weights.shape[-1]
    above = torch.ones(length, length, dtype=torch.bool, device=weights.device).triu(1)
    if not torch.isfinite(weights).all():
        return "its weights are not finite"
    if weights.masked_select(above).abs().max().item() > 0:
        return "it has weights above the diagonal: no causal mask is applied"
    if trace.mixer.kind == "attention":
        sums = weights.sum(-1)
        if (sums - 1).max() > row_tolerance or (not trace.sinks and (1 - sums).max() > row_tolerance):
            return f"its weights' rows sum to {sums.min():.4f} to {sums.max():.4f}, expected 1"
    rebuilt = weights @ trace.values.float()
    if trace.skip is not None:
        rebuilt = rebuilt + trace.skip[:, None, None] * trace.values.float()
    gap = _relative(rebuilt, trace.output.detach())
    if gap > tolerance:
        return f"weights x values differ from its output by {gap:.1e} of the largest entry"
    return None


def _relative(a: Tensor, b: Tensor) -> float:
    a, b = a.float(), b.float()
    scale = b.abs().max().clamp(min=1e-12)
    return float(((a - b).abs().max() / scale).item())
