"""Testbeds of photos: matched and mismatched ones are chosen as promised, and mistakes of users are named."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from helpers.photo_set import HIGH, SET, WIDE, Made, Things, instances, others, write_json
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import ImageSegment
from groundbench.evaluation.shuffled_forms import ShuffledForms
from groundbench.registry import load_testbed
from groundbench.tasks.corpora.importing.faults import FaultError
from groundbench.tasks.nouns import inventory
from groundbench.tasks.photos import Choices, PhotoTestbed, photos_from_coco
from groundbench.tasks.photos.annotations import read_annotations
from groundbench.tasks.photos.build import texts
from groundbench.tasks.photos.categories import also, noun_of
from groundbench.tasks.photos.matching import overlap
from groundbench.tasks.validation import find_faults


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_the_mismatched_photo_has_the_same_other_objects(made: Made) -> None:
    bed = made.bed()
    assert [n.word for n in bed.nouns] == ["bird", "cat", "dog"]
    assert others(bed, "dog", 1) == {"bird": 6, "cat": 3}
    assert others(bed, "dog", 2) == {"bird": 7, "cat": 4}
    assert others(bed, "cat", 3) == {"bird": 6, "dog": 1}
    item = next(i for i in bed.manifest.items if i.noun == "dog" and i.shown.picture == 1)
    assert item.others["cat"].distance == 0
    boxes = [(0.1, 0.125, 0.5, 0.625), (0.12, 0.15, 0.52, 0.65)]
    assert item.others["cat"].displaced == pytest.approx(1 - overlap(*boxes))


def test_a_mismatched_photo_never_shows_what_is_asked_for(made: Made) -> None:
    bed = made.bed()
    categories = {i: {c for c, _ in rows} for i, rows in SET.items()}
    number = {"dog": 18, "cat": 17, "bird": 16}
    for item in bed.manifest.items:
        assert number[item.noun] in categories[item.shown.picture]
        for word, o in item.others.items():
            assert number[word] in categories[o.picture]
            assert number[item.noun] not in categories[o.picture]
    assert all(8 not in (i.shown.picture,) for i in bed.manifest.items if i.noun == "dog")


def test_a_caption_that_names_the_noun_rules_a_photo_out(made: Made) -> None:
    captions = {"annotations": [{"image_id": 3, "id": 1, "caption": "A cat looks at two Dogs out of sight."}]}
    made.files.append(write_json(made.root / "captions_val2017.json", captions))
    assert others(made.bed(), "dog", 1) == {"bird": 6, "cat": 4}


def test_prompts_show_the_box_the_whole_photo_or_the_crop(made: Made) -> None:
    bed = made.bed(Choices(at_least=2, crops=True))
    assert find_faults(bed) == []
    frame = next(
        f for f in bed.frames(bed.form("image")) if f.noun == "dog" and bed.place(f, bed.noun("dog")).picture == 1
    )
    shown = {f.name: bed.prompt(frame, bed.noun("dog"), f).segments[0] for f in bed.forms}
    assert all(isinstance(s, ImageSegment) for s in shown.values())
    assert shown["image"].box == (0.1, 0.125, 0.5, 0.625)
    assert shown["image-all"].box is None
    assert shown["image"].image.key == shown["image-all"].image.key != shown["crop"].image.key
    assert shown["image"].image.load().size == (WIDE, HIGH)
    crop = shown["crop"].image.load()
    assert crop.size == (48, 48)
    brown = np.abs(np.asarray(crop, dtype=int)[8:40, 8:40] - np.array([165, 42, 42])).max()
    assert brown < 60
    assert frame.template in texts()


def test_texts_are_shared_between_nouns_and_name_none(made: Made) -> None:
    bed = made.bed()
    for k in (1, 2):
        assert len({i.text for i in bed.manifest.items if i.id.endswith(f"-{k}")}) == 1
    assert len(texts()) == len(set(texts())) >= 10
    assert not any(text.split()[-1].lower() in ("a", "an") for text in texts())


def test_the_same_files_give_the_same_testbed_and_others_another(made: Made) -> None:
    first, again = made.bed(), made.bed(out="again")
    assert first.digest() == again.digest()
    assert first.manifest == again.manifest
    copied = made.bed(Choices(at_least=2, copy=True), out="copied")
    assert copied.digest() == first.digest()
    photo = made.photos / "000000000001.jpg"
    Image.new("RGB", (WIDE, HIGH), "red").save(photo)
    assert made.bed(out="changed").digest() != first.digest()
    frame = next(f for f in first.frames(first.form("image")) if first.place(f, first.noun(str(f.noun))).picture == 1)
    source = first.prompt(frame, first.noun(str(frame.noun)), first.form("image")).segments[0].image
    with pytest.raises(BadInputError, match=r"000000000001.jpg: is not the file that was imported"):
        source.load()


def test_copies_make_the_folder_complete(made: Made) -> None:
    bed = made.bed(Choices(at_least=2, copy=True))
    for photo in made.photos.iterdir():
        photo.unlink()
    moved = made.root / "moved"
    (made.root / "bed").rename(moved)
    there = load_testbed(str(moved))
    assert there.digest() == bed.digest()
    frame = there.frames(there.form("image"))[0]
    assert there.prompt(frame, there.noun(str(frame.noun)), there.form("image")).segments[0].image.load().size == (
        WIDE,
        HIGH,
    )


def turned(made: Made, number: int, orientation: int) -> None:
    """Store the photo turned, with the EXIF orientation that turns it back; its annotation tells the stored pixels."""
    path = made.photos / f"{number:012d}.jpg"
    back = {6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}[orientation]
    image = Image.open(path).transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, quality=95, exif=exif)


# A half turn keeps the shape: boxes are then taken to be told as stored, as COCO does.
@pytest.mark.parametrize(("orientation", "as_stored"), [(3, True), (6, True), (6, False)])
def test_boxes_stay_right_when_a_photo_is_turned(tmp_path: Path, orientation: int, as_stored: bool) -> None:
    """Annotated as stored (COCO) or as seen: the upright box is the same."""
    made = Made(tmp_path)
    turned(made, 1, orientation)
    if as_stored:
        value = json.loads(made.files[0].read_text())
        row = next(r for r in value["images"] if r["id"] == 1)
        stored = Image.open(made.photos / "000000000001.jpg").size
        row["width"], row["height"] = stored
        for thing in value["annotations"]:
            if thing["image_id"] == 1:
                x, y, w, h = thing["bbox"]
                thing["bbox"] = [WIDE - x - w, HIGH - y - h, w, h] if orientation == 3 else [y, WIDE - x - w, h, w]
        write_json(made.files[0], value)
    bed = made.bed()
    item = next(i for i in bed.manifest.items if i.noun == "dog" and i.shown.picture == 1)
    assert item.shown.box == pytest.approx((0.1, 0.125, 0.5, 0.625))
    assert (bed.manifest.pictures[1].width, bed.manifest.pictures[1].height) == (WIDE, HIGH)


# mistakes of users


def many(n: int) -> Things:
    return {i: [(18 if i % 2 else 17, (10, 10, 40, 40))] for i in range(1, n + 1)}


def test_one_missing_file_among_many_is_named_and_may_be_left_out(tmp_path: Path) -> None:
    made = Made(tmp_path, many(400))
    (made.photos / "000000000217.jpg").unlink()
    with pytest.raises(FaultError, match=r"photos/000000000217.jpg: no such image, though it is annotated"):
        made.bed()
    assert not (tmp_path / "bed").exists()
    bed = made.bed(Choices(keep_going=True))
    assert [f.file.rpartition("/")[2] for f in bed.manifest.faults] == ["000000000217.jpg"]
    assert len(bed.manifest.items) == 20


@pytest.mark.parametrize("broken", [b"", b"<html>", None])
def test_a_damaged_photo_is_named_and_another_one_takes_its_place(made: Made, broken: bytes | None) -> None:
    path = made.photos / "000000000001.jpg"
    path.write_bytes(path.read_bytes()[:500] if broken is None else broken)
    with pytest.raises(FaultError, match=r"photos/000000000001.jpg: is "):
        made.bed()
    bed = made.bed(Choices(at_least=2, keep_going=True))
    assert 1 not in bed.manifest.pictures
    assert others(bed, "cat", 3) == {"bird": 6, "dog": 2}
    assert len(bed.manifest.faults) == 1


def test_another_picture_under_the_same_name_is_noticed(made: Made) -> None:
    Image.new("RGB", (50, 90)).save(made.photos / "000000000002.jpg")
    with pytest.raises(FaultError, match=r"000000000002.jpg: is 50 x 90 pixels, its annotation says 100 x 80"):
        made.bed()


def change(value: dict[str, Any], place: list[Any], to: Any) -> dict[str, Any]:
    at = value
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = to
    return value


@pytest.mark.parametrize(
    ("place", "to", "said"),
    [
        (["annotations", 2, "bbox"], [1, 2, 3], r"annotations\[2\].bbox: expected \[x, y, width, height\] in pixels"),
        (["annotations", 2, "bbox"], [1, 2, 0, 9], r"annotations\[2\].bbox: .* has no area inside the image"),
        (["annotations", 2, "image_id"], 999, r"annotations\[2\].image_id: 999 is none of the images"),
        (["annotations", 2, "category_id"], 99, r"annotations\[2\].category_id: 99 is none of the 7 categories"),
        (["images", 1, "width"], "wide", r"images\[1\].width: expected a whole number"),
        (["images", 1, "height"], 0, r"images\[1\]: is 100 x 0 pixels"),
    ],
)
def test_a_mistake_in_an_annotation_is_named(made: Made, place: list[Any], to: Any, said: str) -> None:
    write_json(made.files[0], change(instances(), place, to))
    with pytest.raises(FaultError, match=r"instances_val2017.json: " + said):
        made.bed()
    if place[0] == "annotations":
        assert made.bed(Choices(at_least=2, keep_going=True)).manifest.faults


PLACES = st.lists(st.sampled_from(["images", "annotations", "categories", "licenses", 0, 1, "bbox", "id", "image_id"]))
VALUES = st.sampled_from(
    [None, True, 5, -1, 10**400, 1e308, "x", [], [1], {}, [None], [[]], {"id": []}, [1, 2, "3", 4]]
)


@given(PLACES, VALUES, st.booleans())
@settings(max_examples=200, deadline=None)
def test_whatever_stands_in_the_annotations_mistakes_are_named(place: list[Any], to: Any, plain: bool) -> None:
    value: Any = instances()
    if plain:
        value = [
            {"id": 1, "file": "a.jpg", "width": 9, "height": 9, "objects": [["dog", 1, 1, 2, 2]], "captions": ["a"]}
        ]
    at = value
    keys = [k for k in place if k not in ("images",)] if plain else place
    for key in keys[:-1]:
        if (isinstance(at, dict) and key in at) or (isinstance(at, list) and isinstance(key, int) and key < len(at)):
            at = at[key]
    if keys and ((isinstance(at, dict) and isinstance(keys[-1], str)) or (isinstance(at, list) and keys[-1] == 0)):
        at[keys[-1]] = to
    with TemporaryDirectory() as folder:
        path = write_json(Path(folder) / "instances.json", value)
        said = folder
        try:
            assert any(p.boxed for p in read_annotations([path], []).pictures.values())
        except BadInputError as error:
            said = str(error)
        assert folder in said


def test_annotations_without_boxes_are_refused(made: Made) -> None:
    made.files = [write_json(made.root / "captions.json", {"images": instances()["images"], "annotations": []})]
    with pytest.raises(BadInputError, match=r"no objects with boxes; expected COCO's instances_\*.json"):
        made.bed()


def test_too_few_photos_are_refused(made: Made) -> None:
    with pytest.raises(BadInputError, match="0 nouns have 9 photos or more, expected at least 2"):
        made.bed(Choices(at_least=9))


@pytest.mark.parametrize(("options", "said"), [({"contexts": 0}, "at least 1"), ({"min_area": 1.0}, "min_area")])
def test_wrong_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        Choices(**options)


def test_there_are_not_more_contexts_than_texts(made: Made) -> None:
    with pytest.raises(BadInputError, match="contexts: expected at most 10"):
        made.bed(Choices(contexts=11))


def test_a_damaged_manifest_is_named(made: Made) -> None:
    made.bed()
    path = made.root / "bed" / "pictures.json"
    path.write_text(path.read_text().replace('"distance"', '"distanze"', 1))
    with pytest.raises(BadInputError, match=r"pictures.json: .*expected groundbench-pictures version 1"):
        load_testbed(str(made.root / "bed"))


# nouns and pairs that have no mismatch


def test_cups_are_no_mismatch_for_glasses(tmp_path: Path) -> None:
    """A tumbler is annotated as a cup; no image with one is said to be without a glass."""
    things: Things = {
        **{i: [(47, (10, 10, 40, 40))] for i in (1, 2)},
        **{i: [(46, (10, 10, 40, 40))] for i in (3, 4)},
        **{i: [(18, (10, 10, 40, 40))] for i in (5, 6)},
    }
    bed = Made(tmp_path, things).bed()
    assert bed.excluded_pairs(bed.form("image")) == {("cup", "glass"), ("glass", "cup")}
    assert find_faults(bed) == []
    image = bed.form("image")
    frame = next(f for f in bed.frames(image) if f.noun == "cup")
    with pytest.raises(KeyError):
        bed.prompt(frame, bed.noun("glass"), image)


def test_shuffled_photos_are_never_of_what_is_no_mismatch(tmp_path: Path) -> None:
    things: Things = {
        **{i: [(47, (10, 10, 40, 40))] for i in (1, 2)},
        **{i: [(46, (10, 10, 40, 40))] for i in (3, 4)},
        **{i: [(18, (10, 10, 40, 40))] for i in (5, 6)},
        **{i: [(17, (10, 10, 40, 40))] for i in (7, 8)},
    }
    bed = Made(tmp_path, things).bed()
    image = bed.form("image")
    for seed in range(5):
        shuffled = ShuffledForms(bed, seed)
        assert shuffled.shown_as(bed.noun("cup"), image).word in ("dog", "cat")
        assert shuffled.digest() != bed.digest()
        none = shuffled.excluded_pairs(image)
        for frame in shuffled.frames(image):
            for noun in shuffled.nouns:
                if (noun.word, frame.noun) not in none or noun.word == frame.noun:
                    assert shuffled.prompt(frame, noun, image).segments


def test_nouns_that_cannot_change_places_are_named(tmp_path: Path) -> None:
    things: Things = {i: [(c, (10, 10, 40, 40))] for i, c in enumerate((47, 47, 46, 46), 1)}
    bed = Made(tmp_path, {**things, 5: [(18, (9, 9, 40, 40))], 6: [(18, (9, 9, 40, 40))]}).bed()
    with pytest.raises(BadInputError, match="found no way to show every noun as another"):
        ShuffledForms(bed)


def test_categories_name_nouns_of_the_inventory() -> None:
    words = {n.word for n in inventory()}
    assert set(noun_of().values()) == words
    assert all(noun_of()[word] == word for word in words)  # other exporters call a category as we do
    assert {w for ws in also().values() for w in ws} <= words


# real photos


def test_real_photos(shared_data: Path, tmp_path: Path) -> None:
    images = shared_data / "images"
    manifest = photos_from_coco(
        [images / "coco_subset_manifest.json"], images / "coco_subset_512.tar", tmp_path / "coco", Choices(crops=True)
    )
    bed = load_testbed(str(tmp_path / "coco"))
    assert isinstance(bed, PhotoTestbed)
    assert find_faults(bed) == []
    assert len(manifest.nouns) >= 20
    assert manifest.faults == ()
    assert manifest.distance is not None
    assert 0 < manifest.distance < 1
    frame = bed.frames(bed.form("image"))[0]
    source = bed.prompt(frame, bed.noun(str(frame.noun)), bed.form("image")).segments[0].image
    assert source.load().mode == "RGB"
    assert source.load().tobytes() == source.load().tobytes()
