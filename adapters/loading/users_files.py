"""Faults in the files of a user's model, as one sentence that names the file.

Libraries raise anything on a broken file: ZeroDivisionError, EOFError, a bare Exception from Rust. So nothing here asks
for the type of an error: whatever is raised while a user's files are opened is a fault of theirs, unless our own code
raised it or the machine ran out of something.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from safetensors import safe_open
from tokenizers import Tokenizer

from groundbench.api.errors import BadInputError, GroundbenchError
from groundbench.util.resource_errors import is_resource_error
from groundbench.util.users_code import error_text, innermost_module, place_in_users_code

if TYPE_CHECKING:
    from groundbench.adapters.loading.source import Source

P = ParamSpec("P")
R = TypeVar("R")

OURS_BUT_BUILT_FROM_A_CONFIG = "groundbench.adapters.architectures"
READ = (".json", ".safetensors", ".bin", ".pt", ".pth", ".model", ".jinja", ".txt", ".py")
"""Endings of the files that opening a model may read."""
FORWARD, MADE = "its forward pass", "the model that it gives"
RUNS = (FORWARD, MADE)
POINTER = b"version https://git-lfs.github.com/spec/"
SIZE = re.compile(r"(num|n)_.*(head|layer|embd|block)s?|.*hidden_size|vocab_size|d_model|intermediate_size|ffn_dim")
"""Keys of a config.json that hold a size or a number of parts."""


@contextmanager
def opening(source: Source, part: str) -> Iterator[None]:
    """Turn whatever is raised inside into a BadInputError that names the file at fault.

    Args:
        part: what is being read or run, for the sentence where no single file is found to be at fault.
    """
    try:
        yield
    except GroundbenchError:
        raise
    except Exception as error:
        if is_resource_error(error) or _is_own_fault(error):
            raise
        raise BadInputError(_sentence(source, part, error)) from error


def with_opening(part: str) -> Callable[[Callable[Concatenate[Source, P], R]], Callable[Concatenate[Source, P], R]]:
    """Decorate a function of a source and more: it runs inside `opening`."""

    def decorate(function: Callable[Concatenate[Source, P], R]) -> Callable[Concatenate[Source, P], R]:
        @wraps(function)
        def wrapper(source: Source, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with opening(source, part):
                return function(source, *args, **kwargs)

        return wrapper

    return decorate


def require_fetched(source: Source) -> None:
    """Raise BadInputError for a file to be read that is empty, or a pointer left by git-lfs."""
    for path in _files(source):
        size = path.stat().st_size
        if size == 0 and path.suffix in (".json", ".safetensors", ".bin", ".model", ".gguf"):
            raise BadInputError(f"{path}: the file is empty; copy or download it again")
        if size < 1024 and path.open("rb").read(len(POINTER)) == POINTER:
            raise BadInputError(f"{path}: a pointer that git-lfs left in place of the file; get it with `git lfs pull`")


def _is_own_fault(error: BaseException) -> bool:
    module = innermost_module(error)
    return module.startswith("groundbench.") and not module.startswith(OURS_BUT_BUILT_FROM_A_CONFIG)


def _files(source: Source) -> list[Path]:
    if source.path is None:
        return []
    if source.gguf is not None:
        return [source.path / source.gguf]
    return sorted(p for p in source.path.iterdir() if p.suffix in READ and p.is_file())


def _sentence(source: Source, part: str, error: Exception) -> str:
    text = error_text(error)
    if "trust_remote_code" in str(error):
        return f"{source.name}: the model brings its own code; pass --trust-remote-code if you trust it"
    for look in (_broken_code, _broken_gguf, _broken_json, _broken_tokenizer, _broken_weights, _impossible_size):
        found = look(_files(source), error)
        if found is not None:
            return found
    code = place_in_users_code(error, _modules_of(source))
    if code is not None:
        return f"{source.name}: the code that comes with it fails at {code}: {text}"
    file = source.gguf or (part if "." in part else None)
    if source.path is not None and file is not None and (source.path / file).exists():
        return f"{source.path / file}: cannot be loaded: {text}"
    verb = "fails" if part in RUNS else "cannot be loaded"
    return f"{source.name}: {part} {verb}: {text}"


def _modules_of(source: Source) -> tuple[str, ...]:
    """Return the folders of code that comes with weights: transformers' own copy, and the original."""
    return ("transformers_modules", *(() if source.path is None else (str(source.path.resolve()),)))


