"""The folder of an image testbed: pictures.json says what is shown in which file, and what is said."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Box
from groundbench.tasks.corpora.manifest import FaultRecord, schema_fault

FILE = "pictures.json"
FORMAT: Final = "groundbench-pictures"
VERSION: Final = 1
COPIES = "pictures"
"""Where copies of the files lie inside the folder, if they were asked for."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Model):
    """One image: its file in the folder or archive, the hash of its bytes, its size upright, its licence."""

    file: str
    sha256: str
    width: int
    height: int
    licence: str


class Place(_Model):
    """An object: the image's number and the box in it, in fractions of the upright image."""

    picture: int
    box: Box


class Other(Place):
    """A mismatched image and how unlike the matched one it is (see `matching.Mismatch`)."""

    distance: float
    displaced: float


class Item(_Model):
    """One frame: the noun, its image, what is said before the noun, and an image for every other noun.

    A noun that has no image without this item's noun is not in `others`.
    """

    id: str
    noun: str
    shown: Place
    text: str
    others: dict[str, Other]


class PhotoManifest(_Model):
    """Everything that was decided on import; nothing is chosen later.

    Attributes:
        images: where the files lie: a folder, zip or tar; `pictures` means the folder of that name beside this file.
        crops: whether there is a form of single-object crops.
        at_least: how many images a noun needs; `scarce` are nouns that have fewer, with how many.
        distance, displaced: means over all mismatches.
    """

    format: Literal["groundbench-pictures"] = FORMAT
    version: Literal[1] = VERSION
    source: Literal["coco", "visdial"]
    images: str
    crops: bool
    at_least: int
    min_area: float
    pictures: dict[int, File]
    items: tuple[Item, ...]
    scarce: dict[str, int]
    unmatched: tuple[str, ...] = ()
    """Categories that no noun of the inventory stands for."""
    distance: float | None
    displaced: float | None
    faults: tuple[FaultRecord, ...] = ()

    @property
    def nouns(self) -> tuple[str, ...]:
        """The nouns that are shown and asked for, in order of the items."""
        return tuple(dict.fromkeys(i.noun for i in self.items))

    def digest(self) -> str:
        """Hash what decides a number: image bytes, boxes, texts, without the files' places (16 hex digits)."""
        kept = self.model_dump(mode="json", exclude={"images", "faults", "scarce", "unmatched"})
        kept["pictures"] = {k: p["sha256"] for k, p in kept["pictures"].items()}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def is_photo_folder(folder: Path) -> bool:
    """Return True if the folder looks like an image testbed."""
    return (folder / FILE).is_file()


def save_manifest(folder: Path, manifest: PhotoManifest) -> None:
    """Write pictures.json."""
    (folder / FILE).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load_manifest(folder: Path) -> PhotoManifest:
    """Return the manifest of an image testbed.

    Raises:
        BadInputError: there is none, or it is not one of ours.
    """
    path = folder / FILE
    try:
        return PhotoManifest.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise schema_fault(path, error, f"{FORMAT} version {VERSION}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read: {error}") from None
