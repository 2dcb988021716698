"""Text files of users: UTF-8 with or without a byte order mark, UTF-16, else Latin-1; any line ends; gzip and xz."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from pathlib import Path

from groundbench.api.errors import BadInputError

COMPRESSED = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}


def read_text(path: Path) -> tuple[str, str | None]:
    """Return the text of a file with LF line ends, and a note where it is not UTF-8.

    Raises:
        BadInputError: no such file, a folder, a damaged archive, or binary data.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInputError(f"{path}: no such file; expected records as JSON lines, CSV, Parquet or YAML") from None
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if path.suffix in COMPRESSED:
        try:
            data = COMPRESSED[path.suffix](data)
        except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
            raise BadInputError(f"{path}: damaged {path.suffix} file: {error}") from None
    text, note = decode(data, path)
    return text.replace("\r\n", "\n").replace("\r", "\n"), note


def decode(data: bytes, path: Path) -> tuple[str, str | None]:
    """Decode bytes to text; the note says if they are not UTF-8. Raises BadInputError for binary data."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            try:
                return data.decode(name), None
            except UnicodeDecodeError as error:
                raise BadInputError(f"{path}: begins with the mark of {name}, but is not: {error}") from None
    if b"\0" in data[:4096]:
        raise BadInputError(f"{path}: is binary, expected text")
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return data.decode("cp1252", "replace"), f"{path}, line {line}: not UTF-8, read as Latin-1 (cp1252)"
