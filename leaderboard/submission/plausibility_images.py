"""Can what a result says of its images have been measured? See `groundbench.leaderboard.submission.plausibility`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from groundbench.leaderboard.submission.bounds import interval_faults, is_near
from groundbench.results.image import ImageRecord, PatchReading, SwapRecord
from groundbench.results.run import ModelRecord

HASH = re.compile(r"[0-9a-f]{16}")


def image_faults(image: ImageRecord, model: ModelRecord, n_items: int | None) -> Iterator[str]:
    """Yield what cannot be so, as clauses. `n_items`: of the form, None where it is not known."""
    if not HASH.fullmatch(image.hash):
        yield f"hash is {image.hash[:40]!a}; expected 16 hexadecimal digits"
    if image.n_box is not None and image.n_patches is not None and image.n_box > image.n_patches:
        yield f"n_box is {image.n_box:g}, but an image has {image.n_patches:g} patches"
    if image.rows and image.columns and not is_near(image.rows * image.columns, image.n_patches or 0.0, 1e-6):
        yield f"n_patches is {image.n_patches}, but the grid has {image.rows} x {image.columns}"
    if len({r.heads for r in image.reading}) != len(image.reading):
        yield "reading names a list of heads twice"
    total = sum(m.n_heads for m in model.mixers)
    for i, reading in enumerate(image.reading):
        yield from (f"reading[{i}].{f}" for f in _reading(reading, total, n_items))
    if image.swap is not None:
        yield from (f"swap.{f}" for f in _swap(image.swap, n_items))
        if image.swap.rings or image.swap.whole:
            yield "swap is of more than the box; expected it among wider"
    regions = [(s.rings, s.whole) for s in image.wider]
    if len({*regions, (0, False)}) <= len(regions):
        yield "wider names a region twice, or the box alone"
    for i, swap in enumerate(image.wider):
        yield from (f"wider[{i}].{f}" for f in _swap(swap, n_items))


def _reading(r: PatchReading, total: int, n_items: int | None) -> Iterator[str]:
    if r.n_heads is not None and not 0 <= r.n_heads <= total:
        yield f"n_heads is {r.n_heads:g}; the model has {total} heads"
    if n_items is not None and r.n_items > n_items:
        yield f"n_items is {r.n_items}; the form has {n_items} items"
    for name in ("share", "expected"):
        value = getattr(r, name)
        if value is not None and not 0 <= value <= 1:
            yield f"{name} is {value:g}; a share lies between 0 and 1"
    for name in ("inside", "outside", "null"):
        value = getattr(r, name)
        if value is not None and value < 0:
            yield f"{name} is {value:g}; saliency without sign is never negative"
    for name in ("share", "inside", "outside", "null", "ratio"):
        yield from interval_faults(name, getattr(r, name), getattr(r, f"{name}_ci_low"), getattr(r, f"{name}_ci_high"))
    if None not in (r.ratio, r.inside, r.outside) and r.outside:
        expected = (r.inside or 0.0) / r.outside
        if not is_near(r.ratio or 0.0, expected, 0.01 + 0.01 * abs(expected)):
            yield f"ratio is {r.ratio:g}, but inside / outside is {expected:g}"


def _swap(s: SwapRecord, n_items: int | None) -> Iterator[str]:
    if n_items is not None and s.n_items > n_items:
        yield f"n_items is {s.n_items}; the form has {n_items} items"
    for name in ("gain", "gain_swapped", "ratio"):
        yield from interval_faults(name, getattr(s, name), getattr(s, f"{name}_ci_low"), getattr(s, f"{name}_ci_high"))
    if None not in (s.ratio, s.gain, s.gain_swapped) and s.gain:
        expected = (s.gain_swapped or 0.0) / s.gain
        if not is_near(s.ratio or 0.0, expected, 0.01 + 0.01 * abs(expected)):
            yield f"ratio is {s.ratio:g}, but gain_swapped / gain is {expected:g}"
