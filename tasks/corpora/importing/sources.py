"""Sources of transcripts: files, folders, zip and tar archives, each also compressed (.xz, .gz, .bz2)."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.importing.faults import Fault

COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
}
NOTICES = ("0metadata.cdc", "license", "licence", "citation", "readme")
"""Files beside transcripts that say whose they are: carried along."""
NOTICE_BYTES = 20_000
BROKEN = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, NotImplementedError)
"""Errors of reading a damaged file."""
UNFORESEEN = (*BROKEN, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, struct.error)
"""Errors that the standard library's readers of archives raise besides on bytes that they do not expect."""
NESTED = 3
"""Archives inside one another that are opened."""
HIDDEN = "hidden"
"""The name under which `Passed` counts hidden files and folders; other files under their suffix."""
Passed = Counter[str]
"""Numbers of files of each kind that lie among the transcripts and are no input: hidden ones, recordings, notes ..."""


@dataclass(frozen=True)
class Source:
    """One file to read, on disk (`path`) or out of an archive (`data`).

    Attributes:
        name: what messages call it: the path, or the archive's path and the member's, as `printable` writes it.
        given: which of the paths given it came from.
        size: how much of that path's bytes it stands for; what progress counts.
    """

    name: str
    given: Path
    size: int
    path: Path | None = None
    data: bytes | None = None

    @property
    def suffix(self) -> str:
        """The kind of file, without a suffix of compression."""
        name = PurePosixPath(self.name)
        return (name.with_suffix("") if name.suffix.lower() in COMPRESSED else name).suffix.lower()

    @property
    def is_notice(self) -> bool:
        """True if it says whose the corpus is."""
        return PurePosixPath(self.name).name.lower().startswith(NOTICES)

    def read(self) -> bytes:
        """Return its bytes, decompressed. Raises what `broken` names."""
        data = self.data if self.path is None else self.path.read_bytes()
        unpack = COMPRESSED.get(PurePosixPath(self.name).suffix.lower())
        try:
            return (data or b"") if unpack is None else unpack(data or b"")
        except ValueError as error:  # of bz2, where the others raise EOFError
            raise EOFError(str(error)) from None


def printable(name: object) -> str:
    """Return a name in characters that any file and terminal takes: names may hold other bytes and line breaks."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(name))


def describe_read_error(error: Exception) -> str | None:
    """Return a sentence for an error of reading or unpacking; None if it is of another kind."""
    if not isinstance(error, BROKEN):
        return None
    return f"cannot be read: {_reason(error)}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


@dataclass
class Inputs:
    """The files under the paths given, found once, in order: of the paths, then by name.

    Folders that are linked are followed, each folder once. What cannot be looked into is a fault.

    Raises:
        BadInputError: a path that is not there.
    """

    paths: Sequence[Path]
    faults: list[Fault]
    passed: Passed = field(default_factory=Counter)
    files: list[tuple[Path, Path, int]] = field(default_factory=list)
    """Path given, file, bytes."""

    def __post_init__(self) -> None:
        folders: set[tuple[int, int]] = set()
        for given in self.paths:
            if not given.exists():
                raise BadInputError(f"{given}: no such file or folder")
            if given.is_dir():
                for path in self._walk(given, folders):
                    self._add(given, path)
            else:
                self._add(given, given)

    @property
    def size(self) -> int:
        """The bytes of all files on disk."""
        return sum(size for _, _, size in self.files)

    def _walk(self, folder: Path, done: set[tuple[int, int]]) -> Iterator[Path]:
        try:
            seen = folder.stat()
            if (seen.st_dev, seen.st_ino) in done:
                return
            done.add((seen.st_dev, seen.st_ino))
            names = sorted(os.listdir(folder))
        except OSError as error:
            self.faults.append(Fault(printable(folder), None, f"the folder cannot be read: {_reason(error)}"))
            return
        for name in names:
            path = folder / name
            if _is_hidden(name):
                self.passed[HIDDEN] += 1
            elif path.is_dir():
                yield from self._walk(path, done)
            else:
                yield path

    def _add(self, given: Path, path: Path) -> None:
        try:
            found = path.stat()
        except OSError as error:
            self.faults.append(Fault(printable(path), None, f"cannot be read: {_reason(error)}"))
            return
        if stat.S_ISREG(found.st_mode):
            self.files.append((given, path, found.st_size))
        elif path == given:
            raise BadInputError(f"{path}: neither a file nor a folder")
        else:
            self.passed["no regular file"] += 1


def find_sources(paths: Iterable[Path] | Inputs, suffixes: Sequence[str], faults: list[Fault]) -> Iterator[Source]:
    """Yield every file with one of these suffixes and every notice, in order: of the paths given, then by name.

    Archives are read member by member, also those inside archives. One that is damaged gives a fault; a tar gives what
    stands before the damage.

    Raises:
        BadInputError: a path that is not there, or a file given by name that is of no known kind.
    """
    inputs = paths if isinstance(paths, Inputs) else Inputs(list(paths), faults)
    seen: set[Path] = set()
    for given, path, size in inputs.files:
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        source = Source(printable(path), given, size, path=path)
        if is_archive(path.name):
            yield from _members(path, given, suffixes, faults, inputs.passed)
        elif source.suffix in suffixes or (source.is_notice and path != given):
            yield source
        elif path == given:
            raise BadInputError(f"{path}: expected {', '.join(suffixes)}, a folder, a zip or a tar archive")
        else:
            inputs.passed[source.suffix or "no suffix"] += 1


def _is_hidden(name: str) -> bool:
    """Return True if a path inside a folder or archive has a hidden part: no input of anybody's making."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts if part != "..")


