"""The part of a result on an image form: where in the image the heads read, and the patch swap (§10, §14 B).

Unmeasured is null, never 0. A patch is an image token whose place in the image is known.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from groundbench.results.base import Record


class PatchReading(Record):
    """The saliency of the prediction row on the patches of the object's box and on those outside it.

    `inside`, `outside` and `null` are per patch, over the mean patch of the same image: 1 is what a head has that
    reads everywhere alike. All are means over nouns; intervals: bootstrap over nouns.

    Attributes:
        heads: `all`, or those detected in at least half of the items of the other half of nouns and frames.
        n_heads: of the list, mean over the items; `n_items`: items of which something is measured.
        share: the box's part of the saliency on the image; `expected`: its part of the image's patches.
        null: of an equal-shaped box elsewhere in the image.
        ratio: inside over outside; null where outside cannot be told from 0.
    """

    heads: Literal["all", "crossfit"]
    n_heads: float | None = None
    n_items: int = Field(ge=0)
    share: float | None = None
    share_ci_low: float | None = None
    share_ci_high: float | None = None
    expected: float | None = None
    inside: float | None = None
    inside_ci_low: float | None = None
    inside_ci_high: float | None = None
    outside: float | None = None
    outside_ci_low: float | None = None
    outside_ci_high: float | None = None
    null: float | None = None
    null_ci_low: float | None = None
    null_ci_high: float | None = None
    ratio: float | None = None
    ratio_ci_low: float | None = None
    ratio_ci_high: float | None = None


class SwapRecord(Record):
    """The gain after the box's patches of the matched and of the mismatched image changed places, in nats.

    What the model knows of the noun from these patches alone goes with them: the gain then turns to its negative.

    Attributes:
        rings: how many rings of patches around the box changed places with it; 0, none.
        whole: every patch did: the limit of many rings, where the gain must turn to its negative exactly.
        share: the part of the image's patches that changed places, mean over pairs.
        n_items: a seeded sample of items, each with `mismatches` seeded other nouns.
        n_left_out: pairs of images whose patches do not stand in the same places.
        gain: of the same pairs untouched; `gain_swapped`: with the patches swapped. Means over nouns.
        ratio: gain_swapped / gain: -1 is a gain that goes with the patches, 1 one that does not depend on them; null
            where the gain's interval touches 0.
    """

    rings: int = Field(default=0, ge=0)
    whole: bool = False
    share: float | None = Field(default=None, ge=0, le=1)
    n_items: int = Field(ge=0)
    mismatches: int = Field(ge=0)
    n_left_out: int = Field(default=0, ge=0)
    gain: float | None = None
    gain_ci_low: float | None = None
    gain_ci_high: float | None = None
    gain_swapped: float | None = None
    gain_swapped_ci_low: float | None = None
    gain_swapped_ci_high: float | None = None
    ratio: float | None = None
    ratio_ci_low: float | None = None
    ratio_ci_high: float | None = None

    @property
    def region(self) -> str:
        """The swapped region, in words."""
        if self.whole:
            return "the whole image"
        rings = {0: "", 1: " and a ring of patches around it"}
        return "the box" + rings.get(self.rings, f" and {self.rings} rings around it")


class ImageRecord(Record):
    """The image's part in one image form.

    Attributes:
        hash: of the form's prompts and images.
        n_patches: of a prompt's images, mean over items; `n_box`: of them those that the object's box touches.
        rows, columns: the grid of patches; null where a prompt has several, or not all prompts the same.
        reading: where the heads read; empty where heads were not measured or the form has no boxes.
        swap: of the box alone; `wider`: of the box with rings of patches around it and of the whole image, on the
            same pairs; empty where that was not asked for or the form has no boxes.
    """

    env_form: str
    hash: str
    n_patches: float | None = None
    n_box: float | None = None
    rows: int | None = Field(default=None, ge=1)
    columns: int | None = Field(default=None, ge=1)
    reading: tuple[PatchReading, ...] = ()
    swap: SwapRecord | None = None
    wider: tuple[SwapRecord, ...] = ()

    @property
    def swaps(self) -> tuple[SwapRecord, ...]:
        """Every swap that was made and measured, from the box to the whole image."""
        every = (self.swap, *self.wider)
        return tuple(s for s in every if s is not None and s.gain_swapped is not None)
