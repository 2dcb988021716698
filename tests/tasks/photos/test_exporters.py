"""COCO annotations as other exporters write them: read, or the sentence names the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.importing.faults import Fault
from groundbench.tasks.photos.annotations import read_annotations
from groundbench.tasks.photos.categories import canonical, noun_of
from groundbench.tasks.photos.image_store import ImageFiles

Change = Callable[[dict[str, Any]], None]


def instances() -> dict[str, Any]:
    """Two photos with a cat each."""
    return {
        "images": [{"id": i, "file_name": f"{i:012}.jpg", "width": 80, "height": 60} for i in (1, 2)],
        "annotations": [{"id": i, "image_id": i, "category_id": 17, "bbox": [0, 0, 20, 20]} for i in (1, 2)],
        "categories": [{"id": 17, "name": "cat"}],
    }


def read(change: Change, folder: Path) -> tuple[Any, list[Fault]]:
    value = instances()
    change(value)
    (folder / "instances.json").write_text(json.dumps(value))
    faults: list[Fault] = []
    return read_annotations([folder / "instances.json"], faults).pictures, faults


def text_ids(value: dict[str, Any]) -> None:
    for row in (*value["images"], *value["annotations"], *value["categories"]):
        for key in ("id", "image_id", "category_id"):
            if key in row:
                row[key] = str(row[key])


def lvis(value: dict[str, Any]) -> None:
    for row in value["images"]:
        row["coco_url"] = "http://images.example.org/val2017/" + row.pop("file_name")


@pytest.mark.parametrize(("change", "file"), [(text_ids, "000000000001.jpg"), (lvis, "val2017/000000000001.jpg")])
def test_what_other_exporters_write_is_read(change: Change, file: str, tmp_path: Path) -> None:
    pictures, faults = read(change, tmp_path)
    assert not faults
    assert (pictures[1].file, [t.category for t in pictures[1].things]) == (file, ["cat"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("categories"), "the file: lacks 'categories', though its annotations have boxes"),
        (lambda v: [row.pop("file_name") for row in v["images"]], r"images\[0\]: lacks 'file_name'"),
        (lambda v: [row.pop("width") for row in v["images"]], r"images\[0\]: lacks 'width'"),
        (
            lambda v: [row.update(id=f"img{i}") for i, row in enumerate(v["images"])],
            r"images\[0\]\.id: expected a whole",
        ),
        (lambda v: v.update(images=[]), r"annotations\[0\]\.image_id: 1 is none of the images"),
    ],
)
def test_the_sentence_names_the_field(change: Change, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=message):
        read(change, tmp_path)


@given(st.sampled_from(sorted(noun_of())), st.sampled_from([str.upper, str.title, lambda c: c.replace(" ", "_")]))
def test_categories_without_case_and_underscores(category: str, written: Callable[[str], str]) -> None:
    assert canonical(written(category)) == category


def test_plural_categories() -> None:
    assert [noun_of().get(canonical(c)) for c in ("Dogs", "COUCHES", "Hat", "Sports_Ball", "zebra crossing")] == [
        "dog",
        "couch",
        "hat",
        "ball",
        None,
    ]


def photos(folder: Path, *names: str) -> ImageFiles:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return ImageFiles(folder)


def test_no_photo_stands_in_for_another_of_the_same_number(tmp_path: Path) -> None:
    found = photos(tmp_path, "holiday_9.jpg", "other/9.png", "a/1.jpg", "b/1.jpg", "x/COCO_val2014_000000000009.jpg")
    assert found.find("dog9.jpg", 9) is None
    assert found.find("IMG_9.jpg", 9) is None
    assert found.find("1.jpg", 1) is None  # two files of that name
    assert found.find("b/1.jpg", 1) == "b/1.jpg"
    assert found.find("elsewhere/b/1.jpg", 1) == "b/1.jpg"
    assert found.find("000000000009.jpg", 9) == "x/COCO_val2014_000000000009.jpg"  # COCO's names of two years
    assert found.find("", 9) == "x/COCO_val2014_000000000009.jpg"
    assert found.find("000000000009.jpg", 10) is None