def is_archive(name: str) -> bool:
    """Return True if a file of this name is opened as an archive."""
    return name.lower().endswith((".zip", ".tar", ".tgz", ".txz", ".tbz2", *(".tar" + c for c in COMPRESSED)))


def _members(path: Path, given: Path, suffixes: Sequence[str], faults: list[Fault], passed: Passed) -> Iterator[Source]:
    try:
        with path.open("rb") as file:
            for name, data, size in _unpack(printable(path), file, faults, passed, NESTED):
                source = Source(name, given, size, data=data)
                if source.suffix in suffixes or source.is_notice:
                    yield source
                else:
                    passed[source.suffix or "no suffix"] += 1
    except OSError as error:
        faults.append(Fault(printable(path), None, f"cannot be read: {_reason(error)}"))


def _unpack(
    name: str, file: BinaryIO, faults: list[Fault], passed: Passed, deeper: int
) -> Iterator[tuple[str, bytes, int]]:
    """Full name, contents and packed size of every member; those of the archives among them in their place."""
    read = _zip_members if name.lower().endswith(".zip") else _tar_members
    try:
        for member, data, size in read(name, file, faults):
            full = printable(f"{name}/{member}")
            if _is_hidden(member):
                passed[HIDDEN] += 1
            elif not is_archive(member):
                yield full, data, size
            elif deeper == 0:
                faults.append(Fault(full, None, f"archives lie more than {NESTED} deep in one another: unpack them"))
            else:
                whole = max(1, len(data))
                for inner, inside, packed in _unpack(full, io.BytesIO(data), faults, passed, deeper - 1):
                    yield inner, inside, packed * size // whole  # progress counts bytes of the outer file
    except UNFORESEEN as error:
        cut = isinstance(error, EOFError | zipfile.BadZipFile | tarfile.ReadError)
        advice = "; is it cut? Download it again" if cut else ""
        faults.append(Fault(name, None, f"damaged archive: {_reason(error)}{advice}"))


def _zip_members(name: str, file: BinaryIO, faults: list[Fault]) -> Iterator[tuple[str, bytes, int]]:
    with zipfile.ZipFile(file) as archive:
        for entry in sorted(archive.infolist(), key=lambda e: e.filename):
            if entry.is_dir():
                continue
            try:
                data = b"" if _is_hidden(entry.filename) else archive.read(entry)
            except UNFORESEEN as error:  # of a member with a password: RuntimeError
                faults.append(Fault(printable(f"{name}/{entry.filename}"), None, f"damaged member: {_reason(error)}"))
            else:
                yield entry.filename, data, entry.compress_size


def _tar_members(_: str, raw: BinaryIO, faults: list[Fault]) -> Iterator[tuple[str, bytes, int]]:
    with tarfile.open(fileobj=raw, mode="r|*") as archive:
        done = 0
        for entry in archive:
            if not entry.isfile():
                continue
            file = archive.extractfile(entry)
            data = b"" if file is None else file.read()
            if len(data) < entry.size:
                raise EOFError(f"it ends within {entry.name}")
            here = raw.tell()
            yield entry.name, data, here - done
            done = here
