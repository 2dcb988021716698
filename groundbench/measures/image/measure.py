"""The image's part in an image form: where heads read, the swap test, and images for the page (§10, §14 B)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.engine import distributed
from groundbench.engine.contexts import FormContexts, matched_prompts
from groundbench.engine.subject import Subject, require_value
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.saliency import SaliencyOptions, matched_items
from groundbench.measures.heads.spans import patch_positions
from groundbench.measures.image.examples import keep_image_examples
from groundbench.measures.image.options import ImageOptions
from groundbench.measures.image.patch_saliency import crossfit_heads, read_patches
from groundbench.measures.image.patch_swap import BOX, WHOLE, Region, measure_swap
from groundbench.results.image import ImageRecord, SwapRecord
from groundbench.results.image_examples import ImageExample
from groundbench.util.progress import Progress

MapHeads = dict[Literal["all", "crossfit"], npt.NDArray[np.bool_]]


def measure(
    subject: Subject, options: ImageOptions, saliency: HeadSaliency | None, *, digest: str, maps: SaliencyOptions
) -> tuple[ImageRecord, tuple[ImageExample, ...]]:
    """Measure where heads read in an image, and what follows its patches.

    Args:
        saliency: of the matched items; None where heads cannot be read.
        digest: of the form's prompts.
        maps: how the saliency of the kept images is measured.

    Returns:
        The record of the image form, and the images kept in the run directory, if any.
    """
    contexts = subject.contexts
    lists = _lists(subject, saliency)
    reading = [] if saliency is None else [read_patches(saliency, h, n) for n, h in lists.items()]
    wider: list[SwapRecord | None] = []
    with Progress(f"{subject.adapter.info.name}: swap test of {contexts.form.name}", 0):
        swap = _swap(subject, options, BOX)
        if options.swap_rings and any(box is not None for row in contexts.rows for box in row.boxes):
            wider = [_swap(subject, options, Region(rings)) for rings in options.swap_rings]
            wider.append(_swap(subject, options, WHOLE))
    record = ImageRecord(
        env_form=contexts.form.name,
        hash=digest,
        **_shape(contexts),
        reading=tuple(r for r in reading if r),
        swap=swap,
        wider=tuple(s for s in wider if s is not None),
    )
    return record, _examples(subject, lists, maps)


def _swap(subject: Subject, options: ImageOptions, region: Region) -> SwapRecord | None:
    """Return the swap test of one region; None where the adapter cannot swap patches."""
    return measure_swap(
        subject.adapter,
        subject.contexts,
        subject.table,
        items=require_value(options.items, "items"),
        region=region,
        seed=subject.seed,
        batch_tokens=subject.batch_tokens,
        store=subject.store,
    )


def _lists(subject: Subject, saliency: HeadSaliency | None) -> MapHeads:
    """Return [items, heads] the lists of heads that are looked through."""
    if saliency is None:
        return {}
    return {"all": np.ones(saliency.edge.shape, bool), "crossfit": crossfit_heads(subject, saliency)}


def _shape(contexts: FormContexts) -> dict[str, float | int | None]:
    """Patches of the matched prompts and of their boxes, and the grid that they all have in common."""
    rows = [contexts.rows[i] for i in matched_prompts(contexts)[0]]
    patches = [set(patch_positions(r)) for r in rows]
    if not all(patches):
        return {}
    grids = {(g.rows, g.columns) for r in rows for g in r.grids}
    one = grids.pop() if len(grids) == 1 and all(len(r.grids) == 1 for r in rows) else (None, None)
    return {
        "n_patches": float(np.mean([len(p) for p in patches])),
        "n_box": float(np.mean([len(p & set(r.env_positions)) for p, r in zip(patches, rows, strict=True)])),
        "rows": one[0],
        "columns": one[1],
    }


def _examples(subject: Subject, lists: MapHeads, maps: SaliencyOptions) -> tuple[ImageExample, ...]:
    """Written by the first process; none without heads, a run directory or known patches."""
    if subject.store is None or not lists or not subject.contexts.rows[0].grids:
        return ()
    if not distributed.current().first:
        return ()
    return keep_image_examples(
        subject.adapter,
        subject.contexts,
        subject.table,
        matched_items(subject.contexts),
        lists,
        maps,
        Path(subject.store.directory),
    )
