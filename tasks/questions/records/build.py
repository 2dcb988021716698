"""One row of canonical fields -> EvidenceRecord, with one sentence for everything that is wrong with it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import (
    IMAGE_TEMPLATE,
    TEMPLATE,
    EvidenceRecord,
    end_of_prompt,
    evidence_group,
    fill_template,
    template_fault,
    text_around,
)
from groundbench.api.testbed import ImageSource
from groundbench.tasks.questions.records.field_names import LABELS_FALSE, LABELS_TRUE
from groundbench.tasks.questions.sets.place import FaultyError, Row
from groundbench.util.sentences import sentences

RIGHT = ("supported", "right", "correct", "faithful", "grounded", "good", "pass", "passed")
WRONG = (
    *("unsupported", "wrong", "incorrect", "unfaithful", "hallucinated", "hallucination", "ungrounded", "bad", "fail"),
    "failed",
)
PASSAGE_TEXT = ("text", "page_content", "content", "passage")
YES = ("true", "yes", "1", "1.0")
NO = ("false", "no", "0", "0.0")


def build(
    raw: Row, where: str, number: int, *, template: str | None, max_evidence: int | None, image: ImageSource | None
) -> EvidenceRecord:
    """Return the record of one row.

    Raises:
        FaultyError: one sentence with what was found and what was expected.
    """
    evidence = _whole_characters(evidence_text(raw.get("evidence")), "evidence")
    prompt = optional_text(raw, "prompt")
    question = optional_text(raw, "question") or ""
    if not evidence and image is None:
        if "evidence" in raw:
            raise FaultyError("the evidence is empty, expected a text (or a list of texts)")
        raise FaultyError("has no field 'evidence' and none that stands for it (context, passages, documents …)")
    if prompt is None and not question:
        raise FaultyError("has neither 'question' nor 'prompt', expected one of them")
    before, after, join = _text_around(prompt, question, evidence, template, image)
    evidence, cut = shorten_evidence(evidence, max_evidence)
    answer = optional_text(raw, "answer")
    candidates = texts(raw.get("candidates"), "candidates")
    if candidates and answer is not None:
        raise FaultyError("holds both candidates and an answer, expected one of them")
    if not candidates and answer is None:
        raise FaultyError("has neither 'candidates' nor 'answer', expected what may be or was answered")
    if candidates and len(candidates) < 2:
        raise FaultyError(f"has {len(candidates)} candidate, expected at least 2")
    spans = spans_of(raw.get("spans"), answer or "") if "spans" in raw and answer is not None else None
    lead = candidates[0] if candidates else (answer or "")
    if lead[:1] in ("\n", "\t"):
        join = ""
    elif lead[:1] == " " and join:
        join = " "
    strip = str.strip if join else (lambda s: str(s).rstrip())
    shift = len(answer or "") - len((answer or "").lstrip()) if join else 0
    if shift and spans:
        spans = tuple((max(0, a - shift), b - shift) for a, b in spans if b > shift)
    return EvidenceRecord(
        id=plain_text(raw, "id") or str(number),
        question=question,
        evidence=evidence,
        before=before,
        after=after,
        join=join,
        group=plain_text(raw, "group") or _group(evidence, image),
        kind=plain_text(raw, "kind") or "record",
        where=where,
        image=image,
        candidates=tuple(strip(c) for c in candidates),
        truth=truth_of(raw.get("truth"), candidates) if candidates else None,
        answer=None if answer is None else strip(answer),
        wrong=None if candidates else label_of(raw, spans),
        spans=spans,
        usual=usual_of(raw.get("usual"), candidates) if candidates else None,
        cut=cut,
    )


def _group(evidence: str, image: ImageSource | None) -> str:
    return evidence_group(evidence) if image is None else image.key


def _text_around(
    prompt: str | None, question: str, evidence: str, template: str | None, image: ImageSource | None
) -> tuple[str, str, str]:
    """Return the text before and after the evidence, and the join, of a verbatim prompt or of the template."""
    if image is not None:
        template = template or IMAGE_TEMPLATE
        fault = None if prompt else template_fault(template, slots=(0,))
        if fault is not None:
            raise FaultyError(f"the template {fault}")
        return end_of_prompt("", prompt or fill_template(template, question=question))
    if prompt is None:
        try:
            before, after = text_around(template or TEMPLATE, question)
        except BadInputError as error:
            raise FaultyError(str(error)) from None
        return end_of_prompt(after, before)
    times = prompt.count(evidence)
    if times != 1:
        raise FaultyError(f"the evidence {_short(evidence)} stands {times} times in the prompt, expected exactly once")
    before, _, after = prompt.partition(evidence)
    return end_of_prompt(after, before)


def evidence_text(value: Any) -> str:
    """Join evidence given as a text, a list of texts (by a blank line), or a list written as text.

    A list may also hold documents with one of the fields `PASSAGE_TEXT`, as retrievers return them.
    """
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list) and all(isinstance(x, str) for x in listed):
            value = listed
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list | tuple):
        value = [_passage(x) for x in value]
        if not all(isinstance(x, str) for x in value):
            found = next(type(x).__name__ for x in value if not isinstance(x, str))
            raise FaultyError(f"the evidence is a list that holds {found}, expected texts")
        return "\n\n".join(x.strip() for x in value if x.strip())
    raise FaultyError(f"the evidence is {type(value).__name__}, expected a text or a list of texts")


def _passage(value: Any) -> Any:
    """Return a retrieved document's text; anything else as it is."""
    if isinstance(value, dict):
        texts = [value[name] for name in PASSAGE_TEXT if isinstance(value.get(name), str)]
        return texts[0] if len(texts) == 1 else value
    return value


