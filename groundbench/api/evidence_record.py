"""One record of a user's own evidence: evidence, a question, and candidates or a given answer (protocol §16)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, ImageSegment, ImageSource, Prompt, Segment, TextSegment

Mode = Literal["A", "B", "C"]
TEMPLATE = "Answer the question with what the passage says.\n\nPassage: {evidence}\n\nQuestion: {question}\nAnswer:"
IMAGE_TEMPLATE = "Question: {question}\nAnswer:"
MODES: Mapping[Mode, str] = {
    "A": "candidates with the true one",
    "B": "given answers with a label or spans",
    "C": "given answers without labels",
}


@dataclass(frozen=True)
class EvidenceRecord:
    """A question, what it is asked on, and what is answered.

    Attributes:
        id: unique in its file.
        question: what is asked; may be empty where `before` and `after` hold everything.
        evidence: the text that the answer should rest on; empty where it is an image.
        before, after: what stands around the evidence in the prompt.
        join: what stands between the prompt and an answer.
        group: the unit that splits and intervals keep together; by default a hash of the evidence.
        kind: what errors are counted by.
        where: file and line (or record), for messages.
        image: the evidence where it is an image.
        candidates, truth: mode A: possible answers, and the number of the true one.
        answer: modes B and C: the given answer.
        wrong: mode B: whether the answer is not supported by the evidence.
        spans: mode B: half-open character spans of the answer that are not supported; None where not marked.
        usual: mode A: the number of the answer that the prior suggests.
        cut: how many characters of evidence were cut off at a sentence border.
    """

    id: str
    question: str
    evidence: str
    before: str
    after: str
    join: str
    group: str
    kind: str
    where: str
    image: ImageSource | None = None
    candidates: tuple[str, ...] = ()
    truth: int | None = None
    answer: str | None = None
    wrong: bool | None = None
    spans: tuple[tuple[int, int], ...] | None = None
    usual: int | None = None
    cut: int = 0

    @property
    def mode(self) -> Mode:
        """`A`, `B` or `C`; see `MODES`."""
        if self.candidates:
            return "A"
        return "C" if self.wrong is None else "B"

    def prompt(self, evidence: str | None = None, image: ImageSource | None = None) -> Prompt:
        """Return the prompt with its own evidence, or with other evidence in its place.

        `evidence=""` leaves it empty.
        """
        text = self.evidence if evidence is None else evidence
        segments: list[Segment] = []
        if self.image is not None and evidence != "":
            segments.append(ImageSegment(image or self.image))
        segments.append(TextSegment(self.before))
        if text:
            segments.append(EnvSegment(text))
        segments.append(TextSegment(self.after))
        kept = tuple(s for s in segments if not (isinstance(s, TextSegment) and not s.text))
        form = "image" if self.image is not None else "text"
        return Prompt(self.where, self.id, form, kept, self.join)


@dataclass(frozen=True)
class RecordFault:
    """A record that cannot be used: file and line, and one sentence."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True)
class RecordSet:
    """The records of one file and what was wrong with others.

    Attributes:
        name: the file, for the card.
        mode: the one mode of all records.
        faults: records left out under `keep_going`.
        notes: what was recognised, guessed or cut, a sentence each.
    """

    name: str
    mode: Mode
    records: tuple[EvidenceRecord, ...]
    faults: tuple[RecordFault, ...] = ()
    notes: tuple[str, ...] = ()
    other: Mapping[str, int] = field(default_factory=dict)
    """For each record's id the number of the record whose evidence it is compared with; none where there is none."""

    def other_prompt(self, record: EvidenceRecord) -> Prompt | None:
        """Return the record's prompt on another record's evidence."""
        at = self.other.get(record.id)
        if at is None:
            return None
        lender = self.records[at]
        return record.prompt(lender.evidence or None, lender.image)

    def digest(self) -> str:
        """Return a hash of everything in the records that decides a number (16 hex digits)."""
        found = hashlib.sha256()
        for r in self.records:
            other = self.other_prompt(r)
            parts = (
                r.id, r.evidence, r.before, r.after, r.join, r.group, r.kind, r.candidates, r.truth, r.answer,
                r.wrong, r.spans, r.usual, None if r.image is None else r.image.key,
                None if other is None else _content(other),
            )  # fmt: skip
            found.update(repr(parts).encode("utf-8", "surrogatepass"))
        return found.hexdigest()[:16]


def _content(prompt: Prompt) -> tuple[str, ...]:
    return tuple(s.image.key if isinstance(s, ImageSegment) else s.text for s in prompt.segments)


def evidence_group(evidence: str) -> str:
    """Return the default group of a record: a hash of its evidence, so that one document is never in two splits."""
    return hashlib.sha256(" ".join(evidence.split()).encode("utf-8", "surrogatepass")).hexdigest()[:12]


BRACES = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")
"""A word in doubled braces, which is text in single ones; or a slot."""


def template_fault(template: str, slots: tuple[int, ...] = (1,)) -> str | None:
    """Return what is wrong with a template, in words that follow its name; None if it can be filled.

    Args:
        slots: how many slots `{evidence}` there may be: one for text, none where the evidence is an image.
    """
    found = [m[2] for m in BRACES.finditer(template) if m[2]]
    unknown = next((slot for slot in found if slot not in ("evidence", "question")), None)
    if unknown is not None:
        return (
            f"has the slot {{{unknown}}}, expected only {{evidence}} and {{question}}; as text it is written "
            f"{{{{{unknown}}}}}"
        )
    if found.count("evidence") not in slots:
        expected = "exactly one" if 1 in slots else "none: the evidence is an image"
        return f"has {found.count('evidence')} slots {{evidence}}, expected {expected}"
    if found.count("question") > 1:
        return f"has {found.count('question')} slots {{question}}, expected one"
    return None


def fill_template(template: str, **texts: str) -> str:
    """Return a template without faults with its slots filled; one without a text here stays as it is."""
    return BRACES.sub(lambda m: f"{{{m[1]}}}" if m[1] else texts.get(m[2], m[0]), template)


def text_around(template: str, question: str) -> tuple[str, str]:
    """Return the text that a template puts before and after the evidence.

    Raises:
        BadInputError: the template has not exactly one `{evidence}`, `{question}` more than once, or another slot.
    """
    fault = template_fault(template)
    if fault is not None:
        raise BadInputError(f"the template {fault}")
    slot = next(m for m in BRACES.finditer(template) if m[2] == "evidence")
    before, after = template[: slot.start()], template[slot.end() :]
    return fill_template(before, question=question), fill_template(after, question=question)


def end_of_prompt(after: str, before: str = "") -> tuple[str, str, str]:
    """Before, after and join: blanks at the prompt's end belong to the answer; a line break stays with the prompt."""
    text = after or before
    kept = text.rstrip(" ")
    blanks = text[len(kept) :]
    join = blanks or ("" if kept.endswith("\n") else " ")
    return (before, kept, join) if after else (kept, after, join)
