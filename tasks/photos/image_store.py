"""Stores of image files: a folder, a zip or a plain tar archive. Read one by one, never unpacked."""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.importing.faults import fault
from groundbench.tasks.corpora.importing.sources import BROKEN, describe_read_error

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FILE_BYTES = 64 << 20
"""An image file that claims more is refused unread."""
_NUMBER = re.compile(r"(?:^|_)(\d{12})\.\w+$")
"""COCO's own names: twelve digits, since 2017 alone, before with the split's name (COCO_train2014_000000000009)."""


class Store(Protocol):
    """Files by name."""

    def names(self) -> Iterator[str]:
        """Return all of them."""
        ...

    def size(self, name: str) -> int:
        """Return the size that the store claims to have unpacked, in bytes."""
        ...

    def read(self, name: str) -> bytes:
        """Return the bytes of one of them."""
        ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> Iterator[str]:
        for folder, folders, found in os.walk(self.path):
            folders.sort()
            for name in sorted(found):
                yield Path(folder, name).relative_to(self.path).as_posix()

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


class _Zip:
    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path)

    def names(self) -> Iterator[str]:
        return iter(self.archive.namelist())

    def size(self, name: str) -> int:
        return self.archive.getinfo(name).file_size

    def read(self, name: str) -> bytes:
        return self.archive.read(name)


class _Tar:
    def __init__(self, path: Path) -> None:
        self.archive = tarfile.open(path, "r:")  # noqa: SIM115 (kept open: images are read when they are needed)
        self.members = {m.name: m for m in self.archive if m.isfile()}

    def names(self) -> Iterator[str]:
        return iter(self.members)

    def size(self, name: str) -> int:
        return self.members[name].size

    def read(self, name: str) -> bytes:
        file = self.archive.extractfile(self.members[name])
        data = b"" if file is None else file.read()
        if len(data) < self.members[name].size:
            raise EOFError(f"the archive ends within {name}")
        return data


class ImageFiles:
    """The image files of a folder or archive, found by name or by COCO's number in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = _open(path)
        self._names: set[str] = set()
        self._by_end: dict[str, list[str]] = {}
        self._by_number: dict[int, list[str]] = {}
        for name in self.store.names():
            end = PurePosixPath(name)
            if end.suffix.lower() not in SUFFIXES or end.name.startswith(".") or "__MACOSX" in name:
                continue
            self._names.add(name)
            self._by_end.setdefault(end.name, []).append(name)
            if number := _NUMBER.search(end.name):
                self._by_number.setdefault(int(number[1]), []).append(name)
        if not self._names:
            raise BadInputError(f"{path}: holds no image; expected {', '.join(SUFFIXES)}")

    def find(self, name: str, number: int) -> str | None:
        """Find the file of that name, else of its last part, else of that number (COCO_train2014_…9.jpg).

        A file never stands in for another photo: of several with the same last part the one in the same folder is
        taken or none, and the number counts only where both names are COCO's own, and for one file.
        """
        if name in self._names:
            return name
        path = PurePosixPath(name)
        same = self._by_end.get(path.name, [])
        if len(same) > 1:
            same = [s for s in same if PurePosixPath(s).parts[-2:] == path.parts[-2:]]
        if same:
            return same[0] if len(same) == 1 else None
        asked = _NUMBER.search(path.name)
        if name and (asked is None or int(asked[1]) != number):
            return None
        numbered = self._by_number.get(number, [])
        return numbered[0] if len(numbered) == 1 else None

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            FaultError: not there, too big or damaged; names the file.
        """
        where = f"{self.path}/{name}"
        if name not in self._names:
            raise fault(where, None, "no such image")
        try:
            if (size := self.store.size(name)) > FILE_BYTES:
                raise fault(where, None, f"claims {size:,} bytes, expected at most {FILE_BYTES:,}")
            return self.store.read(name)
        except (*BROKEN, RuntimeError) as error:  # RuntimeError: a member with a password
            raise fault(where, None, describe_read_error(error) or f"cannot be read: {error}") from None


def open_image_files(path: Path) -> ImageFiles:
    """Return the images of a folder, zip or tar archive; opened once for each process.

    Raises:
        BadInputError: not there, of another kind, damaged, or without images.
    """
    return _open_in_process(path, os.getpid())  # a handle of an archive that processes share would be read at one place


@lru_cache(maxsize=8)
def _open_in_process(path: Path, process: int) -> ImageFiles:
    return ImageFiles(path)


def _open(path: Path) -> Store:
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise BadInputError(f"{path}: no such file or folder; expected a folder, .zip or .tar of images")
    try:
        if zipfile.is_zipfile(path):
            return _Zip(path)
        return _Tar(path)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        said = "unpack it first" if path.suffix.lower() in (".gz", ".xz", ".bz2", ".tgz", ".txz") else str(error)
        raise BadInputError(f"{path}: expected a folder, a .zip or an uncompressed .tar of images: {said}") from None
