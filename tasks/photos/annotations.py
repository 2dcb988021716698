"""Annotations of photos: objects with boxes, captions, licence; COCO's own JSON files, and one plain list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Box
from groundbench.tasks.corpora.formats.located_json import expect, member, parse, wrong
from groundbench.tasks.corpora.importing.faults import Fault, FaultError, fault
from groundbench.tasks.corpora.importing.sources import BROKEN, Source, describe_read_error, find_sources

_FAR = 1e9
"""No pixel lies as far out."""


@dataclass(frozen=True)
class Thing:
    """One annotated object: its category and its box in fractions of the annotated width and height.

    `crowd`: a heap of them, which shows that the category is there but is no object to ask about.
    """

    category: str
    box: Box
    crowd: bool = False

    @property
    def area(self) -> float:
        """The share of the image that its box covers."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass
class Annotated:
    """The annotations of one photo. `size` is the width and height that its boxes refer to."""

    id: int
    file: str
    size: tuple[int, int]
    things: list[Thing] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    licence: str = ""
    boxed: bool = False
    """True if its objects were annotated: without, nothing is known to be absent."""


@dataclass(frozen=True)
class Annotations:
    """All images by number; and the JSON files that hold something else (dialogues), parsed."""

    pictures: Mapping[int, Annotated]
    others: tuple[tuple[str, Any], ...]


def read_annotations(files: Iterable[Path], faults: list[Fault]) -> Annotations:
    """Return everything that instances, captions and plain lists say, joined by the image's number.

    The plain list holds {"id", "file", "width", "height", "objects": [[category, x, y, width, height], ...] or null,
    "captions": [...], "license"}, boxes in pixels. An annotation with a mistake is left out and its fault noted.

    Raises:
        FaultError: a file that is not JSON or cannot be read.
        BadInputError: nothing has both images and objects.
    """
    found: dict[int, Annotated] = {}
    others: list[tuple[str, Any]] = []
    for source in find_sources(list(files), (".json",), faults):
        if source.is_notice:
            continue
        value = parse(_bytes(source), source.name)
        if isinstance(value, dict) and isinstance(value.get("annotations"), list):
            _coco(value, source.name, found, faults)
        elif isinstance(value, list) and value and isinstance(value[0], dict) and "objects" in value[0]:
            _read_plain(value, source.name, found, faults)
        else:
            others.append((source.name, value))
    if not any(p.boxed and p.file for p in found.values()):
        first = f"; the first of {len(faults)} faults is {faults[0]}" if faults else ""
        raise BadInputError(
            f"{', '.join(map(str, files))}: no objects with boxes; expected COCO's instances_*.json beside the others"
            f"{first}"
        )
    return Annotations(found, tuple(others))


def _bytes(source: Source) -> bytes:
    try:
        return source.read()
    except BROKEN as error:
        raise fault(source.name, None, str(describe_read_error(error))) from None


def _coco(value: dict[str, Any], name: str, found: dict[int, Annotated], faults: list[Fault]) -> None:
    """Return an official file: `images` and `annotations`, with `categories` if they are objects."""
    licences = {str(row.get("id")): str(row.get("name", "")) for row in _rows(value, "licenses", name, dict)}
    with_boxes = "categories" in value
    if not with_boxes and any(isinstance(row, dict) and "bbox" in row for row in value["annotations"]):
        raise wrong(name, "", "lacks 'categories', though its annotations have boxes")
    for i, row in enumerate(_rows(value, "images", name)):
        try:
            picture = _picture(_with_file(row), "file_name", name, f"images[{i}]", found)
        except FaultError as error:
            faults.append(error.fault)
            continue
        picture.licence = picture.licence or licences.get(str(row.get("license")), "")
        picture.boxed = picture.boxed or with_boxes
    categories = {
        _number(row, "id", name, f"categories[{i}]"): member(row, "name", str, name, f"categories[{i}]")
        for i, row in enumerate(_rows(value, "categories", name))
    }
    for i, row in enumerate(value["annotations"]):
        try:
            _annotation(row, name, f"annotations[{i}]", categories, found)
        except FaultError as error:
            faults.append(error.fault)


