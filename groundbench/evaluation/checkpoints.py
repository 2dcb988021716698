"""A folder of checkpoints: its steps in order, and the losses that were logged while it was trained."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundbench.api.errors import BadInputError
from groundbench.results.trajectory import CurvePoint


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint folder and what its training.json says."""

    path: Path
    step: int
    training: dict[str, Any]


def find_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints `step-*` of one training run, in order of their steps.

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
    checkpoints = [Checkpoint(p, *_training(p)) for p in found]
    return sorted(checkpoints, key=lambda c: c.step)


def _training(folder: Path) -> tuple[int, dict[str, Any]]:
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
    """The losses logged in log.jsonl, thinned to about `steps` points; empty where nothing was logged."""
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


def spread(checkpoints: list[Checkpoint], most: int) -> list[Checkpoint]:
    """At most `most` checkpoints, evenly spaced by rank, first and last among them."""
    n = len(checkpoints)
    if n <= most:
        return checkpoints
    if most == 1:
        return checkpoints[-1:]
    return [checkpoints[round(i * (n - 1) / (most - 1))] for i in range(most)]
