"""The run directory: append-only parts and a manifest, so that an interrupted run resumes where it stopped.

The manifest's key names everything that decides a number (weights, the whole config, code that comes with them,
adapters, tokenizer, dtype, attention implementation, testbed, protocol options, versions of libraries and of our code).
A directory with another key is refused: a cache never serves another model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError, StoreMismatchError
from groundbench.engine import distributed
from groundbench.util.atomic_files import file_name, write_text, write_whole

MANIFEST = "manifest.json"
Array = npt.NDArray[np.float32]


class RunStore:
    """A run directory opened under one key. Of several processes the first keeps the manifest; each writes its parts.

    Raises:
        StoreMismatchError: the directory holds results under another key; names the first field that differs.
        BadInputError: the directory's manifest cannot be read.
    """

    def __init__(self, directory: Path, key: Mapping[str, object]) -> None:
        self.directory = directory
        self.key = dict(key)
        self.path = directory / MANIFEST
        self._manifest: dict[str, object] = distributed.current().from_first(self._open_manifest)

    def _open_manifest(self) -> dict[str, object]:
        if self.path.exists():
            return self._read_manifest()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._manifest = {"key": self.key, "stages": {}, "halvings": []}
        self._write()
        return self._manifest

    def _read_manifest(self) -> dict[str, object]:
        try:
            found = json.loads(self.path.read_text())
            key = found["key"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{self.path}: not a manifest of a run ({error}); expected one with a 'key'") from None
        differs = next(iter(differences(key, json.loads(json.dumps(self.key)))), None)
        if differs is not None:
            name, held, wanted = differs
            raise StoreMismatchError(
                f"{self.directory}: holds a run with {name} {_shorten(held)}, but this run has {_shorten(wanted)}; "
                "choose another --out, or --force to start over"
            )
        return dict(found)

    def _write(self) -> None:
        write_text(self.path, json.dumps(self._manifest, indent=1, sort_keys=True) + "\n")

    def stage(self, name: str, plan: Mapping[str, object]) -> Stage:
        """Return the parts of one stage under a batch plan; parts of another plan are dropped.

        Args:
            name: e.g. `scores/word`; a folder under `parts`.
            plan: what the batches are a function of, with a hash; stands in the manifest.
        """
        folder = self.directory.joinpath("parts", *map(file_name, name.split("/")))
        distributed.current().from_first(lambda: self._prepare(folder, name, plan))
        folder.mkdir(parents=True, exist_ok=True)
        return Stage(folder, self, name)

    def _prepare(self, folder: Path, name: str, plan: Mapping[str, object]) -> None:
        stages = self._manifest["stages"]
        assert isinstance(stages, dict)
        if stages.get(name) != dict(plan):
            for old in folder.glob("*.npy"):
                old.unlink()
            stages[name] = dict(plan)
            self._write()

    def record_halving(self, stage: str, batch: int, rows: int) -> None:
        """Note that a batch was halved for memory (its numbers do not depend on it); by the first process only."""
        if not distributed.current().first:
            return
        halvings = self._manifest["halvings"]
        assert isinstance(halvings, list)
        halvings.append({"stage": stage, "batch": batch, "rows": rows})
        self._write()


def differences(held: Any, wanted: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, value held, value wanted) of everything in which two keys differ, by its whole name (`config.rope_theta`).

    What only the held key has counts below its first level: there it is of an option that does not exist any more.
    """
    if not (isinstance(held, Mapping) and isinstance(wanted, Mapping)):
        if held != wanted:
            yield name, held, wanted
        return
    for key in [*wanted, *(k for k in held if name and k not in wanted)]:
        yield from differences(held.get(key), wanted.get(key), f"{name}.{key}" if name else str(key))


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:160]}…"


@dataclass(frozen=True)
class Stage:
    """The parts of one stage, one array for each batch."""

    folder: Path
    store: RunStore
    name: str

    def load(self, batch: int) -> Array | None:
        """Return the array of a finished batch, or None."""
        path = self._path(batch)
        try:
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, OSError):
            path.unlink(missing_ok=True)  # a damaged part is measured again
            return None

    def write(self, batch: int, array: Array) -> None:
        """Write a batch's array, whole or not at all."""
        with write_whole(self._path(batch)) as file:
            np.save(file, array)

    def note_halving(self, batch: int, rows: int) -> None:
        """Note a halving for memory."""
        self.store.record_halving(self.name, batch, rows)

    def _path(self, batch: int) -> Path:
        return self.folder / f"{batch:06d}.npy"


def load_or_make(
    stage: Stage | None, batch: int, make: Callable[[], Array], when_held: Callable[[], None] | None = None
) -> Array:
    """Return the array of a finished batch, or make it and keep it where there is a stage.

    Args:
        when_held: called where nothing had to be made, e.g. to move a progress bar that `make` moves itself.
    """
    found = None if stage is None else stage.load(batch)
    if found is None:
        found = make()
        if stage is not None:
            stage.write(batch, found)
    elif when_held is not None:
        when_held()
    return found
