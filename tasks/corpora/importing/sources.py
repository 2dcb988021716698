"""Where transcripts lie: files, folders, zip and tar archives, each also compressed (.xz, .gz, .bz2)."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.importing.faults import Fault
from groundbench.tasks.corpora.importing.truncated_zip import members_before_the_cut

COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
}
NOTICES = ("0metadata.cdc", "license", "licence", "citation", "readme")
"""Files beside transcripts that say whose they are: carried along."""
NOTICE_BYTES = 20_000
BROKEN = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, NotImplementedError)
"""What reading a file may raise where it is damaged."""
UNFORESEEN = (*BROKEN, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, struct.error)
"""What the standard library's readers of archives raise besides on bytes that they do not expect."""


@dataclass(frozen=True)
class Source:
    """One file to read, on disk (`path`) or out of an archive (`data`).

    Attributes:
        name: what messages call it: the path, or the archive's path and the member's, as `shown`.
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
        """Whether it says whose the corpus is."""
        return PurePosixPath(self.name).name.lower().startswith(NOTICES)

    def read(self) -> bytes:
        """Its bytes, decompressed. Raises what `broken` names."""
        data = self.data if self.path is None else self.path.read_bytes()
        unpack = COMPRESSED.get(PurePosixPath(self.name).suffix.lower())
        try:
            return (data or b"") if unpack is None else unpack(data or b"")
        except ValueError as error:  # of bz2, where the others raise EOFError
            raise EOFError(str(error)) from None


def shown(name: object) -> str:
    """A name in characters that any file and terminal takes: names need not be UTF-8, and may hold line breaks."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(name))


def broken(error: Exception) -> str | None:
    """A sentence for an error of reading or unpacking; None if it is of another kind."""
    if not isinstance(error, BROKEN):
        return None
    return f"cannot be read: {_told(error)}"


def _told(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def total_size(paths: Sequence[Path]) -> int:
    """Bytes of all files given, as they lie on disk.

    Raises:
        BadInputError: a path that is not there.
    """
    for path in paths:
        if not path.exists():
            raise BadInputError(f"{path}: no such file or folder")
    return sum(p.stat().st_size for path in paths for p in _files(path))


def find_sources(paths: Iterable[Path], suffixes: Sequence[str], faults: list[Fault]) -> Iterator[Source]:
    """Every file with one of these suffixes and every notice, in order: of the paths given, then by name.

    Archives are read member by member; one that is damaged gives what stands before the damage, and a fault.

    Raises:
        BadInputError: a file given by name that is of no known kind.
    """
    seen: set[Path] = set()
    for given in paths:
        for path in _files(given):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            source = Source(shown(path), given, path.stat().st_size, path=path)
            if _is_archive(path):
                yield from _members(path, given, suffixes, faults)
            elif source.suffix in suffixes or (source.is_notice and path != given):
                yield source
            elif path == given:
                raise BadInputError(f"{path}: expected {', '.join(suffixes)}, a folder, a zip or a tar archive")


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file() and not _hidden(p.name)]


def _hidden(name: str) -> bool:
    return PurePosixPath(name).name.startswith(".") or "__MACOSX" in name


def _is_archive(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((".zip", ".tar", ".tgz", ".txz", ".tbz2", *(".tar" + c for c in COMPRESSED)))


def _members(path: Path, given: Path, suffixes: Sequence[str], faults: list[Fault]) -> Iterator[Source]:
    read = _zip_members if path.suffix.lower() == ".zip" else _tar_members
    try:
        for name, data, size in read(path, faults):
            source = Source(shown(f"{path}/{name}"), given, size, data=data)
            if source.suffix in suffixes or source.is_notice:
                yield source
    except UNFORESEEN as error:
        faults.append(Fault(shown(path), None, f"damaged archive: {_told(error)}"))


def _zip_members(path: Path, faults: list[Fault]) -> Iterator[tuple[str, bytes, int]]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        faults.append(Fault(shown(path), None, f"damaged archive: {_told(error)}; what stands before the cut is read"))
        yield from (m for m in members_before_the_cut(path) if not (m[0].endswith("/") or _hidden(m[0])))
        return
    with archive:
        for entry in sorted(archive.infolist(), key=lambda e: e.filename):
            if entry.is_dir() or _hidden(entry.filename):
                continue
            try:
                yield entry.filename, archive.read(entry), entry.compress_size
            except UNFORESEEN as error:  # of a member with a password: RuntimeError
                faults.append(Fault(shown(f"{path}/{entry.filename}"), None, f"damaged member: {_told(error)}"))


def _tar_members(path: Path, _: list[Fault]) -> Iterator[tuple[str, bytes, int]]:
    with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as archive:
        done = 0
        for entry in archive:
            if not entry.isfile() or _hidden(entry.name):
                continue
            file = archive.extractfile(entry)
            data = b"" if file is None else file.read()
            if len(data) < entry.size:
                raise EOFError(f"it ends within {entry.name}")
            here = raw.tell()
            yield entry.name, data, here - done
            done = here
