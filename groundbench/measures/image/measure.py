"""The picture's part in an image form: where heads read, the swap test, and pictures for the page (§10, §14 B)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine import distributed as processes
from groundbench.engine.contexts import Contexts, matched
from groundbench.engine.run_directory import RunStore
from groundbench.measures.ablation.crossfit import Subject
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.saliency import matched_items
from groundbench.measures.heads.spans import patch_positions
from groundbench.measures.image.examples import keep_pictures
from groundbench.measures.image.options import ImageOptions
from groundbench.measures.image.patch_saliency import crossfit_heads, read_patches
from groundbench.measures.image.patch_swap import BOX, WHOLE, Region, measure_swap
from groundbench.results.image import ImageRecord, SwapRecord
from groundbench.results.picture_examples import Picture
from groundbench.util.progress import Progress


@dataclass(frozen=True)
class ImageSubject:
    """One image form of a model, measured so far; `saliency` is None where heads cannot be read."""

    adapter: Adapter
    contexts: Contexts
    table: SurprisalTable
    saliency: HeadSaliency | None
    store: RunStore | None


def measure_image(subject: ImageSubject, options: ImageOptions, digest: str) -> tuple[ImageRecord, tuple[Picture, ...]]:
    """The record of an image form (`digest`: of its prompts), and the pictures kept in the run directory, if any."""
    contexts, saliency = subject.contexts, subject.saliency
    lists = _lists(subject, options.seed)
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
    return record, _pictures(subject, lists, options)


def _swap(subject: ImageSubject, options: ImageOptions, region: Region) -> SwapRecord | None:
    """The swap test of one region; None where the adapter cannot exchange patches."""
    return measure_swap(
        subject.adapter,
        subject.contexts,
        subject.table,
        items=options.items,
        region=region,
        seed=options.seed,
        batch_tokens=options.batch_tokens,
        store=subject.store,
    )


def _lists(subject: ImageSubject, seed: int) -> dict[Literal["all", "crossfit"], npt.NDArray[np.bool_]]:
    """[items, heads] the lists of heads that are looked through."""
    saliency = subject.saliency
    if saliency is None:
        return {}
    whole = Subject(subject.adapter, subject.contexts, subject.table, saliency)
    return {"all": np.ones(saliency.edge.shape, bool), "crossfit": crossfit_heads(whole, seed)}


def _shape(contexts: Contexts) -> dict[str, float | int | None]:
    """Patches of the matched prompts and of their boxes, and the grid that they all have in common."""
    rows = [contexts.rows[i] for i in matched(contexts)[0]]
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


def _pictures(
    subject: ImageSubject, lists: dict[Literal["all", "crossfit"], npt.NDArray[np.bool_]], options: ImageOptions
) -> tuple[Picture, ...]:
    """Written by the first process; none without heads, a run directory or known patches."""
    if subject.store is None or subject.saliency is None or not subject.contexts.rows[0].grids:
        return ()
    if not processes.current().first:
        return ()
    return keep_pictures(
        subject.adapter,
        subject.contexts,
        subject.table,
        matched_items(subject.contexts),
        lists,
        options.saliency,
        Path(subject.store.directory),
    )
