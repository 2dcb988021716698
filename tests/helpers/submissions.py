"""Making submissions, good and hostile, for the leaderboard's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from groundbench.leaderboard import Board, open_board
from helpers.fake_results import HASH, fake_result, write_run

CARD = """model: {name}
licence: Apache-2.0
hardware: 2 CPU cores
submitter: test factory
commit: abc123def456
"""


def digest(name: str, version: str) -> str | None:
    """The one testbed that the tests' boards know."""
    return HASH if (name, version) == ("childworld", "1") else None


def hashes(name: str, version: str) -> frozenset[str]:
    """The same as accepted hashes."""
    found = digest(name, version)
    return frozenset() if found is None else frozenset({found})


def write_submission(entries: Path, slug: str, seed: int = 0, items: bool = False, **options: Any) -> Path:
    """A valid submission with one run; with its items if asked."""
    folder = entries / slug
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_text(CARD.format(name=f"Synthetic {slug}"))
    if items:
        write_run(folder / "run", seed, **options)
    else:
        fake_result(seed, **options).save(folder / "run" / "result.json")
    return folder


def board_at(root: Path) -> Board:
    """A board on a folder with entries."""
    (root / "entries").mkdir(parents=True, exist_ok=True)
    return open_board(root, digest)


def edit(folder: Path, path: str, value: Any) -> None:
    """Set one field of a submission's result, e.g. `model.name`; `gain.mean` is that of the first form."""
    file = folder / "run" / "result.json"
    data = json.loads(file.read_text())
    at = data
    if path.split(".")[0] in ("gain", "heads", "ablations", "lens", "image"):
        path = f"forms.0.{path}"
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for key in parents:
        at = at[key]
    at[last] = value
    file.write_text(json.dumps(data))
