"""Every column of the matrix of vision-language models, each against a plain call of the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from groundbench.adapters.vlm.adapter import VisionLanguage
from groundbench.engine.contexts import FormContexts, build_contexts
from groundbench.engine.scoring import score
from groundbench.measures.heads.saliency_flow import gradients, row_flow, target_loss
from helpers.image_bed import COLOURS, ImageBed, Square
from helpers.plain_calls import adapter_of, eager_flow, log_probability, planted, prompt, without_mixing

VISION_COLUMNS = ("images", "cache", "heads", "box")
VISION_TOLERANCE = {"images": 5e-6, "cache": 5e-6, "heads": 2e-5, "box": 0.0}


def vision_checked(model_type: str) -> dict[str, float]:
    """For each column the largest error against its oracle; of `box`, the part of the bright patches outside."""
    adapter = adapter_of(model_type)
    assert adapter.encoder.fault is None, adapter.encoder.fault
    bed = ImageBed(frames=2, targets=2)
    contexts = build_contexts(adapter, bed, bed.form("image"))
    table = score(adapter, contexts).surprisal
    expected = [
        -log_probability(model_type, adapter, Square(COLOURS[u]), " " + bed._frames[f].template, bed.target(noun))
        for u, f in zip(contexts.env, contexts.frame, strict=True)
        for noun in bed.nouns
    ]
    return {
        "images": float(np.abs(table - expected).max() / np.max(expected)),
        "cache": float(np.abs(table - _unshared(adapter, contexts)).max() / table.max()),
        "heads": heads_error(model_type),
        "box": part_outside(model_type),
    }


def _unshared(adapter: VisionLanguage, contexts: FormContexts) -> np.ndarray:
    info = adapter.info
    adapter.info = replace(info, capabilities=info.capabilities - {"prefix"})
    try:
        return score(adapter, contexts).surprisal
    finally:
        adapter.info = info


def heads_error(model_type: str) -> float:
    """The prediction row's saliency against A * dL/dA of eager attention, of the row's largest entry."""
    adapter, picture = adapter_of(model_type), Square(COLOURS[0])
    out = adapter.forward(adapter.encode([prompt(picture)]), trace=True)
    grads = gradients(target_loss(out.logits, [60]).sum(), out.traces)
    errors = []
    for trace, gradient, theirs in zip(out.traces, grads, eager_flow(model_type, picture, 60), strict=True):
        wanted = theirs[:, -1]
        found = row_flow(trace, gradient, gradient.shape[2] - 1)[0]
        errors.append(float((found - wanted).abs().max() / wanted.abs().max()))
    return max(errors)


def part_outside(model_type: str) -> float:
    """Of the patches that a planted square changes, the part outside of those that its box is said to touch."""
    adapter = without_mixing(model_type)
    row, change = planted(adapter, Square((255, 255, 255), (0.55, 0.3, 0.7, 0.45), (160, 96)))
    placeholders = [i for i, t in enumerate(row.ids) if t == adapter.placeholder]
    moved = {placeholders[i] for i in (change > 0.3 * change.max()).nonzero()[:, 0].tolist()}
    assert moved
    assert len(row.env_positions) < len(placeholders) / 2
    return len(moved - set(row.env_positions)) / len(moved)
