"""ConflictQA (Xie et al. 2024): evidence for and against what a model remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from groundbench.tasks.questions.sets.conflict_pair import conflict_and_agreement, first_text
from groundbench.tasks.questions.sets.place import Place, Row
from groundbench.tasks.questions.sets.shape import Shape


def convert(row: Row, place: Place) -> Iterable[Row]:
    """Return two records: of the evidence against the remembered answer and of that for it."""
    question = first_text(row["question"], "question")
    counter = str(row.get("counter_memory_aligned_evidence") or row["counter_memory"])
    memory = str(row.get("parametric_memory_aligned_evidence") or row["parametric_memory"])
    key = hashlib.sha256(f"{question} {counter}".encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return conflict_and_agreement(
        key,
        question,
        (counter, first_text(row["counter_answer"], "counter_answer")),
        (memory, first_text(row["memory_answer"], "memory_answer")),
    )


CONFLICTQA = Shape(
    "conflictqa",
    ("question", "memory_answer", "counter_answer", "parametric_memory", "counter_memory"),
    convert,
    "the hub's osunlp/ConflictQA (one file for each model that was asked)",
    "MIT",
    "about 8,000 for each model (two records each)",
    "conflict, agreement",
    "A",
)
