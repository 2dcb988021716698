"""POPE (Li et al. 2023) and RePOPE (Neuhaus and Hein 2025), its questions with corrected labels."""

from __future__ import annotations

from collections.abc import Iterable

from groundbench.tasks.questions.sets.place import FaultyError, Place, Row
from groundbench.tasks.questions.sets.shape import Shape

KINDS = ("random", "popular", "adversarial")


def convert(row: Row, place: Place) -> Iterable[Row]:
    """Yield one yes/no question about an image; its kind is in the file's name."""
    label = str(row["label"]).strip().lower()
    if label not in ("yes", "no"):
        raise FaultyError(f"'label' is {row['label']!r}, expected yes or no")
    name = place.path.name
    kind = next((f"presence-{k}" for k in KINDS if k in name.lower()), "presence")
    yield {
        "id": f"{name.split('.')[0]}/{row['question_id']}",
        "question": row["text"],
        "image": row["image"],
        "group": row["image"],
        "candidates": ["yes", "no"],
        "truth": label,
        "kind": kind,
    }


POPE_RECORDS = Shape(
    "pope-records",
    ("question_id", "image", "text", "label"),
    convert,
    "github.com/RUCAIBox/POPE; github.com/YanNeu/RePOPE; images: COCO 2014 val",
    "MIT (POPE); none stated (RePOPE)",
    "9,000; 8,185",
    "presence-random, -popular, -adversarial",
    "A",
)
