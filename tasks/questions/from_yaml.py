"""A question set written in a YAML file: the set's name, its files, and its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from groundbench.api.question import Question
from groundbench.tasks.questions.coco import coco
from groundbench.tasks.questions.image_scenes import image_scenes
from groundbench.tasks.questions.pope import pope
from groundbench.tasks.questions.text_scenes import text_scenes
from groundbench.util.yaml_files import Marked, read_marked

Value = int | float | str | list[str] | list[Path] | Path
Reader = Callable[[Marked], Value]


def from_file(path: Path) -> tuple[Question, ...]:
    """Return the questions that a file describes; paths in it are relative to it.

        set: coco
        files: [annotations/instances_val2017.json, annotations/captions_val2017.json]
        images: val2017
        pairs: 100

    Sets and their fields are the functions of this package with their arguments.

    Raises:
        BadInputError: naming file and line; and what the set itself raises.
    """
    file = read_marked(path)
    kinds = file.mapping()
    if "set" not in kinds:
        raise file.error(f"set is missing, expected one of {', '.join(SETS)}")
    make, needed, optional = SETS[kinds["set"].choice(tuple(SETS))]
    fields = file.fields(("set", *needed), tuple(optional))
    readers = {**needed, **optional}
    return make(**{name: readers[name](node) for name, node in fields.items() if name != "set"})


def _whole_number(node: Marked) -> int:
    text = node.text()
    try:
        return int(text)
    except ValueError:
        raise node.error(f"{node.name} is {text!r}, expected a whole number") from None


def _share(node: Marked) -> float:
    text = node.text()
    try:
        return float(text)
    except ValueError:
        raise node.error(f"{node.name} is {text!r}, expected a number") from None


def _text(node: Marked) -> str:
    return node.text()


def _texts(node: Marked) -> list[str]:
    return [row.text() for row in node.sequence()]


def _path(node: Marked) -> Path:
    return node.path.parent / node.text()


def _paths(node: Marked) -> list[Path]:
    return [_path(row) for row in node.sequence()] if node.is_sequence() else [_path(node)]


_DRAWN: dict[str, Reader] = {"seed": _whole_number, "mismatched": _whole_number}
_FILES: dict[str, Reader] = {"files": _paths, "images": _path}
SETS: dict[str, tuple[Callable[..., tuple[Question, ...]], dict[str, Reader], dict[str, Reader]]] = {
    "text-scenes": (text_scenes, {}, {**_DRAWN, "forms": _texts, "style": _text}),
    "image-scenes": (image_scenes, {}, {**_DRAWN, "pairs": _whole_number, "styles": _texts}),
    "coco": (coco, _FILES, {**_DRAWN, "pairs": _whole_number, "min_area": _share}),
    "pope": (pope, _FILES, _DRAWN),
}
"""Name -> what makes the set, its required fields and its optional ones."""
