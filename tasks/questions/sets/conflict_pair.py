"""Two records of one question: evidence that contradicts what is usual, and evidence that agrees with it."""

from __future__ import annotations

from groundbench.tasks.questions.sets.place import FaultyError, Row


def first_text(value: object, name: str) -> str:
    """Return a text, or the first of a list of texts."""
    found = value[0] if isinstance(value, list) and value else value
    if not isinstance(found, str) or not found.strip():
        raise FaultyError(f"{name!r} is {value!r}, expected a text or a list that begins with one")
    return found.strip()


def conflict_and_agreement(key: str, question: str, contrary: tuple[str, str], usual: tuple[str, str]) -> list[Row]:
    """`contrary` and `usual`: evidence and answer. The candidates are the same in both records.

    The two share a group: what is learned of one must not be tested on the other.
    """
    if contrary[1].casefold() == usual[1].casefold():
        raise FaultyError(f"both answers are {usual[1]!r}, expected different ones")
    base = {"question": question, "candidates": [contrary[1], usual[1]], "usual": 1, "group": key}
    return [
        {**base, "id": f"{key}-conflict", "evidence": contrary[0], "truth": 0, "kind": "conflict"},
        {**base, "id": f"{key}-agreement", "evidence": usual[0], "truth": 1, "kind": "agreement"},
    ]
