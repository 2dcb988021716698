"""FaithEval (Ming et al. 2025): counterfactual, unanswerable and inconsistent contexts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from groundbench.tasks.questions.sets.place import FaultyError, Place, Row
from groundbench.tasks.questions.sets.shape import Shape

UNANSWERABLE = (
    "Answer with what the passage says; if it does not hold the answer, say unknown.\n\nPassage: {evidence}\n\n"
    "Question: {question}\nAnswer:"
)
INCONSISTENT = (
    "Answer with what the passages say; if they contradict each other, say conflict.\n\nPassages: {evidence}\n\n"
    "Question: {question}\nAnswer:"
)
OLD = ("old_answers", "original_answers", "original_answer", "org_answer", "answers")


def counterfactual(row: Row, place: Place) -> Iterable[Row]:
    """Yield one record with the choices that the set gives."""
    choices = row["choices"]
    labels, texts = list(choices["label"]), [str(t) for t in choices["text"]]
    if row["answerKey"] not in labels:
        raise FaultyError(f"'answerKey' is {row['answerKey']!r}, expected one of {', '.join(map(str, labels))}")
    yield {
        "id": row.get("id") or _key(row),
        "question": row["question"],
        "evidence": row["context"],
        "candidates": texts,
        "truth": labels.index(row["answerKey"]),
        "kind": "counterfactual",
    }


def _without_answer(kind: str, said: str, template: str, row: Row) -> Iterable[Row]:
    yield {
        "id": row.get("qid") or _key(row),
        "question": row["question"],
        "evidence": row["context"],
        "candidates": [said, _original_answer(row, said)],
        "truth": 0,
        "kind": kind,
        "template": template,
    }


def unanswerable(row: Row, place: Place) -> Iterable[Row]:
    """Return one record: `unknown` against the answer that the context no longer holds."""
    return _without_answer("unanswerable", "unknown", UNANSWERABLE, row)


def inconsistent(row: Row, place: Place) -> Iterable[Row]:
    """Return one record: `conflict` against one of the answers that contradict each other."""
    return _without_answer("inconsistent", "conflict", INCONSISTENT, row)


def _original_answer(row: Row, said: str) -> str:
    for name in OLD:
        value = row.get(name)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text.strip() and text.strip().casefold() not in (said, "unanswerable"):
                return text.strip()
    raise FaultyError(f"names no answer besides {said!r}, expected one in {', '.join(OLD)}")


def _key(row: Row) -> str:
    text = f"{row['question']} {row['context']}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


_SOURCE = "the hub's Salesforce/FaithEval-{}-v1.0"
FAITHEVAL = (
    Shape(
        "faitheval-counterfactual",
        ("question", "context", "choices", "answerKey"),
        counterfactual,
        _SOURCE.format("counterfactual"),
        "CC BY-NC 4.0",
        "1,000",
        "counterfactual",
        "A",
    ),
    Shape(
        "faitheval-unanswerable",
        ("question", "context"),
        unanswerable,
        _SOURCE.format("unanswerable"),
        "CC BY-NC 4.0",
        "2,492",
        "unanswerable",
        "A",
        automatic=False,
    ),
    Shape(
        "faitheval-inconsistent",
        ("question", "context"),
        inconsistent,
        _SOURCE.format("inconsistent"),
        "CC BY-NC 4.0",
        "1,500",
        "inconsistent",
        "A",
        automatic=False,
    ),
)
