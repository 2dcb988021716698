"""Checkpoints of a trajectory that are measured: beside a result is a note of all that decided it.

A run's own key is known only once the model is open. The note needs no model, so that a trajectory that goes on
neither loads finished checkpoints nor measures again what a run directory does not keep (head sweeps, untrained
references).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from groundbench._version import __version__
from groundbench.api.testbed import Testbed
from groundbench.evaluation.checkpoints import Checkpoint
from groundbench.results.run import Result
from groundbench.util.atomic_files import write_text
from groundbench.util.packages import installed

NOTE = "measured.json"
LIBRARIES = ("torch", "transformers", "tokenizers")
ADAPTER = "adapter_config.json"
"""Of a checkpoint with a peft adapter."""


def measurement_key(checkpoint: Checkpoint, testbed: Testbed, asked: Mapping[str, object]) -> dict[str, object]:
    """Return everything that decides a checkpoint's numbers: files, testbed, what is `asked`, version."""
    key = {
        "files": {"commit": checkpoint.commit} if checkpoint.commit else _files(checkpoint.path),
        "testbed": testbed.name,
        "testbed_hash": testbed.digest(),
        "groundbench": __version__,
        "libraries": installed([*LIBRARIES, *(("peft",) if (checkpoint.path / ADAPTER).is_file() else ())]),
        "asked": dict(asked),
    }
    plain: dict[str, object] = json.loads(json.dumps(key, default=str))  # as it is read back
    return plain


def _files(folder: Path) -> dict[str, str]:
    return {p.name: _hash(p) for p in sorted(folder.iterdir()) if p.is_file()}


def finished(folder: Path, key: Mapping[str, object]) -> Result | None:
    """Return the result in a checkpoint's run directory if it is whole and was measured under this key, else None."""
    path = folder / "result.json"
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if not path.is_file() or not (folder / "items.parquet").is_file():
        return None
    return Result.load(path) if note == {"key": dict(key), "result": _hash(path)} else None


def note_finished(folder: Path, key: Mapping[str, object]) -> None:
    """Note that the result in this directory is whole; whoever writes another result there makes the note void."""
    note = {"key": dict(key), "result": _hash(folder / "result.json")}
    write_text(folder / NOTE, json.dumps(note, indent=1, sort_keys=True) + "\n")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
