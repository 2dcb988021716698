"""pope: POPE's own yes/no questions (JSON lines), asked of those of its images that are there."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from random import Random

from groundbench.api.errors import BadInputError
from groundbench.api.question import Question
from groundbench.tasks.corpora.formats.chat import decode as decode_text
from groundbench.tasks.corpora.importing.faults import Fault, FaultError, fault
from groundbench.tasks.corpora.importing.sources import BROKEN, describe_read_error, find_sources
from groundbench.tasks.image_dialogue.phrases import YES_NO
from groundbench.tasks.questions.negatives import KINDS
from groundbench.tasks.questions.photos import About, Photos, questions_of

_ASKED = re.compile(r"(?i:(?:is|are) there (?:an?|any|the)) (.+?)(?: in the image| in this image)?\s*\?*$")
_COCO = re.compile(r"COCO_\w+?_0*(\d+)\.\w+$")


@dataclass(frozen=True)
class Row:
    """One line: the question's number, the image's file, the text and whether the answer is yes."""

    number: str
    image: str
    text: str
    yes: bool


def parse_pope(data: bytes, name: str) -> list[Row]:
    """Return the lines of one file.

    A line: {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"}.

    Raises:
        FaultError: names the file and the line, what was found and what was expected.
    """
    rows: dict[str, Row] = {}
    for number, line in enumerate(decode_text(data, name).split("\n"), 1):
        if line.strip():
            row = _row(line, name, number)
            if row.number in rows:
                raise fault(name, number, f"question_id {row.number} comes a second time")
            rows[row.number] = row
    if not rows:
        raise fault(name, None, "holds no question; expected one JSON object a line")
    return list(rows.values())


def _row(line: str, name: str, number: int) -> Row:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise fault(name, number, f"not JSON: {said}; expected one object a line") from None
    if not isinstance(value, dict):
        raise fault(name, number, f"expected an object, found {type(value).__name__}")
    for key in ("image", "text", "label"):
        if not isinstance(value.get(key), str) or not value[key].strip():
            raise fault(name, number, f"{key!r} is {value.get(key)!r}, expected a text")
    label = value["label"].strip().lower()
    if label not in YES_NO:
        raise fault(name, number, f"'label' is {value['label']!r}, expected yes or no")
    told = value.get("question_id", number)
    if isinstance(told, bool) or not isinstance(told, int | str):
        raise fault(name, number, f"'question_id' is {told!r}, expected a number")
    return Row(str(told), value["image"].strip(), value["text"].strip(), label == "yes")


def pope(
    files: Sequence[str | Path], images: str | Path, *, seed: int = 0, mismatched: int = 2
) -> tuple[Question, ...]:
    """Return POPE's questions about the images at hand; a group is an image.

    The kind is `presence-random`, `presence-popular` or `presence-adversarial` by the file's name, else `presence`.
    An image is found by its name, or as COCO's file of the same number (`000000310196.jpg` for
    `COCO_val2014_000000310196.jpg`). If some are missing a UserWarning says how many questions are left.

    Args:
        files: POPE's files, also compressed, in archives or a folder of them.
        images: a folder, a zip or a plain tar.
        mismatched: how many other images each question is asked of.

    Raises:
        BadInputError: a bad line (FaultError: file, line, reason), a damaged image, or none of the images is there.
    """
    photos = Photos(Path(images))
    asked: list[tuple[str, About]] = []
    total, missing = 0, set[str]()
    for name, row in _rows([Path(f) for f in files]):
        total += 1
        number = _COCO.search(row.image)
        file = photos.store.find(row.image, int(number[1]) if number else -1)
        if file is None:
            missing.add(row.image)
        else:
            asked.append((f"{name}/{row.number}", _about(name, row, file)))
    if not asked:
        raise BadInputError(
            f"{images}: none of the {len(missing):,} images that POPE asks about is there, e.g. {min(missing)}"
        )
    if missing:
        there = len({a.photo for _, a in asked})
        warnings.warn(
            f"pope: {len(asked):,} of {total:,} questions can be asked: {there:,} of {there + len(missing):,} images "
            f"are in {images}",
            stacklevel=2,
        )
    return questions_of("pope", asked, photos, mismatched, Random(f"pope {seed}"))


def _rows(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    """Yield every line with its file's name, without folder and suffix."""
    faults: list[Fault] = []
    found = 0
    for source in find_sources(files, (".json", ".jsonl"), faults):
        if source.is_notice:
            continue
        try:
            data = source.read()
        except BROKEN as error:
            raise fault(source.name, None, str(describe_read_error(error))) from None
        found += 1
        stem = PurePosixPath(source.name).name.split(".")[0]
        yield from ((stem, row) for row in parse_pope(data, source.name))
    if faults:
        raise FaultError(faults[0])
    if not found:
        raise BadInputError(f"{', '.join(map(str, files))}: no .json or .jsonl file; expected POPE's questions")


def _about(name: str, row: Row, file: str) -> About:
    kind = next((f"presence-{k}" for k in KINDS if k in name.lower()), "presence")
    noun = _ASKED.match(row.text)
    return About(
        kind,
        file,
        noun[1] if noun else row.text,
        f"Question: {row.text} Answer:",
        YES_NO,
        YES_NO.index("yes" if row.yes else "no"),
    )
