"""Records with candidates as questions: the mode that is answered by likelihood (protocol §16, mode A)."""

from __future__ import annotations

from groundbench.api.evidence_record import EvidenceRecord, RecordSet
from groundbench.api.question import Question


def as_questions(found: RecordSet) -> tuple[Question, ...]:
    """Return each record as a question: without its evidence, and on another record's evidence."""
    return tuple(_question(found, record) for record in found.records)


def _question(found: RecordSet, record: EvidenceRecord) -> Question:
    prompt, without, other = record.prompt(), record.prompt(""), found.other_prompt(record)
    return Question(
        id=record.id,
        kind=record.kind,
        form="image" if record.image is not None else "text",
        group=record.group,
        prompt=prompt,
        without=without if without.segments else None,
        mismatched=() if other is None or other == prompt else (other,),
        choices=record.candidates,
        target=record.truth or 0,
        prior_answer=record.usual,
    )
