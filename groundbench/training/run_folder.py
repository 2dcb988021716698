"""The files of a training run, each written whole or not at all.

OUT/run.json               what is trained on what: a folder of one preset and corpus
OUT/seed-42/step-000150/   checkpoints: ordinary `from_pretrained` folders with a training.json
OUT/seed-42/log.jsonl      one line for each stretch of steps
OUT/seed-42/state.pt       weights, optimiser and step of a run that is not finished
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from groundbench.api.errors import BadInputError, GroundbenchError
from groundbench.util.atomic_files import write_text
from groundbench.util.resource_errors import chain, is_disk_full

RUN = "run.json"


def refuse_other_run(out: Path, identity: Mapping[str, object]) -> None:
    """Refuse a folder whose run.json names another run; an empty folder passes.

    Raises:
        BadInputError: the folder holds a run that differs; names the first field that does.
    """
    if out.exists() and not out.is_dir():
        raise BadInputError(f"{out}: a file; expected a folder to write checkpoints into")
    path = out / RUN
    if not path.exists():
        held = sorted(p.name for p in out.glob("seed-*/step-*"))
        if held:
            raise BadInputError(f"{out}: holds checkpoints but no {RUN} that says of what; choose another folder")
        return
    try:
        found = _flatten(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise BadInputError(f"{path}: not JSON ({error}); choose another folder") from error
    asked = _flatten(json.loads(json.dumps(identity)))
    for key in [*asked, *found]:
        if found.get(key) != asked.get(key):
            raise BadInputError(
                f"{path}: the folder holds a run with {key} = {json.dumps(found.get(key))}, but "
                f"{json.dumps(asked.get(key))} was asked for; choose another folder"
            )


def _flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Return the leaves of nested mappings by dotted key."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in _flatten(inner, f"{prefix}.{key}".lstrip(".")).items()}


class SeedFolder:
    """The folder of one seed of a run; `identity` says what is trained on what."""

    def __init__(self, out: Path, seed: int, identity: Mapping[str, object]) -> None:
        self.path = out / f"seed-{seed}"
        self._identity = identity
        self._log = self.path / "log.jsonl"
        self._state = self.path / "state.pt"

    def claim(self) -> None:
        """Note in OUT/run.json what is trained here. Raises as `refuse_other_run`."""
        out = self.path.parent
        refuse_other_run(out, self._identity)
        with writing(out / RUN):
            write_text(out / RUN, json.dumps(self._identity, indent=1) + "\n")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for one process; the system releases the lock when that process ends, however it ends.

        Raises:
            BadInputError: another process is at it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInputError(f"{self.path}: another process is training in this folder") from None
            yield

    def checkpoint(self, step: int) -> Path:
        """Return the folder of one checkpoint, there or not."""
        return self.path / f"step-{step:06d}"

    def write_checkpoint(self, step: int, save: Callable[[Path], None], record: Mapping[str, object]) -> None:
        """Write what `save` puts into a folder, with `record` as its training.json; replaces one that is there."""
        final, unfinished = self.checkpoint(step), self.path / f".step-{step:06d}"
        with writing(final):
            shutil.rmtree(unfinished, ignore_errors=True)
            save(unfinished)
            (unfinished / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(final, ignore_errors=True)
            unfinished.rename(final)

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Save what a run needs to resume from here."""
        unfinished = self.path / ".state.pt"
        with writing(self._state):
            with unfinished.open("wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._state)

    def is_finished(self, steps: Iterable[int]) -> bool:
        """Return True if every checkpoint of these steps is there and nothing is left to do."""
        return not self._state.exists() and all(self.checkpoint(step).exists() for step in steps)

    def load_state(self) -> dict[str, Any] | None:
        """Return the state last saved, on the CPU, or None if there is none.

        Raises:
            BadInputError: the file cannot be read.
        """
        if not self._state.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self._state, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise BadInputError(f"{self._state}: not a training state; delete it to start again") from error
        return state

    def drop_state(self) -> None:
        """Return the run is finished."""
        self._state.unlink(missing_ok=True)

    def append_log(self, record: Mapping[str, object]) -> None:
        """Add one line to the log."""
        with writing(self._log), self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def trim_log(self, step: int) -> None:
        """Drop what was logged after `step`, and a line that was cut short: those steps are done again."""
        lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True) if self._log.exists() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        with writing(self._log):
            write_text(self._log, "".join(kept))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk into one sentence. Other errors pass.

    Raises:
        GroundbenchError: no space left.
    """
    try:
        yield
    except Exception as error:  # safetensors (Rust) and torch's writer hide the errno in their own types
        if not any(map(is_disk_full, chain(error))):
            raise
        raise GroundbenchError(
            f"{path}: no space left on device; make room and run the same command again, it goes on from the last state"
        ) from error
