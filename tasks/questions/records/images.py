"""Images that records name: files of a folder, each with a content key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from groundbench.tasks.questions.sets.place import FaultyError, Place

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ImageFile:
    """An image in a file; `key` is a hash of its bytes."""

    path: Path
    key: str

    def load(self) -> Image:
        """Return the image in RGB, upright."""
        from groundbench.tasks.photos.decode import decode

        return decode(self.path.read_bytes(), str(self.path)).image


@dataclass(frozen=True)
class ImageBytes:
    """An image held by the record itself, as Parquet files of the hub hold them."""

    data: bytes
    key: str

    def load(self) -> Image:
        """Return the image in RGB, upright."""
        from groundbench.tasks.photos.decode import decode

        return decode(self.data, self.key).image


def find_image(name: object, place: Place) -> ImageFile | ImageBytes:
    """Return the image of a record, in the folder of images or beside the file.

    Raises:
        FaultyError: it is not there, or `name` is no text.
    """
    if isinstance(name, dict) and isinstance(name.get("bytes"), bytes):
        return ImageBytes(name["bytes"], hashlib.sha256(name["bytes"]).hexdigest()[:16])
    if not isinstance(name, str) or not name.strip():
        raise FaultyError(f"'image' is {name!r}, expected the name of a file")
    folder = place.path.parent if place.images is None else place.images
    path = folder / name
    if not path.is_file():
        raise FaultyError(f"the image {name!r} is not in {folder}")
    return _image(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _image(path: Path, _: int) -> ImageFile:
    return ImageFile(path, hashlib.sha256(path.read_bytes()).hexdigest()[:16])
