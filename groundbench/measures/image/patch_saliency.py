"""Saliency of heads per patch inside the object's box against outside it (protocol §10)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.engine.subject import Subject
from groundbench.measures.ablation.crossfit import crossfit_lists, item_places
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import headline_rule
from groundbench.results.base import flat
from groundbench.results.image import PatchReading
from groundbench.stats.significance import clustered_interval, clustered_ratio, items_table

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def crossfit_heads(subject: Subject, saliency: HeadSaliency) -> Bools:
    """[items, heads] by the headline's rule: for each item the heads detected in at least half of the items of the
    other half of nouns and frames, so that no item chooses the heads that it is looked at through."""
    cells, lists = crossfit_lists(subject, saliency, headline_rule(saliency))
    item_noun, item_frame = item_places(subject.contexts, saliency)
    chosen = np.zeros(saliency.edge.shape, bool)
    for cell, heads in zip(cells, lists, strict=True):
        chosen[np.isin(item_noun, cell.nouns) & np.isin(item_frame, cell.frames)] = heads
    return chosen


def patch_counts(saliency: HeadSaliency) -> tuple[Floats, Floats] | None:
    """Return [items] patches in the object's box, and in the whole image; None where they are not known."""
    if saliency.image_span is None or not saliency.image_span.any():
        return None
    return saliency.span.min(1).astype(np.float64), saliency.image_span.min(1).astype(np.float64)


def read_patches(saliency: HeadSaliency, chosen: Bools, heads: Literal["all", "crossfit"]) -> PatchReading | None:
    """Compare the saliency of the chosen heads [items, heads] inside and outside the box.

    None where no patch lies outside a box (a form whose ENV is the whole image), or patches are not known.
    """
    counts = patch_counts(saliency)
    if counts is None or saliency.image_edge is None or not (counts[0] < counts[1]).any():
        return None
    inside, outside, null, share, expected = _per_patch(saliency, chosen, *counts)
    measured = ~np.isnan(share)
    named = {"inside": inside, "outside": outside, "null": null, "share": share}
    by = {name: items_table(values, saliency.nouns, saliency.frames) for name, values in named.items()}
    found = {name: clustered_interval(values) for name, values in by.items()}
    found["ratio"] = clustered_ratio(by["inside"], by["outside"])
    return PatchReading(
        heads=heads,
        n_heads=float(chosen.sum(1).mean()),
        n_items=int(measured.sum()),
        expected=float(expected[measured].mean()) if measured.any() else None,
        **{field: number for name, e in found.items() for field, number in flat(name, e).items()},
    )


def _per_patch(saliency: HeadSaliency, chosen: Bools, in_box: Floats, in_all: Floats) -> tuple[Floats, ...]:
    """Return [items] inside, outside and null over the mean patch, the box's share, and its part of the patches."""
    assert saliency.image_edge is not None
    box, image = ((values * chosen).sum(1, dtype=np.float64) for values in (saliency.edge, saliency.image_edge))
    null = np.where(chosen, saliency.null_edge, 0.0).sum(1, dtype=np.float64)
    expected = in_box / np.where(in_box < in_all, in_all, np.nan)
    share = np.divide(box, image, out=np.full_like(box, np.nan), where=image > 0)
    share = np.where(np.isnan(expected), np.nan, share)
    null_share = np.divide(null, image, out=np.full_like(box, np.nan), where=image > 0)
    return share / expected, (1 - share) / (1 - expected), null_share / expected, share, expected