def optional_text(raw: Row, name: str) -> str | None:
    """Return a text field; None where it is absent. Numbers are taken as they are written."""
    value = raw.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise FaultyError(f"{name!r} is {type(value).__name__}, expected a text")
    text = str(value)
    if not text.strip():
        raise FaultyError(f"{name!r} is empty, expected a text")
    return _whole_characters(text, name)


def plain_text(raw: Row, name: str) -> str:
    """Return a field that names the record, as text; empty where it is absent or empty."""
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise FaultyError(f"{name!r} is {type(value).__name__}, expected a text or a number")
    return _whole_characters(str(value), name)


def _whole_characters(text: str, name: str) -> str:
    """Return a text that can be written as UTF-8, or refuse it: halves of a surrogate pair are no text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X}"
        raise FaultyError(f"{name!r} holds half a character ({half} at {error.start}), expected text") from None
    return text


def texts(value: Any, name: str) -> list[str]:
    """Return a list of texts, also as JSON or Python-list text or parted by `|`."""
    if value is None:
        return []
    if isinstance(value, str):
        value = listed_text(value)
    if not isinstance(value, list | tuple) or not all(_is_text(x) for x in value):
        raise FaultyError(f"{name!r} is {_short(str(value))}, expected a list of texts")
    found = [_whole_characters(str(x), name) for x in value]
    if len({x.strip() for x in found}) < len(found) or not all(x.strip() for x in found):
        raise FaultyError(f"{name!r} is {_short(str(found))}, expected different texts, none empty")
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def listed_text(value: str) -> Any:
    """Return a list that a table's cell holds as text."""
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            import ast

            try:
                return ast.literal_eval(value.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                return value
    return [part.strip() for part in value.split("|")] if "|" in value else value


def truth_of(value: Any, candidates: Sequence[str]) -> int:
    """Return the number of the true candidate: a number from 0, a letter, or the candidate itself."""
    if value is None:
        raise FaultyError("has candidates but no 'truth', expected the true one (its number from 0, letter or text)")
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise FaultyError(f"has {len(value)} truths, expected one")
        value = value[0]
    return _place(value, candidates, "truth")


def usual_of(value: Any, candidates: Sequence[str]) -> int | None:
    """Return the number of the candidate that the prior suggests; None where none is named."""
    return None if value is None else _place(value, candidates, "usual")


def _place(value: Any, candidates: Sequence[str], name: str) -> int:
    plain = [c.strip().casefold() for c in candidates]
    if isinstance(value, bool):
        value = "yes" if value else "no"
    said = str(value).strip().casefold()
    if isinstance(value, str) and said in plain:
        return plain.index(said)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\d{1,6}", said)):
        number = int(value)
        if 0 <= number < len(candidates):
            return number
    elif re.fullmatch(r"[a-z]", said) and ord(said) - ord("a") < len(candidates):
        return ord(said) - ord("a")
    elif said in plain:
        return plain.index(said)
    raise FaultyError(f"{name!r} is {_short(str(value))}, expected a candidate or its number")


def spans_of(value: Any, answer: str) -> tuple[tuple[int, int], ...] | None:
    """Spans of characters: [[start, end], ...] or [{"start": .., "end": ..}, ...]; None where not marked."""
    if value is None:
        return None
    if isinstance(value, str):
        value = listed_text(value)
    if not isinstance(value, list | tuple):
        raise FaultyError(f"'spans' is {_short(str(value))}, expected a list of spans")
    found = []
    for span in value:
        ends: Any = (span.get("start"), span.get("end")) if isinstance(span, dict) else span
        if not isinstance(ends, list | tuple) or len(ends) != 2 or not all(map(_is_number, ends)):
            raise FaultyError(f"the span {_short(str(span))} has no start and end, expected whole characters")
        start, end = int(ends[0]), int(ends[1])
        if not 0 <= start < end <= len(answer):
            raise FaultyError(f"the span [{start}, {end}] is outside the answer of {len(answer)} characters")
        found.append((start, end))
    return tuple(sorted(found))


def _is_number(value: Any) -> bool:
    """Return True for a whole number, also one that is written as 3.0."""
    return not isinstance(value, bool) and isinstance(value, int | float) and value == value // 1


def label_of(raw: Row, spans: tuple[tuple[int, int], ...] | None) -> bool | None:
    """Return True if the answer is wrong, by its label and its spans; None where there is neither."""
    said: dict[str, bool] = {}
    for name in (*LABELS_TRUE, *LABELS_FALSE):
        if raw.get(name) not in (None, ""):
            word = str(raw[name]).strip().casefold()  # `grounded: supported` says the same as `label: supported`
            is_label = word in RIGHT or word in WRONG
            said[name] = word in WRONG if is_label else _truth_value(raw[name], name) is (name in LABELS_FALSE)
    if raw.get("label") not in (None, ""):
        said["label"] = _label(raw["label"])
    if spans is not None:
        said["spans"] = bool(spans)
    if not said:
        return None
    if len(set(said.values())) > 1:
        told = ", ".join(f"{name} says {'wrong' if wrong else 'right'}" for name, wrong in said.items())
        raise FaultyError(f"has two truths: {told}")
    return next(iter(said.values()))


def _truth_value(value: Any, name: str) -> bool:
    said = str(value).strip().casefold()
    if said in YES or said in NO:
        return said in YES
    raise FaultyError(f"{name!r} is {_short(str(value))}, expected true or false")


def _label(value: Any) -> bool:
    said = str(value).strip().casefold()
    if said in RIGHT or said in WRONG:
        return said in WRONG
    hint = ""
    if said in YES or said in NO:
        hint = "; a bare truth value does not say which: name the field 'supported' or 'hallucinated' instead"
    raise FaultyError(f"'label' is {_short(str(value))}, expected {' or '.join((RIGHT[0], WRONG[0]))}{hint}")


def shorten_evidence(evidence: str, most: int | None) -> tuple[str, int]:
    """Cut evidence to at most so many characters at the end of a sentence; return it, and how many were cut off.

    Raises:
        FaultyError: its first sentence alone is longer.
    """
    if most is None or len(evidence) <= most:
        return evidence, 0
    start = kept = 0
    for sentence in sentences(evidence):
        end = start + len(sentence.rstrip())
        if end > most:
            break
        kept = end if sentence.strip() else kept
        start += len(sentence)
    if not kept:
        raise FaultyError(f"the evidence's first sentence is longer than --max-evidence {most} characters")
    return evidence[:kept], len(evidence) - kept


def _short(text: str, most: int = 40) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
