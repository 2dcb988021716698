"""Converted GGUF files, kept: a file is read and dequantized once, and opened from plain weights afterwards.

An entry is keyed by everything that decides it: the file's digest, the dtype, the libraries that convert, and this
module's `CONVERSION`. It is written beside its place, opened again and compared with what the file gave (config,
tokenizer, every weight, bit for bit), and only then moved there. Before it is read its files are compared with the
digests that were taken of them; one that differs is converted again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundbench.adapters.loading.fingerprint import identity_of
from groundbench.adapters.loading.source import Source
from groundbench.api.errors import GroundbenchError
from groundbench.util.cache_folder import ABOUT, UNFINISHED, cache_folder
from groundbench.util.checksums import sha256_of
from groundbench.util.notices import tell_once
from groundbench.util.packages import installed_versions
from groundbench.util.resource_errors import is_resource_error
from groundbench.util.users_code import error_text

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CONVERSION = 1
"""Of this module: raised when an entry of an older one would not do."""
CONVERTERS = ("transformers", "tokenizers", "gguf", "torch", "safetensors")
SAMPLES = ("The dog saw a red ball.", " Where is it?\n<|endoftext|> 12, 345 ünï", "")
"""Texts that a tokenizer and its reopened copy must read alike."""
TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "all_special_tokens", "chat_template", "is_fast")


@dataclass(frozen=True)
class Whole:
    """A model as a file gives it: its parts, and notes for its results."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Converted:
    """An entry of the cache that holds the same model as a GGUF file."""

    folder: Path
    notes: tuple[str, ...]


def load_or_convert(
    source: Source,
    dtype: torch.dtype | str,
    read: Callable[[], Whole] | None,
    reopen: Callable[[Path], Whole],
) -> Converted | None:
    """Return the entry of a GGUF file, made now where there is none; None where the cache cannot be used.

    Args:
        dtype: of the weights in memory.
        read: reads the file itself; None where only an entry that is there is wanted.
        reopen: opens a folder that `save_pretrained` wrote.
    """
    file = source.folder / str(source.gguf)
    cache = cache_folder() / "gguf"
    key = {
        "sha256": sha256_of(file),
        "dtype": str(dtype),
        "conversion": CONVERSION,
        "libraries": installed_versions(CONVERTERS),
    }
    folder = cache / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    found = _read_entry(folder)
    if found is not None or read is None:
        return found
    try:
        temporary = _begin_entry(cache, folder, file)
    except OSError as error:
        tell_once(f"{file.name} is converted each time it is opened: {cache} cannot be written ({_reason(error)})")
        return None
    try:
        whole = read()
        return _write_entry(temporary, folder, whole, key, file, reopen)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _begin_entry(cache: Path, folder: Path, file: Path) -> Path:
    """Return a new folder beside an entry's place, which is cleared. Raises OSError where there is no room for it."""
    cache.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    if shutil.disk_usage(cache).free < 2 * file.stat().st_size:
        raise OSError("no room on its disk")
    return Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=cache))


def _write_entry(
    temporary: Path,
    folder: Path,
    whole: Whole,
    key: Mapping[str, Any],
    file: Path,
    reopen: Callable[[Path], Whole],
) -> Converted | None:
    """Write a model, compare what is read back with it, and move it to its place; None where it cannot be kept."""
    try:
        whole.model.save_pretrained(temporary)
        whole.tokenizer.save_pretrained(temporary)
        differs = difference(whole, reopen(temporary))
        if differs is not None:
            tell_once(f"{file.name} is converted each time it is opened: {differs} does not survive being saved")
            return None
        about = {**key, "of": str(file), "made": time.time(), "notes": list(whole.notes), "files": _files(temporary)}
        with (temporary / ABOUT).open("w", encoding="utf-8") as out:
            json.dump(about, out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        _move_into_place(temporary, folder)
    except GroundbenchError:
        raise
    except Exception as error:  # a library's writer may raise anything on a disk that is full
        full = is_resource_error(error) or isinstance(error, OSError)
        why = _reason(error) if full else error_text(error)
        tell_once(f"{file.name} is converted each time it is opened: it cannot be kept in {folder.parent} ({why})")
        return None
    return _read_entry(folder)


def _move_into_place(temporary: Path, folder: Path) -> None:
    """Put a finished entry in its place; one that another process put there in the meantime stays."""
    try:
        temporary.rename(folder)
    except OSError:
        if _read_entry(folder) is None:
            raise


def _read_entry(folder: Path) -> Converted | None:
    """Return an entry whose files are as they were written; None for any other."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["files"] != _files(folder):
            return None
        with suppress(OSError):  # a cache that is only read
            os.utime(folder / ABOUT)  # the last use, for `groundbench cache list`
        return Converted(folder, tuple(map(str, about["notes"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _files(folder: Path) -> dict[str, str]:
    return {p.name: sha256_of(p) for p in sorted(folder.iterdir()) if p.name != ABOUT}


def difference(one: Whole, other: Whole) -> str | None:
    """Return what differs between a model and its reopened copy; None where nothing does."""
    a, b = one.model, other.model
    if type(a) is not type(b) or identity_of(a)["config"] != identity_of(b)["config"]:
        return "its config"
    own, theirs = (dict([*m.state_dict().items(), *m.named_buffers()]) for m in (a, b))
    for name in own.keys() | theirs.keys():
        x, y = own.get(name), theirs.get(name)
        if x is None or y is None or x.dtype != y.dtype or x.shape != y.shape or not bool((x == y).all()):
            return f"its weight {name}"
    if getattr(a, "is_quantized", False) != getattr(b, "is_quantized", False):
        return "its quantization"
    if _generation(a) != _generation(b):
        return "its generation_config"
    return _tokenizer_difference(one.tokenizer, other.tokenizer)


def _generation(model: PreTrainedModel) -> dict[str, Any]:
    found = getattr(model, "generation_config", None)
    return {} if found is None else {k: v for k, v in found.to_dict().items() if not k.startswith("_")}


def _tokenizer_difference(one: PreTrainedTokenizerFast, other: PreTrainedTokenizerFast) -> str | None:
    if type(one) is not type(other) or one.backend_tokenizer.to_str() != other.backend_tokenizer.to_str():
        return "its tokenizer"
    for name in TOKENS:
        if getattr(one, name, None) != getattr(other, name, None):
            return f"its tokenizer's {name}"
    for text in SAMPLES:
        if one(text)["input_ids"] != other(text)["input_ids"]:
            return "its tokenizer"
    return None


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or error_text(error)
