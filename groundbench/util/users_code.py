"""Code that a user brings: found in the working folder, and its faults told as theirs, with file and line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from groundbench.api.errors import BadInputError, GroundbenchError
from groundbench.util.resource_errors import is_resource_error

LONGEST = 300


def error_text(error: BaseException) -> str:
    """Return an error's own words on one line, after its type where the words alone would not be understood."""
    words = " ".join(str(error).split())
    plain = type(error) is Exception or (isinstance(error, OSError | ValueError | ImportError) and len(words) > 12)
    text = words if plain and words else f"{type(error).__name__}: {words}" if words else type(error).__name__
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's own words; its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def innermost_module(error: BaseException) -> str:
    """Return the name of the module in which an error was raised; empty where it has no traceback."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")) if frames else ""


def place_in_users_code(error: BaseException, theirs: Sequence[str]) -> str | None:
    """Return `file, line N` of the innermost frame in one of `theirs`; None if it passed through none.

    Args:
        theirs: beginnings of module names, or of absolute paths of files.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if str(frame.f_globals.get("__name__", "")).startswith(tuple(theirs)) or file.startswith(tuple(theirs)):
            place = f"{file}, line {line}"
    return place


def import_object(spec: str, *args: Any, call_if: Any = callable, **options: Any) -> Any:
    """Return what `module:object` names, called if it can be; the module may be in the working folder.

    Args:
        call_if: tells of the object whether it is to be called with the other arguments.

    Raises:
        BadInputError: it cannot be imported, or fails, with the file and line of the user's own code.
    """
    module, _, attribute = spec.partition(":")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise BadInputError(f"{spec}: expected module:object, two names that Python can import, e.g. mymodel:make")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise BadInputError(
                f"{spec}: there is no module {module!r}, neither installed nor in the working folder {here}"
            ) from error
        raise _fault_in_users_code(spec, error) from error
    except Exception as error:  # a user's module: it may raise anything
        if is_resource_error(error):
            raise
        raise _fault_in_users_code(spec, error) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise BadInputError(f"{spec}: cannot import {attribute!r} from {module!r}: it has no {part!r}")
        found = getattr(found, part)
    if not (callable(found) and call_if(found)):
        return found
    try:
        return found(*args, **options)
    except GroundbenchError:
        raise
    except Exception as error:  # a user's function: it may raise anything
        if is_resource_error(error):
            raise
        raise _fault_in_users_code(spec, error) from error


def _fault_in_users_code(spec: str, error: Exception) -> BadInputError:
    """Return the fault of a user's code as one sentence: innermost file and line outside installed libraries."""
    if isinstance(error, SyntaxError) and error.filename:
        return BadInputError(f"{spec}: fails at {error.filename}, line {error.lineno}: SyntaxError: {error.msg}")
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file, name = frame.f_code.co_filename, str(frame.f_globals.get("__name__", ""))
        installed = file.startswith(("<", sys.base_prefix, sys.prefix)) or "site-packages" in file
        if not installed and not name.startswith("groundbench."):
            place = f"{file}, line {line}"
    words = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    return BadInputError(f"{spec}: fails{'' if place is None else f' at {place}'}: {words[:LONGEST]}")
