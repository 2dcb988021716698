"""What is left of a zip archive that was cut: its members before the cut, read from their own headers.

A zip's list of members stands at its end, so that `zipfile` finds none of them once the end is gone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

HEADER = struct.Struct("<4sHHHHHIIIHH")
SIGNATURE, DESCRIPTOR = b"PK\x03\x04", b"PK\x07\x08"
ENCRYPTED, SIZES_FOLLOW, UTF8 = 1, 1 << 3, 1 << 11
STORED, DEFLATED = 0, 8
CHUNK = 1 << 16


def members_before_the_cut(path: Path) -> Iterator[tuple[str, bytes, int]]:
    """Name, contents and packed size of every whole member from the start on; it ends at the first that is not."""
    data = path.read_bytes()
    at = 0
    while (found := _member(data, at)) is not None:
        name, contents, end = found
        yield name, contents, end - at
        at = end


def _member(data: bytes, at: int) -> tuple[str, bytes, int] | None:
    """The member whose header stands at `at`, and where the next one begins; None where it is not whole."""
    if len(data) < at + HEADER.size:
        return None
    mark, _, flags, method, _, _, crc, packed, _, n_name, n_extra = HEADER.unpack_from(data, at)
    start = at + HEADER.size + n_name + n_extra
    if mark != SIGNATURE or flags & ENCRYPTED or start > len(data):
        return None
    name = data[at + HEADER.size : start - n_extra].decode("utf-8" if flags & UTF8 else "cp437", "replace")
    if method == STORED and not flags & SIZES_FOLLOW:
        contents, end = data[start : start + packed], start + packed
    elif method == DEFLATED:
        inflated = _inflated(data, start)
        if inflated is None:
            return None
        contents, end = inflated
    else:
        return None
    if flags & SIZES_FOLLOW:
        end += 4 * (data[end : end + 4] == DESCRIPTOR)
        if len(data) < end + 12:
            return None
        crc = int.from_bytes(data[end : end + 4], "little")
        end += 12
    return (name, contents, end) if end <= len(data) and zlib.crc32(contents) == crc else None


def _inflated(data: bytes, start: int) -> tuple[bytes, int] | None:
    reader, parts, at = zlib.decompressobj(-zlib.MAX_WBITS), list[bytes](), start
    try:
        while not reader.eof and at < len(data):
            parts.append(reader.decompress(data[at : at + CHUNK]))
            at += CHUNK
    except zlib.error:
        return None
    end = min(at, len(data)) - len(reader.unused_data)
    return (b"".join(parts), end) if reader.eof else None
