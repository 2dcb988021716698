"""AMBER's discriminative queries (Wang et al. 2023): existence, attributes and relations in images."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from groundbench.tasks.questions.sets.place import FaultyError, Place, Row
from groundbench.tasks.questions.sets.shape import Shape

ANNOTATIONS = "annotations.json"


def convert(row: Row, place: Place) -> Iterable[Row]:
    """Yield one yes/no query; its truth is in `annotations.json` beside the file or in the folder above."""
    told = _annotations(place.path.parent).get(row["id"])
    if told is None:
        raise FaultyError(f"the id {row['id']} is not in {ANNOTATIONS} beside the file")
    truth = str(told.get("truth", "")).strip().lower()
    if truth not in ("yes", "no"):
        raise FaultyError(f"its truth in {ANNOTATIONS} is {told.get('truth')!r}, expected yes or no")
    yield {
        "id": f"amber-{row['id']}",
        "question": row["query"],
        "image": row["image"],
        "group": row["image"],
        "candidates": ["yes", "no"],
        "truth": truth,
        "kind": str(told.get("type", "discriminative")),
    }


@lru_cache(maxsize=2)
def _annotations(folder: Path) -> dict[int, Row]:
    from groundbench.tasks.questions.records.jsonl import read_jsonl

    for path in (folder / ANNOTATIONS, folder.parent / ANNOTATIONS):
        if path.is_file():
            return {row["id"]: row for _, row in read_jsonl(path).rows if "id" in row}
    raise FaultyError(f"there is no {ANNOTATIONS} beside the file, which holds the truths")


AMBER = Shape(
    "amber",
    ("id", "image", "query"),
    convert,
    "github.com/junyangwang0410/AMBER, data/query/query_discriminative*.json with data/annotations.json",
    "Apache-2.0",
    "14,216",
    "discriminative-hallucination, -attribute-state, -attribute-number, -attribute-action, -relation",
    "A",
)
