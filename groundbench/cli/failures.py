"""Every error a user can meet, as one sentence and an exit code (contract 1)."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from groundbench.api.errors import GroundbenchError
from groundbench.util.resource_errors import chain, is_disk_full, is_out_of_memory

DONE, FAULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_KEPT = "; what was computed so far is kept"
_USERS_PATH = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)


class Explanation(NamedTuple):
    """The sentence for an error on stderr, and the exit code."""

    sentence: str
    exit_code: int


def explain(error: BaseException, *, kept: bool = True) -> Explanation | None:
    """Return the sentence and exit code of an error, or None for a fault nobody foresaw: its traceback is wanted.

    Args:
        kept: results were written as they came, so that the same command goes on from them.
    """
    keeps = _KEPT if kept else ""
    if isinstance(error, GroundbenchError):
        return Explanation(str(error), error.exit_code)
    full = next((e for e in chain(error) if is_disk_full(e)), None)
    if full is not None:
        place = getattr(full, "filename", None) or "the results"
        return Explanation(f"no space left on device while writing {place}{keeps}", FAULT)
    if is_out_of_memory(error):
        return Explanation(f"out of memory{keeps}: try a smaller --batch-tokens or --dtype bfloat16", FAULT)
    if isinstance(error, OSError) and error.filename is not None:
        code = BAD_INPUT if isinstance(error, _USERS_PATH) else FAULT
        return Explanation(f"{error.filename}: {error.strerror or error}", code)
    return _of_pydantic(error)


def _of_pydantic(error: BaseException) -> Explanation | None:
    """Return a schema error that no reader turned into its own sentence: still one sentence, never pydantic's page."""
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is None or not isinstance(error, pydantic.ValidationError):
        return None
    from groundbench.util.validation import first_fault

    return Explanation(f"{error.title}: {first_fault(error)}", FAULT)
