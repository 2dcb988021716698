"""Claims about models that see images: those of the paper that apply, and ours on the patches (§14 B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from groundbench.results.image import PatchReading, SwapRecord
from groundbench.results.trajectory import TrajectoryPoint
from groundbench.stats.significance import Estimate
from groundbench.studies.paper import evidence as ev
from groundbench.studies.paper.claims import CRITERIA, Criterion, decide, null_claim
from groundbench.studies.paper.measure import Measured
from groundbench.studies.paper.verdict import Claim, Verdict, all_of, verdict_at

SHARED = ("emerges", "grows", "heads-rise", "middle", "ablation-item", "ablation", "ablation-grows", "gather", "lens")
"""Criteria of the text models that are asked of these too; a corpus of images has no co-occurrence counts."""

NULL = "Trained on images of other dialogues, the model does not ground"


def claims_on_images(runs: Sequence[Measured]) -> list[Claim]:
    """Return a verdict on every claim, for every model that sees images and for their nulls."""
    main = [m for m in runs if m.run.kind == "vlm" and not m.run.shuffled]
    nulls = [m for m in runs if m.run.kind == "vlm" and m.run.shuffled]
    return [decide(c, m) for m in main for c in IMAGE_CRITERIA] + [null_claim(m, main, NULL) for m in nulls]


def patch_reading(point: TrajectoryPoint, heads: Literal["all", "crossfit"] = "all") -> PatchReading | None:
    """Return where these heads read in the images; None where that was not measured."""
    image = point.result.image
    return next((r for r in image.reading if r.heads == heads), None) if image else None


def swap(point: TrajectoryPoint) -> SwapRecord | None:
    """Return the swap test; None where it was not made."""
    return point.result.image.swap if point.result.image else None


def ratio(heads: Literal["all", "crossfit"] = "all") -> ev.ReadInterval:
    """Return a reader: saliency on a patch of the object's box over that on a patch outside it."""

    def read(point: TrajectoryPoint) -> Estimate | None:
        r = patch_reading(point, heads)
        return None if r is None else Estimate(r.ratio, r.ratio_ci_low, r.ratio_ci_high, r.n_items)

    return read


def swap_interval(name: Literal["gain", "gain_swapped", "ratio"]) -> ev.ReadInterval:
    """Return a reader of one number of the swap test with its interval."""

    def read(point: TrajectoryPoint) -> Estimate | None:
        s = swap(point)
        if s is None:
            return None
        low, high = getattr(s, f"{name}_ci_low"), getattr(s, f"{name}_ci_high")
        return Estimate(getattr(s, name), low, high, s.n_items)

    return read


def box_excess(point: TrajectoryPoint) -> Estimate | None:
    """Return saliency on a patch of the object's box minus that on one of an equal box elsewhere, in mean patches.

    Its ends are those of the two intervals that lie farthest apart.
    """
    r = patch_reading(point)
    if r is None or r.inside is None or r.null is None:
        return None
    ends = (r.inside_ci_low, r.null_ci_high, r.inside_ci_high, r.null_ci_low)
    low, other_high, high, other_low = ends
    if low is None or other_high is None or high is None or other_low is None:
        return Estimate(r.inside - r.null, None, None, r.n_items)
    return Estimate(r.inside - r.null, low - other_high, high - other_low, r.n_items)


def last_seen(measured: Measured) -> int | None:
    """Return the last step at which anything was measured of the images."""
    return ev.last_with(measured, lambda point: point.result.image)


def at_step(measured: Measured, read: ev.ReadInterval, step: int | None) -> str:
    """Return a number at a step, as a sentence says it."""
    found = ev.interval_at(measured, read, step)
    return "not measured" if found is None else ev.text(found)


def _reads_object(measured: Measured) -> tuple[Verdict, str]:
    step = last_seen(measured)
    inside, more = (ev.interval_at(measured, read, step) for read in (ratio(), box_excess))
    if inside is None or more is None:
        return "not testable", "where heads read in the image was not measured in every seed at the last checkpoint"
    why = (
        f"at step {step} a patch of the object's box has {ev.text(inside)} times the saliency of one outside it "
        f"(through cross-fitted heads alone {at_step(measured, ratio('crossfit'), step)}), and {ev.text(more)} mean "
        f"patches more than one of an equal box elsewhere{ev.over_nouns(measured)}"
    )
    return all_of(verdict_at(inside, 1.0), verdict_at(more)), why


def _goes_with_patches(measured: Measured) -> tuple[Verdict, str]:
    step = last_seen(measured)
    left = ev.interval_at(measured, swap_interval("ratio"), step)
    if left is None:
        return "not testable", (
            "at the last checkpoint patches were not swapped in every seed, or the sample of items has no gain"
        )
    verdict = verdict_at(left, 0.0, "not reproduced")
    told = {
        "reproduced": "it turns over",
        "not reproduced": f"{left.value or 0.0:.0%} of it is left",
        "not testable": "whether it turns over cannot be told",
    }
    why = (
        f"at step {step} the gain is {at_step(measured, swap_interval('gain'), step)} before and "
        f"{at_step(measured, swap_interval('gain_swapped'), step)} after the patches were swapped, {ev.text(left)} of "
        f"what it was: {told[verdict]}{ev.over_nouns(measured)}"
    )
    return verdict, why


def _shared_criterion(name: str) -> Criterion:
    return next(c for c in CRITERIA if c.id == name)


IMAGE_CRITERIA: tuple[Criterion, ...] = (
    *map(_shared_criterion, SHARED),
    Criterion(
        "reads-object",
        "Heads read the object's patches more than others",
        "saliency per patch, all heads together: inside over outside the object's box has its interval above 1, and "
        "inside minus an equal box elsewhere above 0",
        _reads_object,
        of_gain=True,
    ),
    Criterion(
        "goes-with-patches",
        "The gain goes with the object's patches",
        "patches of the object's box change places between matched and mismatched image: the part of the gain that "
        "is left has its interval below 0, so it turns over (not reproduced: above 0)",
        _goes_with_patches,
        of_gain=True,
    ),
)
