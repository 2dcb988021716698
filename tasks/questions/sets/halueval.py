"""HaluEval (Li et al. 2023): right answers beside hallucinated ones, and labelled answers to general queries."""

from __future__ import annotations

from collections.abc import Iterable

from groundbench.tasks.questions.sets.place import FaultyError, Place, Row
from groundbench.tasks.questions.sets.shape import Shape, pair

DIALOGUE = "Continue the dialogue with what the knowledge says.\n\nKnowledge: {evidence}\n\n{question}\n[Assistant]:"
SUMMARY = "Document: {evidence}\n\n{question}:"
GENERAL = "{evidence}\n{question}"


def qa(row: Row, place: Place) -> Iterable[Row]:
    """Return two records of a question: the right answer and the hallucinated one."""
    base = {"question": row["question"], "evidence": row["knowledge"], "kind": "qa"}
    key = row.get("id") or f"{_key(row['knowledge'])}-{_key(row['question'])}"
    return pair(key, base, row["right_answer"], row["hallucinated_answer"])


def dialogue(row: Row, place: Place) -> Iterable[Row]:
    """Return two records of a dialogue's next turn."""
    history = str(row["dialogue_history"]).strip()
    base = {"question": history, "evidence": row["knowledge"], "kind": "dialogue", "template": DIALOGUE}
    key = f"{_key(row['knowledge'])}-{_key(history)}"
    return pair(key, base, row["right_response"], row["hallucinated_response"])


def summarization(row: Row, place: Place) -> Iterable[Row]:
    """Return two records of a document: the right summary and the hallucinated one."""
    base = {"question": "Summary", "evidence": row["document"], "kind": "summarization", "template": SUMMARY}
    return pair(_key(row["document"]), base, row["right_summary"], row["hallucinated_summary"])


def general(row: Row, place: Place) -> Iterable[Row]:
    """Yield one record. There is no document: the user's query is the only thing shown, so it is the evidence."""
    said = str(row["hallucination"]).strip().lower()
    if said not in ("yes", "no"):
        raise FaultyError(f"'hallucination' is {row['hallucination']!r}, expected yes or no")
    yield {
        "id": f"general-{row.get('ID', _key(row['user_query']))}",
        "question": "Answer:",
        "evidence": row["user_query"],
        "answer": row["chatgpt_response"],
        "hallucinated": said,
        "kind": "general",
        "template": GENERAL,
    }


def _key(text: object) -> str:
    import hashlib

    return hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()[:10]


_SOURCE = "github.com/RUCAIBox/HaluEval, data/{}_data.json"
HALUEVAL = (
    Shape(
        "halueval-qa",
        ("knowledge", "question", "right_answer", "hallucinated_answer"),
        qa,
        _SOURCE.format("qa"),
        "MIT",
        "10,000 (two answers each)",
        "qa",
        "B",
    ),
    Shape(
        "halueval-dialogue",
        ("knowledge", "dialogue_history", "right_response", "hallucinated_response"),
        dialogue,
        _SOURCE.format("dialogue"),
        "MIT",
        "10,000 (two answers each)",
        "dialogue",
        "B",
    ),
    Shape(
        "halueval-summarization",
        ("document", "right_summary", "hallucinated_summary"),
        summarization,
        _SOURCE.format("summarization"),
        "MIT",
        "10,000 (two answers each)",
        "summarization",
        "B",
    ),
    Shape(
        "halueval-general",
        ("user_query", "chatgpt_response", "hallucination"),
        general,
        _SOURCE.format("general"),
        "MIT",
        "4,507",
        "general",
        "B",
    ),
)
