"""The options of the measure `image`."""

from __future__ import annotations

from dataclasses import dataclass

from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.measures.heads.saliency import SaliencyOptions


@dataclass(frozen=True)
class ImageOptions:
    """How the measure `image` is run, with every default resolved.

    Attributes:
        saliency: how the saliency of the kept images is measured.
        swap_rings: also exchange the object's box with so many rings of patches around it, for each of these numbers.
        items: items of the swap test.
    """

    saliency: SaliencyOptions
    swap_rings: tuple[int, ...] = ()
    items: int = 200
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS
