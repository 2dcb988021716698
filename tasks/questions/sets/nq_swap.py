"""NQ-Swap (Longpre et al. 2021): passages in which the answer's entity was exchanged for another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from groundbench.tasks.questions.sets.conflict_pair import conflict_and_agreement, first_text
from groundbench.tasks.questions.sets.place import Place, Row
from groundbench.tasks.questions.sets.shape import Shape


def convert(row: Row, place: Place) -> Iterable[Row]:
    """Return two records: of the exchanged passage and of the original one."""
    question = first_text(row["question"], "question")
    contrary = (str(row["sub_context"]), first_text(row["sub_answer"], "sub_answer"))
    usual = (str(row["org_context"]), first_text(row["org_answer"], "org_answer"))
    key = hashlib.sha256(f"{question} {contrary}".encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return conflict_and_agreement(key, question, contrary, usual)


NQ_SWAP = Shape(
    "nq-swap",
    ("question", "org_context", "org_answer", "sub_context", "sub_answer"),
    convert,
    "the hub's pminervini/NQ-Swap; made by github.com/apple/ml-knowledge-conflicts",
    "not stated (Natural Questions: CC BY-SA 3.0)",
    "4,746 (two records each)",
    "conflict, agreement",
    "A",
)
