"""Errors that say that the machine ran out of something: memory, disk space, open files. No torch is imported."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from groundbench.api.errors import GroundbenchError

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_MEMORY = ("not enough memory", "out of memory", "defaultcpuallocator")


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error says that memory ran out, on any device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return not isinstance(error, GroundbenchError) and any(words in text for words in NO_MEMORY)


def is_disk_full(error: BaseException) -> bool:
    """Return True if an error says that a disk or a quota is full; safetensors carries the system's words only."""
    return (isinstance(error, OSError) and error.errno in DISK_FULL) or "no space left" in str(error).lower()


def is_resource_error(error: BaseException) -> bool:
    """Return True where the machine ran out of memory, space or open files, which is no fault of a user's file."""
    few_files = isinstance(error, OSError) and error.errno == errno.EMFILE
    return few_files or is_out_of_memory(error) or is_disk_full(error)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
