"""Images for a run's page: a dozen items chosen by a rule, each with the patches that the heads read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, ImageGrid
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.api.testbed import ImageSegment, Prompt
from groundbench.engine.contexts import FormContexts, matched_prompts
from groundbench.measures.gain.measure import gain_items, item_columns, noun_means
from groundbench.measures.heads.saliency import SaliencyItem, SaliencyOptions, prediction_row
from groundbench.results.image_examples import FOLDER, ImageExample, ReadMap

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

SHOWN = 12
SIDE = 224
"""Longest side of a kept image, in pixels."""
FINE = 48
"""Rows and columns of a map of several grids (tiles, or an image shown twice): they are summed on a finer one."""
QUALITY = 80
RULE = (
    "Nouns stand in order of their gain; shown are {n} at equal steps from the largest to the smallest, each in the "
    "frame of its median gain."
)


def choose_items(table: SurprisalTable, shown: int = SHOWN) -> list[tuple[int, int]]:
    """Return (noun, frame) of the items that are shown, by falling gain of the noun; see `RULE`. Nothing is drawn."""
    gains = gain_items(table).gain
    by_noun = noun_means(gains)
    order = np.argsort(-by_noun, kind="stable")
    order = order[~np.isnan(by_noun[order])]
    steps = np.unique(np.linspace(0, len(order) - 1, min(shown, len(order))).round().astype(int))
    return [(int(v), _median_frame(table, gains[v], int(v))) for v in order[steps]]


def _median_frame(table: SurprisalTable, gains: Floats, noun: int) -> int:
    """Return the frame (index) in which the noun's gain is its (lower) median."""
    own = np.flatnonzero((table.frame_nouns < 0) | (table.frame_nouns == noun))
    found = np.flatnonzero(~np.isnan(gains))
    middle = found[np.argsort(gains[found], kind="stable")[(len(found) - 1) // 2]]
    return int(own[middle])


def keep_image_examples(
    adapter: Adapter,
    contexts: FormContexts,
    table: SurprisalTable,
    items: Sequence[SaliencyItem],
    lists: dict[Literal["all", "crossfit"], Bools],
    options: SaliencyOptions,
    directory: Path,
) -> tuple[ImageExample, ...]:
    """Measure the chosen items' maps and write their images into the run directory.

    Args:
        items: every matched prompt, in order of frame and noun.
        lists: [items, heads] the heads of each map.
    """
    gains, columns = gain_items(table), item_columns(table)[0]
    index, noun = matched_prompts(contexts)
    frame = contexts.frame[index]
    kept = []
    for number, (v, f) in enumerate(choose_items(table)):
        item = int(np.flatnonzero((noun == v) & (frame == f))[0])
        row = prediction_row(adapter, items[item], options)
        prompt = contexts[index[item]].prompt
        segment = _shown_image(prompt)
        name = f"{_file_part(contexts.form.name)}-{number + 1:02d}.webp"
        _write(segment, directory / FOLDER / name)
        kept.append(
            ImageExample(
                form=contexts.form.name,
                noun=table.nouns[v],
                frame=contexts.frames[f].id,
                text=prompt.text,
                file=name,
                box=segment.box,
                matched=float(gains.matched[v, columns[f]]),
                mismatched=float(gains.mismatched[v, columns[f]]),
                gain=float(gains.gain[v, columns[f]]),
                maps=tuple(_map(name_, row, chosen[item], items[item]) for name_, chosen in lists.items()),
            )
        )
    return tuple(kept)


def rule_for(examples: Sequence[ImageExample]) -> str:
    """Say by which rule they were chosen."""
    return RULE.format(n=len(examples))


def _shown_image(prompt: Prompt) -> ImageSegment:
    """Return the image with the noun's object, or else the first."""
    images = [s for s in prompt.segments if isinstance(s, ImageSegment)]
    return next((s for s in images if s.box is not None), images[0])


def _file_part(form: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in form.lower())


def _write(segment: ImageSegment, path: Path) -> None:
    image = segment.image.load().convert("RGB")
    image.thumbnail((SIDE, SIDE))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "WEBP", quality=QUALITY)


def _map(heads: Literal["all", "crossfit"], row: npt.NDArray[np.float32], chosen: Bools, item: SaliencyItem) -> ReadMap:
    """Sum the chosen heads' saliency on each patch of the shown image."""
    boxed = [k for k, box in enumerate(item.row.boxes) if box is not None]
    image = boxed[0] if boxed else 0
    grids = [g for g in item.row.grids if g.image == image]
    flow = row[chosen].sum(0, dtype=np.float64)
    if len(grids) == 1:
        rows, columns, region = grids[0].rows, grids[0].columns, grids[0].region
        values = _patches(flow, grids[0])
    else:
        rows = columns = FINE
        region = (0.0, 0.0, 1.0, 1.0)
        values = sum((_on_fine_grid(flow, g) for g in grids), np.zeros((FINE, FINE)))
    total = values.sum()
    shares = tuple((values / total).round(6).ravel().tolist()) if total > 0 else ()
    return ReadMap(heads=heads, n_heads=int(chosen.sum()), rows=rows, columns=columns, region=region, values=shares)


def _patches(flow: Floats, grid: ImageGrid) -> Floats:
    """Return [rows, columns] of one grid."""
    begins = grid.start + grid.pitch * np.arange(grid.rows)
    return np.asarray(flow[begins[:, None] + np.arange(grid.columns)], np.float64)


def _on_fine_grid(flow: Floats, grid: ImageGrid) -> Floats:
    """Return [FINE, FINE] over the whole image: each cell has its part of the patch around its centre."""
    left, top, right, bottom = grid.region
    centre = (np.arange(FINE) + 0.5) / FINE
    across = np.floor((centre - left) / (right - left) * grid.columns).astype(int)
    down = np.floor((centre - top) / (bottom - top) * grid.rows).astype(int)
    inside = ((down >= 0) & (down < grid.rows))[:, None] & ((across >= 0) & (across < grid.columns))
    patch = np.clip(down, 0, grid.rows - 1)[:, None], np.clip(across, 0, grid.columns - 1)
    area = (right - left) * (bottom - top) / (grid.rows * grid.columns)
    return np.where(inside, _patches(flow, grid)[patch] / (area * FINE**2), 0.0)
