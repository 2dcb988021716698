"""SQuAD 2.0 (Rajpurkar et al. 2018): answers that a paragraph holds, and plausible ones that it does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from groundbench.tasks.questions.sets.place import Place, Row
from groundbench.tasks.questions.sets.shape import Shape


def articles(row: Row, place: Place) -> Iterable[Row]:
    """Yield every question of an article: a group is an article."""
    for paragraph in row["paragraphs"]:
        for qa in paragraph["qas"]:
            yield from _records(qa, paragraph["context"], str(row["title"]))


def questions(row: Row, place: Place) -> Iterable[Row]:
    """One question, as the hub's copy has it; unanswerable ones have no plausible answer there and are passed over."""
    texts = list(row["answers"].get("text", []))
    flat = {**row, "answers": [{"text": t} for t in texts], "is_impossible": not texts}
    return _records(flat, row["context"], str(row["title"]))


def _records(qa: Row, context: str, title: str) -> Iterator[Row]:
    wrong = bool(qa.get("is_impossible"))
    answers = qa.get("plausible_answers" if wrong else "answers") or []
    if answers:
        yield {
            "id": qa["id"],
            "question": qa["question"],
            "evidence": context,
            "answer": answers[0]["text"],
            "label": "unsupported" if wrong else "supported",
            "group": title,
            "kind": "unanswerable" if wrong else "answerable",
        }


SQUAD = (
    Shape(
        "squad-v2",
        ("title", "paragraphs"),
        articles,
        "rajpurkar.github.io/SQuAD-explorer, train-v2.0.json and dev-v2.0.json",
        "CC BY-SA 4.0",
        "130,319 + 11,873",
        "answerable, unanswerable",
        "B",
    ),
    Shape(
        "squad-v2-flat",
        ("id", "title", "context", "question", "answers"),
        questions,
        "the hub's rajpurkar/squad_v2",
        "CC BY-SA 4.0",
        "130,319 + 11,873",
        "answerable",
        "B",
    ),
)
