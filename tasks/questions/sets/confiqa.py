"""ConFiQA (Bi et al. 2024): counterfactual passages to questions of one and of several steps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from groundbench.tasks.questions.sets.conflict_pair import conflict_and_agreement, first_text
from groundbench.tasks.questions.sets.place import Place, Row
from groundbench.tasks.questions.sets.shape import Shape


def convert(row: Row, place: Place) -> Iterable[Row]:
    """Return two records: of the counterfactual passage and of the original one."""
    question = first_text(row["question"], "question")
    contrary = (str(row["cf_context"]), first_text(row["cf_answer"], "cf_answer"))
    usual = (str(row["orig_context"]), first_text(row["orig_answer"], "orig_answer"))
    key = hashlib.sha256(f"{question} {contrary}".encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return conflict_and_agreement(key, question, contrary, usual)


CONFIQA = Shape(
    "confiqa",
    ("question", "orig_context", "orig_answer", "cf_context", "cf_answer"),
    convert,
    "github.com/byronBBL/Context-DPO, ConFiQA-QA.json, -MR.json and -MC.json",
    "not stated",
    "3 x 6,000 (two records each)",
    "conflict, agreement",
    "A",
)
