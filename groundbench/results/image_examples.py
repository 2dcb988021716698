"""pictures.json: the images that a run keeps for its page, with what heads read in them (pydantic, unknown refused).

It stands in the run directory's folder `pictures`, beside the image files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from groundbench.results.base import Record, read_record
from groundbench.util.atomic_files import write_text

FOLDER = "pictures"
FILE_NAME = "pictures.json"
Fraction = tuple[float, float, float, float]


class ReadMap(Record):
    """The reading of a list of heads in one image: rows x columns of the part `region` of the image.

    `values`: row by row, the share of each patch in all that these heads read in the image; empty where `n_heads`
    is 0 or nothing is read.
    """

    heads: Literal["all", "crossfit"]
    n_heads: int = Field(ge=0)
    rows: int = Field(ge=1)
    columns: int = Field(ge=1)
    region: Fraction = (0.0, 0.0, 1.0, 1.0)
    values: tuple[float, ...] = ()


class ImageExample(Record):
    """A noun's own image in a frame, and the noun's surprisal after it and after others (nats).

    Attributes:
        file: the name of the image file beside this one.
        text: the prompt's text.
        box: where the noun's object is, in fractions of the image.
        mismatched: mean over the other nouns shown; `gain`: mismatched - matched.
    """

    form: str
    noun: str
    frame: str
    text: str
    file: str = Field(pattern=r"^[a-z0-9-]+\.webp$")
    box: Fraction | None = None
    matched: float
    mismatched: float
    gain: float
    maps: tuple[ReadMap, ...] = ()


class ImageExamples(Record):
    """The images of a run, by falling gain; `rule` says how they were chosen."""

    rule: str
    items: tuple[ImageExample, ...]

    def save(self, directory: Path) -> None:
        """Write pictures.json, whole or not at all."""
        write_text(directory / FOLDER / FILE_NAME, self.model_dump_json() + "\n")

    @classmethod
    def load(cls, directory: Path) -> ImageExamples | None:
        """Load the images of a run directory; None if it has none. Raises BadInputError naming file and field."""
        path = directory / FOLDER / FILE_NAME
        return read_record(cls, path, FILE_NAME, "file of images") if path.is_file() else None