def _broken_code(files: Sequence[Path], error: Exception) -> str | None:
    for path in files:
        if path.suffix == ".py":
            try:
                ast.parse(path.read_bytes(), path.name)
            except (SyntaxError, ValueError) as fault:
                return f"{path}, line {getattr(fault, 'lineno', 1)}: not valid Python: {getattr(fault, 'msg', fault)}"
    return None


def _broken_gguf(files: Sequence[Path], error: Exception) -> str | None:
    if importlib.util.find_spec("gguf") is None:
        return None
    from gguf import GGUFReader

    for path in files:
        if path.suffix.lower() == ".gguf":
            try:
                GGUFReader(path)
            except Exception as fault:  # struct's, NumPy's and its own: it reads beyond the end
                return f"{path}: a GGUF file that is damaged or cut short: {error_text(fault)}"
    return None


def _broken_json(files: Sequence[Path], error: Exception) -> str | None:
    for path in files:
        if path.suffix != ".json":
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as fault:
            return f"{path}, line {fault.lineno}: not valid JSON: {fault.msg}"
        except UnicodeDecodeError as fault:
            return f"{path}: not UTF-8 text (byte {fault.start})"
        except (OSError, RecursionError) as fault:
            return f"{path}: cannot be read: {error_text(fault)}"
        if path.name in ("config.json", "tokenizer.json", "tokenizer_config.json") and not isinstance(found, dict):
            return f"{path}: holds {type(found).__name__}, expected an object with keys and values"
    return None


def _broken_tokenizer(files: Sequence[Path], error: Exception) -> str | None:
    for path in files:
        if path.name != "tokenizer.json":
            continue
        try:
            Tokenizer.from_file(str(path))
        except Exception as fault:  # Rust raises a bare Exception
            return f"{path}: damaged, or written by another version of tokenizers: {error_text(fault)}"
    return None


def _broken_weights(files: Sequence[Path], error: Exception) -> str | None:
    unpickling = next((e for e in _chain(error) if isinstance(e, pickle.UnpicklingError)), None)
    for path in files:
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, framework="numpy"):
                    pass
            except Exception as fault:  # SafetensorError, OSError: any of them says that the file is no such file
                return f"{path}: not a whole safetensors file: {error_text(fault)}"
        elif path.suffix == ".bin" and unpickling is not None:
            found = re.search(r"GLOBAL (\S+)", str(unpickling))
            if found is not None:
                return (
                    f"{path}: holds Python objects ({found[1]}) beside tensors, and to unpickle them could run any "
                    "code; "
                    "save the weights alone, e.g. model.save_pretrained(DIR)"
                )
            return f"{path}: not a file of weights that torch.save wrote: {error_text(unpickling)[:120]}"
    return None


def require_possible_sizes(source: Source) -> None:
    """Raise BadInputError where a size in config.json is no whole number above 0."""
    found = _impossible_size(_files(source), None)
    if found is not None:
        raise BadInputError(found)


def _impossible_size(files: Sequence[Path], error: Exception | None) -> str | None:
    path = next((p for p in files if p.name == "config.json"), None)
    if path is None:
        return None
    for key, value in _sizes(json.loads(path.read_text(encoding="utf-8"))):
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool) and value <= 0):
            return f"{path}: {key} is {value!r}, expected a whole number above 0"
    return None


def _sizes(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", v) for inner, v in _sizes(value))
        elif SIZE.fullmatch(key):
            yield key, value


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
