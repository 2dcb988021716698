"""The checkpoints of one training run, in order, and a note beside each result of all that decided it.

Checkpoints are a folder of steps with the losses logged, or revisions on a hub. A run's own key is known only once the
model is open. The note needs no model, so that a trajectory that is continued neither loads finished checkpoints nor
measures again what a run directory does not keep (head sweeps, untrained references)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundbench._version import __version__
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Testbed
from groundbench.results.run import Result
from groundbench.results.trajectory import CurvePoint
from groundbench.util.atomic_files import write_text
from groundbench.util.checksums import sha256_of
from groundbench.util.packages import installed_versions


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint: its folder and what its training.json says, or a commit on a hub.

    Attributes:
        path: its folder; of a hub the local cache's, in which the weights may be missing yet.
        hub_id: `org/name@revision`, if it is on a hub.
        commit: what the revision stands for.
    """

    path: Path
    step: int
    training: dict[str, Any]
    hub_id: str | None = None
    commit: str | None = None

    @property
    def model(self) -> str:
        """The name that opens it."""
        return self.hub_id or str(self.path)

    @property
    def name(self) -> str:
        """The name of its folder among the results."""
        return self.path.name if self.hub_id is None else re.sub(r"[^\w.-]", "-", self.hub_id.partition("@")[2])


def find_checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints `step-*` of one training run, in order of their steps.

    Raises:
        BadInputError: there is none, or the folder holds several seeds; says which.
    """
    found = sorted(p for p in folder.glob("step-*") if (p / "config.json").is_file())
    if not found:
        seeds = sorted(p.name for p in folder.glob("seed-*") if p.is_dir())
        if len(seeds) == 1:
            return find_checkpoints(folder / seeds[0])
        hint = f"; it holds the runs {', '.join(seeds)}: name one of them" if seeds else ""
        raise BadInputError(f"{folder}: no checkpoints found, expected folders step-000000 and so on{hint}")
    checkpoints = [Checkpoint(p, *_read_training_state(p)) for p in found]
    return sorted(checkpoints, key=lambda c: c.step)


STEP = re.compile(r"(?:step|iter|checkpoint|ckpt)[-_=]?(\d+)", re.IGNORECASE)
"""The step in a revision's name: of `step1000`, `stage1-step500-tokens2B`, `global_step20`, `iter_0000100` ..."""
NUMBER = re.compile(r"\D*(\d+)\D*")
"""A revision's name with one number only."""


def hub_checkpoints(text: str) -> list[Checkpoint]:
    """Return the checkpoints `org/name@step1,step2,...` (with a folder: `org/name@step1,step2:folder`), in order.

    Their texts are fetched, not yet their weights.

    Raises:
        BadInputError: no such repository or revision, or a revision whose name tells no step of its own.
    """
    from groundbench.adapters.loading.hub import ADAPTER_CONFIG, fetch_texts, parse_hub_id

    repo, _, rest = text.partition("@")
    revisions, colon, folder = rest.partition(":")
    found: dict[int, Checkpoint] = {}
    for revision in [r.strip() for r in revisions.split(",") if r.strip()]:
        asked = parse_hub_id(f"{repo}@{revision}{colon}{folder}")
        number = STEP.search(revision) or NUMBER.fullmatch(revision)
        if asked is None or number is None:
            raise BadInputError(f"{text}: the revision {revision!r} names no step; expected a name like step1000")
        step = int(number[1])
        if step in found:
            raise BadInputError(
                f"{text}: {found[step].hub_id} and {asked} are both of step {step}; expected one of them"
            )
        snapshot = fetch_texts(asked)
        if ADAPTER_CONFIG in snapshot.names:
            raise BadInputError(f"{asked}: a peft adapter, whose base is no part of the commit; open it with `run`")
        found[step] = Checkpoint(snapshot.folder, step, {}, str(asked), snapshot.commit)
    if not found:
        raise BadInputError(f"{text}: no revisions; expected org/name@step1000,step2000")
    return [found[step] for step in sorted(found)]


def _read_training_state(folder: Path) -> tuple[int, dict[str, Any]]:
    path = folder / "training.json"
    try:
        state = json.loads(path.read_text())
        return int(state["step"]), state
    except FileNotFoundError:
        number = folder.name.removeprefix("step-")
        if number.isdigit():
            return int(number), {}
        raise BadInputError(f"{folder}: cannot tell its step; expected a name like step-000150") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path}: expected JSON with an integer 'step' ({error})") from None


def training_curve(folder: Path, steps: int = 400) -> tuple[CurvePoint, ...]:
    """Return the losses logged in log.jsonl, thinned to about `steps` points; empty where nothing was logged."""
    path = folder / "log.jsonl"
    if not path.is_file():
        return ()
    rows: dict[int, CurvePoint] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            step = int(row["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{path}, line {number}: expected JSON with an integer 'step' ({error})") from None
        rows[step] = CurvePoint(
            step=step, tokens=row.get("tokens"), train_loss=row.get("loss"), heldout_loss=row.get("heldout_loss")
        )
    ordered = [rows[s] for s in sorted(rows)]
    every = max(1, len(ordered) // steps)
    return tuple(p for i, p in enumerate(ordered) if i % every == 0 or p.heldout_loss is not None)


def subsample(checkpoints: list[Checkpoint], most: int) -> list[Checkpoint]:
    """Return at most `most` checkpoints, evenly spaced by rank, first and last among them."""
    n = len(checkpoints)
    if n <= most:
        return checkpoints
    if most == 1:
        return checkpoints[-1:]
    return [checkpoints[round(i * (n - 1) / (most - 1))] for i in range(most)]


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
        "libraries": installed_versions([*LIBRARIES, *(("peft",) if (checkpoint.path / ADAPTER).is_file() else ())]),
        "asked": dict(asked),
    }
    plain: dict[str, object] = json.loads(json.dumps(key, default=str))  # as it is read back
    return plain


def _files(folder: Path) -> dict[str, str]:
    return {p.name: sha256_of(p) for p in sorted(folder.iterdir()) if p.is_file()}


def load_finished(folder: Path, key: Mapping[str, object]) -> Result | None:
    """Return the result in a checkpoint's run directory if it is whole and was measured under this key, else None."""
    path = folder / "result.json"
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if not path.is_file() or not (folder / "items.parquet").is_file():
        return None
    return Result.load(path) if note == {"key": dict(key), "result": sha256_of(path)} else None


def note_finished(folder: Path, key: Mapping[str, object]) -> None:
    """Note that the result in this directory is whole; whoever writes another result there makes the note void."""
    note = {"key": dict(key), "result": sha256_of(folder / "result.json")}
    write_text(folder / NOTE, json.dumps(note, indent=1, sort_keys=True) + "\n")
