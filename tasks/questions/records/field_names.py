"""Names of fields: ours, and those of ragas, deepeval, lettucedetect and inspect, recognised by what a row holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CANONICAL = (
    *("id", "question", "evidence", "image", "candidates", "truth", "answer", "label", "spans", "usual", "group"),
    *("kind", "prompt"),
)
LABELS_TRUE = ("supported", "is_supported", "correct", "is_correct", "faithful", "grounded")
"""Fields whose true value says that the answer is right."""
LABELS_FALSE = ("hallucinated", "is_hallucination", "hallucination", "unsupported", "wrong", "is_wrong")
"""Fields whose true value says that the answer is wrong."""


@dataclass(frozen=True)
class Names:
    """The field names of one tool: `needs` must be there; `fields` maps them to ours; `ignored` go unused."""

    tool: str
    needs: tuple[str, ...]
    fields: Mapping[str, str]
    ignored: tuple[str, ...] = ()


TOOLS = (
    Names(
        "ragas",
        ("user_input", "retrieved_contexts"),
        {"user_input": "question", "retrieved_contexts": "evidence", "response": "answer"},
        ("reference", "reference_contexts", "rubrics", "multi_responses"),
    ),
    Names(
        "ragas 0.1",
        ("question", "contexts"),
        {"question": "question", "contexts": "evidence", "answer": "answer"},
        ("ground_truth", "ground_truths"),
    ),
    Names(
        "deepeval",
        ("input", "actual_output"),
        {"input": "question", "actual_output": "answer", "retrieval_context": "evidence", "context": "evidence"},
        ("expected_output", "tools_called", "expected_tools", "name", "comments", "additional_metadata"),
    ),
    Names(
        "lettucedetect",
        ("prompt", "answer", "labels"),
        {"prompt": "prompt", "answer": "answer", "labels": "spans", "task_type": "kind"},
        ("split", "dataset", "language"),
    ),
    Names(
        "inspect",
        ("input", "target"),
        {"input": "question", "target": "truth", "choices": "candidates", "id": "id", "evidence": "evidence"},
        ("metadata", "sandbox", "files", "setup"),
    ),
)
OURS = Names("groundbench", (), {name: name for name in CANONICAL})


COMMON: Mapping[str, tuple[str, ...]] = {
    "question": ("query", "instruction", "user_input", "input"),
    "evidence": (
        *("context", "contexts", "passage", "passages", "document", "documents", "docs", "knowledge", "source"),
        *("retrieved_contexts", "retrieved_documents", "retrieval_context"),
    ),
    "answer": (
        *("response", "output", "model_output", "model_answer", "actual_output", "generation", "generated_answer"),
        *("prediction", "completion"),
    ),
    "candidates": ("choices", "options"),
    "truth": ("correct_answer", "answer_index", "gold"),
    "label": ("verdict", "judgement", "judgment"),
}
"""Names that many files use, tool or none: one of them stands for a field that has no other name in the row."""


def recognise(fields: frozenset[str], rare: frozenset[str] = frozenset()) -> Names:
    """Return the tool whose names the rows have; else ours, with common names where rows have one and not ours.

    Args:
        fields: those of at least half of the rows; rare: further fields, of few rows.
    """
    for names in TOOLS:
        if set(names.needs) <= fields and not (names.tool == "ragas 0.1" and "evidence" in fields):
            return names
    common = {}
    for ours, theirs in COMMON.items():
        found = [name for name in theirs if name in fields] or [name for name in theirs if name in rare]
        if len(found) == 1 and ours not in fields and not (ours == "question" and "prompt" in fields):
            common[found[0]] = ours
    if not common:
        return OURS
    told = ", ".join(f"{theirs} as {ours}" for theirs, ours in common.items())
    return Names(f"common names ({told})", (), common)
