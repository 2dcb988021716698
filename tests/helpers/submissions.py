"""Making submissions, good and hostile, for the leaderboard's tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from groundbench.leaderboard import Board, open_board
from groundbench.leaderboard.submission.reference import FormReference, TestbedReference
from helpers.fake_results import CATEGORIES, FRAMES, HASH, NOUNS, fake_result, hash_of, write_run

CARD = """model: {name}
licence: Apache-2.0
hardware: 2 CPU cores
submitter: test factory
commit: abc123def456
"""


@lru_cache
def reference(n_nouns: int) -> TestbedReference:
    """The pretended testbed of the first nouns, as `fake_result` measures it."""
    form = FormReference(
        nouns=tuple(NOUNS[:n_nouns]),
        categories=tuple(CATEGORIES[i % len(CATEGORIES)] for i in range(n_nouns)),
        frames=tuple(f"f{i}" for i in range(FRAMES)),
        owners=(None,) * FRAMES,
    )
    names = ("token", "word", "gloss", "translation", "emoji", "image")
    forms = dict.fromkeys(names, form)
    return TestbedReference("childworld", "1", hash_of(n_nouns), "shared", "token", False, forms, frozenset(NOUNS))


class Pretended(Mapping[str, TestbedReference]):
    """The testbeds of 2 to 100 nouns by their hashes, made when they are asked for."""

    def __getitem__(self, key: str) -> TestbedReference:
        if key.startswith(HASH[:8]) and len(key) == len(HASH) and 2 <= (n := int(key[8:], 16)) <= len(NOUNS):
            return reference(n)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter([HASH])

    def __len__(self) -> int:
        return 1


def references(name: str, version: str) -> Mapping[str, TestbedReference]:
    """The one testbed that the tests' boards know, with any of its first nouns."""
    return Pretended() if (name, version) == ("childworld", "1") else {}


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
    return open_board(root, references)


def edit(folder: Path, path: str, value: Any) -> None:
    """Set one field of a submission's result, e.g. `model.name`; `gain.mean` is that of the first form.

    What the testbed says of the first form is set there too.
    """
    file = folder / "run" / "result.json"
    data = json.loads(file.read_text())
    at = data
    if path.split(".")[0] in ("gain", "heads", "ablations", "lens", "image"):
        path = f"forms.0.{path}"
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for key in parents:
        at = at[key]
    at[last] = value
    if path.startswith("testbed.") and last in ("env_form", "n_nouns", "n_items", "excluded"):
        data["forms"][0][last] = value
    file.write_text(json.dumps(data))
