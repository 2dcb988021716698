"""NaturalBench (Li et al. 2024): two images, two questions, and every answer turns with the image."""

from __future__ import annotations

from collections.abc import Iterable

from groundbench.tasks.questions.sets.place import FaultyError, Place, Row
from groundbench.tasks.questions.sets.shape import Shape


def convert(row: Row, place: Place) -> Iterable[Row]:
    """Four records, of one group."""
    kind = str(row.get("Question_Type", "yes_no"))
    key = str(row.get("Index", row["Question_0"]))
    for q in (0, 1):
        answers = [str(row[f"Image_{i}_Question_{q}"]).strip() for i in (0, 1)]
        if answers[0].casefold() == answers[1].casefold():
            raise FaultyError(f"question {q} has the answer {answers[0]!r} for both images, expected different ones")
        candidates = ["Yes", "No"] if {a.casefold() for a in answers} == {"yes", "no"} else ["A", "B"]
        for i in (0, 1):
            yield {
                "id": f"{key}-{i}-{q}",
                "question": row[f"Question_{q}"],
                "image": row[f"Image_{i}"],
                "group": key,
                "candidates": candidates,
                "truth": answers[i],
                "kind": kind,
            }


NATURALBENCH = Shape(
    "naturalbench",
    ("Question_0", "Question_1", "Image_0", "Image_1", "Image_0_Question_0", "Image_1_Question_1"),
    convert,
    "the hub's BaiqiL/NaturalBench (Parquet)",
    "Apache-2.0",
    "1,900 (four records each)",
    "yes_no, multiple_choice",
    "A",
)
