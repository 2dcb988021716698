"""Verdicts on models that see images: where heads read, what goes with the patches, and their null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers.planted_runs import planted

from groundbench.studies.paper import claims_on_images
from groundbench.studies.paper import image_page as image_page
from groundbench.studies.paper.measure import Measured
from groundbench.studies.paper.verdict import Claim

Series = Sequence[float | None]
OURS = ("reads-object", "goes-with-patches")


def sees(name: str = "vlm", *, seeds: int = 3, shuffled: bool = False, **numbers: Series) -> Measured:
    return planted(name, "llava", seeds=seeds, shuffled=shuffled, **numbers)


def verdicts(*runs: Measured) -> dict[str, Claim]:
    return {c.id: c for c in claims_on_images(runs)}


def test_all_claims_hold_where_they_were_planted() -> None:
    found = verdicts(sees())
    asked = {
        "emerges",
        "grows",
        "heads-rise",
        "middle",
        "ablation-item",
        "ablation",
        "ablation-grows",
        "gather",
        "lens",
        *OURS,
    }
    assert {i: c.verdict for i, c in found.items()} == dict.fromkeys(asked, "reproduced")
    assert "2.50 [2.45, 2.55] times the saliency of one outside it" in found["reads-object"].because
    assert found["goes-with-patches"].because.endswith("of what it was: it turns over")


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("claim", "number", "last", "verdict"),
    [
        ("reads-object", "ratio", 2.5, "reproduced"),
        ("reads-object", "ratio", 0.8, "not reproduced"),
        ("reads-object", "ratio", 1.0, "not testable"),
        ("goes-with-patches", "swap", -0.9, "reproduced"),
        ("goes-with-patches", "swap", 0.6, "not reproduced"),
        ("goes-with-patches", "swap", 0.0, "not testable"),
    ],
)
def test_each_verdict_follows_the_last_interval(claim: str, number: str, last: float, verdict: str, seeds: int) -> None:
    found = verdicts(sees(seeds=seeds, **{number: (None, 1.2, 1.2, last)}))[claim]
    assert found.verdict == verdict
    assert ("over nouns" in found.because) == (seeds == 1)


def test_what_is_left_of_the_gain_is_told() -> None:
    found = verdicts(sees(seeds=1, swap=(None, 0.9, 0.8, 0.59)))["goes-with-patches"]
    assert "0.57 [0.47, 0.67] of what it was: 57% of it is left (1 seed: intervals over nouns)" in found.because


def test_without_a_gain_nothing_is_said_of_what_carries_it() -> None:
    found = verdicts(sees(gain=(0.0, 0.0, 0.0, 0.0), swap=(None, 0.9, 0.9, 0.9), ratio=(None, 0.5, 0.5, 0.5)))
    assert found["emerges"].verdict == "not reproduced"
    assert found["grows"].verdict == "not reproduced"
    rest = [c for i, c in found.items() if i not in ("emerges", "grows")]
    assert {c.verdict for c in rest} == {"not testable"}
    assert all(c.because.startswith("G 0.00 [") and "no gain is shown" in c.because for c in rest)


def test_reading_the_object_needs_more_than_an_equal_box_elsewhere_gets() -> None:
    run = sees(seeds=1)
    image = run.trajectories[0].points[-1].result.image
    assert image is not None
    object.__setattr__(image.reading[0], "null", 2.5)  # what is read more lies anywhere
    object.__setattr__(image.reading[0], "null_ci_high", 2.6)
    assert verdicts(run)["reads-object"].verdict == "not testable"


def test_an_earlier_checkpoint_never_stands_in_for_the_last() -> None:
    run = sees()
    image = run.trajectories[1].points[-1].result.image
    assert image is not None
    assert image.swap is not None
    object.__setattr__(image.swap, "ratio", None)  # the sample of items has no gain
    found = verdicts(run)["goes-with-patches"]
    assert found.verdict == "not testable"
    assert "at the last checkpoint" in found.because


def test_what_was_not_measured_is_not_testable() -> None:
    found = verdicts(sees(ratio=(None,) * 4, swap=(None,) * 4))
    assert [found[i].verdict for i in OURS] == ["not testable"] * 2


def test_a_null_is_asked_for_its_gain_alone() -> None:
    flat, some = (sees("null", shuffled=True, preset="sees", gain=(0.0, 0.0, 0.0, g)) for g in (0.0, 0.2))
    assert {i: c.verdict for i, c in verdicts(flat).items()} == {"null": "not testable"}  # nothing to stand beside
    seen = sees(preset="sees")
    assert verdicts(seen, flat)["null"].verdict == "reproduced"
    assert verdicts(seen, some)["null"].verdict == "not reproduced"
    assert claims_on_images([planted()]) == []


def test_every_model_has_a_row_in_the_table_and_a_line_in_its_plots() -> None:
    runs = [replace(sees(), seen=sees(gain=(0.0, 0.5, 2.0, 5.0))), sees("null", shuffled=True, ratio=(None,) * 4)]
    table = image_page.images_table(runs)
    row = dict(zip(table.head, table.rows[0], strict=True))
    assert (row["Encoder"], row["Language model"]) == ("frozen dino", "trained, 8 layers")
    assert row["Gain"] == "4.00 [3.95, 4.05]"
    assert row["Gain, styles of training"] == "5.00 [4.95, 5.05]"
    assert row["Saliency inside / outside the box"] == "2.50 [2.45, 2.55]"
    assert dict(zip(table.head, table.rows[1], strict=True))["Gain, styles of training"] is None
    names = [name for name, figure in image_page.figures(runs) if figure is not None]
    assert names == ["gain", "vlm-surprisal", "null-surprisal"]