def _rows(value: dict[str, Any], key: str, name: str, kind: type | None = None) -> list[Any]:
    """Return the list of that name, empty if there is none; only what is of that kind."""
    rows: list[Any] = expect(value.get(key) or [], list, name, key)
    return rows if kind is None else [row for row in rows if isinstance(row, kind)]


def _with_file(row: Any) -> Any:
    """Return the row with a file's name: where it has none (LVIS), the folder and name at the end of its `coco_url`."""
    if isinstance(row, dict) and "file_name" not in row and isinstance(row.get("coco_url"), str):
        return {**row, "file_name": "/".join(row["coco_url"].split("/")[-2:])}
    return row


def _number(row: Any, key: str, name: str, place: str) -> int:
    """Return a whole number, also where an exporter writes it as a text of digits. Raises FaultError."""
    value = expect(row, dict, name, place).get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return int(member(row, key, int, name, place))


def _annotation(row: Any, name: str, place: str, categories: Mapping[int, str], found: dict[int, Annotated]) -> None:
    """Return one caption or object, put to its image."""
    number = _number(row, "image_id", name, place)
    if "caption" in row:
        picture = found.setdefault(number, Annotated(number, "", (0, 0)))
        picture.captions.append(member(row, "caption", str, name, place))
        return
    if number not in found or not found[number].file:
        raise wrong(name, f"{place}.image_id", f"{number} is none of the images")
    kind = _number(row, "category_id", name, place)
    if kind not in categories:
        raise wrong(name, f"{place}.category_id", f"{kind} is none of the {len(categories)} categories")
    box = _box(member(row, "bbox", list, name, place), found[number].size, name, f"{place}.bbox")
    found[number].things.append(Thing(categories[kind], box, bool(row.get("iscrowd"))))


def _read_plain(rows: list[Any], name: str, found: dict[int, Annotated], faults: list[Fault]) -> None:
    for i, row in enumerate(rows):
        place = f"[{i}]"
        try:
            picture = _picture(row, "file", name, place, found)
            captions = expect(row.get("captions") or [], list, name, f"{place}.captions")
            picture.captions += [expect(c, str, name, f"{place}.captions") for c in captions]
            picture.licence = str(row.get("license") or "")
            objects = row.get("objects")
            picture.boxed = objects is not None
            for k, thing in enumerate(expect(objects or [], list, name, f"{place}.objects")):
                here = f"{place}.objects[{k}]"
                category, *box = expect(thing, list, name, here) or [None]
                picture.things.append(Thing(expect(category, str, name, here), _box(box, picture.size, name, here)))
        except FaultError as error:
            faults.append(error.fault)


def _picture(row: Any, file: str, name: str, place: str, found: dict[int, Annotated]) -> Annotated:
    """Return the image of a row; one that a captions file named before keeps its captions."""
    number = _number(row, "id", name, place)
    size = tuple(member(row, side, int, name, place) for side in ("width", "height"))
    if min(size) < 1:
        raise wrong(name, place, f"is {size[0]} x {size[1]} pixels, expected at least 1 x 1")
    picture = found.setdefault(number, Annotated(number, "", (0, 0)))
    picture.file, picture.size = member(row, file, str, name, place), (size[0], size[1])
    return picture


def _box(values: list[Any], size: tuple[int, int], name: str, place: str) -> Box:
    """Turn x, y, width, height in pixels into corners in fractions, cut at the edges."""
    if len(values) != 4 or not all(isinstance(v, int | float) and -_FAR < v < _FAR for v in values):
        raise wrong(name, place, f"expected [x, y, width, height] in pixels, found {values!r}")
    x, y, width, height = values
    x0, y0 = max(0.0, x / size[0]), max(0.0, y / size[1])
    x1, y1 = min(1.0, (x + width) / size[0]), min(1.0, (y + height) / size[1])
    if not (x0 < x1 and y0 < y1):
        raise wrong(name, place, f"{values!r} has no area inside the image of {size[0]} x {size[1]} pixels")
    return x0, y0, x1, y1
