"""The swap test widened by rings of patches: the region grows until the images have changed places (§14 B)."""

from __future__ import annotations

import json

import pytest
from helpers.planted_vlm import PatchTestbed, planted_vlm

from groundbench.api.adapter import Encoded, ImageGrid
from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.cli.tables.result import show_result
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.image.options import ImageOptions
from groundbench.measures.image.patch_swap import Region
from groundbench.report.from_directory import page_of
from groundbench.results.run import Result

OPTIONS = {"ablation": AblationOptions(selections=("crossfit",), controls=("layer",), draws=3)}
RINGS = {**OPTIONS, "image": ImageOptions(swap_rings=(1, 2))}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return planted_vlm(tmp_path_factory.mktemp("planted-vlm"))


@pytest.fixture(scope="module")
def run(reader, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, evaluate(reader, PatchTestbed(), measures=("gain", "image"), out=out, **OPTIONS)


def swapped(reader, boxed: str):
    found = evaluate(reader, PatchTestbed(boxed), measures=("gain", "image"), **RINGS).image
    assert [(s.rings, s.whole) for s in found.swaps] == [(0, False), (1, False), (2, False), (0, True)]
    assert len({(s.gain, s.n_items, s.n_left_out) for s in found.swaps}) == 1  # the same pairs
    return found


def test_rings_around_a_box_that_is_too_small_take_the_rest_of_the_object_along(reader):
    """The box is one of the object's four patches; a ring around it holds the other three."""
    part, ring, two, whole = swapped(reader, "corner").swaps
    assert [s.share for s in (part, ring, whole)] == [1 / 16, (4 + 6 + 6 + 9) / 4 / 16, 1.0]
    assert -0.99 < part.ratio < 0.99
    for swap in (ring, two, whole):
        assert swap.gain_swapped == pytest.approx(-swap.gain, abs=1e-4)


def test_the_wider_the_region_the_more_goes_with_it_until_the_pictures_have_changed_places(reader):
    """The box is at the other corner: a ring around it holds one of the object's patches, two rings hold them all."""
    beside, ring, two, whole = swapped(reader, "elsewhere").swaps
    assert beside.ratio == pytest.approx(1, abs=1e-4)
    assert -0.99 < ring.ratio < 0.99
    assert two.ratio == whole.ratio == pytest.approx(-1, abs=1e-4)
    assert (two.share, whole.share) == (1.0, 1.0)


def test_rings_change_nothing_of_the_box_itself_and_the_page_shows_them(reader, run, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "160")
    before = run[1].image
    result = evaluate(reader, PatchTestbed(), measures=("gain", "image"), **RINGS, out=tmp_path)
    assert result.image.swap == before.swap
    assert before.wider == ()
    page = page_of(tmp_path)
    assert "With the box and 2 rings around it" in page
    assert "the whole image" in page
    assert "rings around it" not in page_of(run[0])
    show_result(result)
    assert "the box and a ring of patches around it swapped, image: a gain of 5.82" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_result_from_before_rings_is_read(run):
    document = json.loads(run[1].model_dump_json())
    for image in [document["forms"][0]["image"]]:
        image.pop("wider", None)
        for name in ("rings", "whole", "share"):
            image["swap"].pop(name, None)
    read = Result.model_validate_json(json.dumps(document)).image
    assert (read.swap.rings, read.swap.whole, read.swap.share, read.wider) == (0, False, None, ())
    assert read.swap.gain_swapped == run[1].image.swap.gain_swapped


def test_rings_of_a_tiled_picture_are_as_wide_as_a_patch_of_its_finest_grid():
    """A small version of the whole, 2 x 2, and two tiles of 4 x 4 side by side; the box is in a corner of the left."""
    grids = (
        ImageGrid(0, 2, 2),
        ImageGrid(4, 4, 4, region=(0.0, 0.0, 0.5, 1.0)),
        ImageGrid(20, 4, 4, region=(0.5, 0.0, 1.0, 1.0)),
    )
    box = (0.375, 0.0, 0.5, 0.25)  # the upper right patch of the left tile
    row = Encoded(tuple(range(37)), ((0, 1), (7, 8)), ("picture",), (box,), image_spans=((0, 36),), grids=grids)
    assert Region().positions(row) == [0, 7]
    # one patch (an eighth of the width, a quarter of the height) more on every side: into the right tile, and the small
    # version's patch beside
    assert Region(1).positions(row) == [0, 1, 6, 7, 10, 11, 20, 24]
    assert Region(whole=True).positions(row) == list(range(36))


@pytest.mark.parametrize("rings", [(0,), (1, 1), (-1,)])
def test_rings_that_are_none_or_the_same_are_refused(rings):
    with pytest.raises(BadInputError, match="swap_rings is"):
        ImageOptions(swap_rings=rings)


def test_a_form_without_boxes_has_nothing_to_widen(reader):
    whole = evaluate(reader, PatchTestbed(), forms=("image-all",), measures=("gain", "image"), **RINGS)
    assert whole.image.swap.ratio == pytest.approx(-1, abs=1e-4)
    assert whole.image.wider == ()


@pytest.mark.parametrize("measures", [("gain",), ("gain", "heads")])
def test_rings_that_nothing_would_swap_are_refused(reader, measures):
    with pytest.raises(BadInputError, match="swap_rings is given, but the forms are image-all and the measures gain"):
        evaluate(reader, PatchTestbed(), forms=("image-all",), measures=measures, **RINGS)


def test_the_option_reaches_the_measurement(capsys):
    assert main(["run", "any", "--swap-rings", "two"]) == 2
    assert "--swap-rings 'two': expected whole numbers" in capsys.readouterr().err
    assert main(["run", "any", "--swap-rings", "0"]) == 2
    assert "swap_rings is 0; expected different whole numbers from 1 on" in capsys.readouterr().err
