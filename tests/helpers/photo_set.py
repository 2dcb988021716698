"""A small set of made-up photos with annotations in COCO's schema, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from groundbench.registry import load_testbed
from groundbench.tasks.photos import Choices, PhotoTestbed, photos_from_coco

CATEGORIES = {1: "person", 2: "bicycle", 16: "bird", 17: "cat", 18: "dog", 47: "cup", 46: "wine glass"}
COLORS = {1: "black", 2: "blue", 16: "orange", 17: "purple", 18: "brown", 47: "green", 46: "gray"}
WIDE, HIGH = 100, 80

Things = dict[int, list[tuple[int, tuple[int, int, int, int]]]]
"""Image -> (category, x, y, width, height)."""

SET: Things = {
    1: [(18, (10, 10, 40, 40)), (1, (60, 10, 20, 50))],  # dog + person
    2: [(18, (20, 20, 40, 40)), (2, (70, 40, 25, 25))],  # dog + bicycle
    3: [(17, (12, 12, 40, 40)), (1, (60, 10, 20, 50))],  # cat + person: like 1
    4: [(17, (50, 30, 40, 40)), (2, (5, 5, 25, 25))],  # cat + bicycle: like 2
    5: [(17, (10, 10, 40, 40)), (18, (55, 30, 40, 40))],  # cat + dog: no mismatch for either
    6: [(16, (10, 10, 30, 30)), (1, (60, 10, 20, 50))],
    7: [(16, (40, 10, 30, 30)), (2, (5, 50, 25, 25))],
    8: [(18, (0, 0, 5, 5)), (16, (40, 40, 40, 30))],  # a dog too small to ask about
}


def write_photos(folder: Path, things: Things = SET, extension: str = "jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, boxes in things.items():
        image = Image.new("RGB", (WIDE, HIGH), (200, 220 - number, 240))
        pen = ImageDraw.Draw(image)
        for category, (x, y, w, h) in boxes:
            pen.rectangle((x, y, x + w - 1, y + h - 1), fill=COLORS[category])
        image.save(folder / f"{number:012d}.{extension}", quality=95)
    return folder


def instances(things: Things = SET) -> dict[str, Any]:
    rows = [(i, c, b) for i, boxes in things.items() for c, b in boxes]
    return {
        "licenses": [{"id": 4, "name": "Attribution License"}],
        "images": [
            {"id": i, "file_name": f"{i:012d}.jpg", "width": WIDE, "height": HIGH, "license": 4} for i in things
        ],
        "categories": [{"id": i, "name": name} for i, name in CATEGORIES.items()],
        "annotations": [
            {"id": k, "image_id": i, "category_id": c, "bbox": list(b), "iscrowd": 0}
            for k, (i, c, b) in enumerate(rows)
        ],
    }


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


TWO = Choices(at_least=2)


class Made:
    """The folders of a test's files, and what importing them gives."""

    def __init__(self, root: Path, things: Things = SET) -> None:
        self.root, self.things = root, things
        self.photos = write_photos(root / "photos", things)
        self.files = [write_json(root / "instances_val2017.json", instances(things))]

    def bed(self, choices: Choices = TWO, out: str = "bed") -> PhotoTestbed:
        photos_from_coco(self.files, self.photos, self.root / out, choices)
        bed = load_testbed(str(self.root / out))
        assert isinstance(bed, PhotoTestbed)
        return bed


def others(bed: PhotoTestbed, noun: str, picture: int) -> dict[str, int]:
    (item,) = [i for i in bed.manifest.items if i.noun == noun and i.shown.picture == picture]
    return {word: o.picture for word, o in item.others.items()}
