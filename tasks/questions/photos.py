"""Photos as evidence: those of a collection that are there, a blank one of the same size, and others instead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from groundbench.api.question import Question
from groundbench.api.testbed import ImageSegment, ImageSource, Prompt, TextSegment
from groundbench.tasks.photos.decode import decode
from groundbench.tasks.photos.image_store import ImageFiles, open_image_files
from groundbench.tasks.photos.testbed import PhotoSource

if TYPE_CHECKING:
    from PIL.Image import Image

GRAY = (127, 127, 127)


@dataclass(frozen=True)
class Blank:
    """A gray image of this size."""

    width: int
    height: int

    @property
    def key(self) -> str:
        """Its size."""
        return f"gray {self.width}x{self.height}"

    def load(self) -> Image:
        """Return the image."""
        from PIL import Image

        return Image.new("RGB", (self.width, self.height), GRAY)


@dataclass(frozen=True)
class About:
    """A question about a photo; `photo` is its file, which is also its group. `ask` follows the image."""

    kind: str
    photo: str
    noun: str
    ask: str
    choices: tuple[str, ...]
    target: int
    also_correct: tuple[int, ...] = ()


class Photos:
    """The files of a folder or archive (see `groundbench.tasks.photos.image_store`), each read once."""

    def __init__(self, images: Path) -> None:
        self.path = images.resolve()
        self._known: dict[str, tuple[PhotoSource, Blank]] = {}

    @cached_property
    def store(self) -> ImageFiles:
        """The files. Raises BadInputError, see `open_image_files`."""
        return open_image_files(self.path)

    def source(self, file: str) -> PhotoSource:
        """Return a photo. Raises FaultError where it is damaged, naming the file."""
        return self._read(file)[0]

    def blank(self, file: str) -> Blank:
        """Return a blank image of a photo's size."""
        return self._read(file)[1]

    def _read(self, file: str) -> tuple[PhotoSource, Blank]:
        if file not in self._known:
            data = self.store.read(file)
            size = decode(data, f"{self.path}/{file}").image.size
            self._known[file] = PhotoSource(self.path, file, hashlib.sha256(data).hexdigest()), Blank(*size)
        return self._known[file]


def questions_of(
    name: str, asked: Sequence[tuple[str, About]], photos: Photos, mismatched: int, rng: Random
) -> tuple[Question, ...]:
    """Yield questions (each with its id in the set) about photos; other evidence: any other photo asked about.

    Which photo is shown instead does not depend on what is true of it (see `cases`).
    """
    files = sorted({a.photo for _, a in asked})
    found = []
    for number, about in asked:
        others = [f for f in files if f != about.photo]
        drawn = rng.sample(others, min(mismatched, len(others)))
        found.append(_question(f"{name}/{number}", name, about, photos, drawn))
    return tuple(found)


def _question(id_: str, name: str, about: About, photos: Photos, drawn: Sequence[str]) -> Question:
    def prompt(image: ImageSource) -> Prompt:
        return Prompt(id_, about.noun, "image", (ImageSegment(image), TextSegment(about.ask)))

    return Question(
        id=id_,
        kind=about.kind,
        form="image",
        group=f"{name}/{about.photo}",
        prompt=prompt(photos.source(about.photo)),
        without=prompt(photos.blank(about.photo)),
        mismatched=tuple(prompt(photos.source(f)) for f in drawn),
        choices=about.choices,
        target=about.target,
        also_correct=about.also_correct,
    )
