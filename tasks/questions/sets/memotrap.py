"""MemoTrap (Liu and Liu 2023): instructions that contradict a well-known proverb, sign or fact."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable

from groundbench.tasks.questions.sets.place import FaultyError, Place, Row
from groundbench.tasks.questions.sets.shape import Shape

PARTS = (
    ("translation", "Translate the following sentence from "),
    ("hate-speech-ending", "Write a sign"),
    ("proverb-ending", "Write a "),
)
_EVENT_FIRST = re.compile(r" (?=Before the aforementioned|What was a )")


def convert(row: Row, place: Place) -> Iterable[Row]:
    """Yield one record: the evidence is the instruction (or the sentence to be translated, or the event)."""
    prompt = str(row["prompt"])
    classes = row["classes"] if isinstance(row["classes"], list) else ast.literal_eval(str(row["classes"]))
    if not isinstance(classes, list) or len(classes) != 2:
        raise FaultyError(f"'classes' is {row['classes']!r}, expected a list of two")
    truth = int(row["answer_index"])
    if truth not in (0, 1):
        raise FaultyError(f"'answer_index' is {truth}, expected 0 or 1")
    kind = next((k for k, opening in PARTS if prompt.startswith(opening)), "proverb-ending")
    if "\nA. " in prompt and "\nB. " in prompt:
        kind = "history-of-science"
    elif "hate" in place.path.name:
        kind = "hate-speech-ending"
    evidence = _evidence(prompt, kind)
    proverb = " ".join(prompt.replace(evidence, "", 1).split())
    yield {
        "prompt": prompt,
        "evidence": evidence,
        "group": hashlib.sha256(proverb.encode("utf-8", "surrogatepass")).hexdigest()[:12],
        "candidates": [str(c) for c in classes],
        "truth": truth,
        "usual": 1 - truth,
        "kind": kind,
    }


def _evidence(prompt: str, kind: str) -> str:
    if kind == "translation":
        lines = prompt.split("\n")
        if len(lines) < 3:
            raise FaultyError("the prompt has no second line, expected the sentence that is to be translated")
        return lines[1]
    if kind == "history-of-science":
        line = prompt.split("\n")[0]
        told = line.partition("event: ")[2] or _EVENT_FIRST.split(line)[0]
        return told.strip() or line
    instruction, mark, rest = prompt.partition('":')
    if not mark or not rest.strip():
        instruction, mark, rest = prompt.partition(":")
    if not mark or not rest.strip():
        raise FaultyError("the prompt has no colon after its instruction")
    return instruction + mark


MEMOTRAP = Shape(
    "memotrap",
    ("prompt", "classes", "answer_index"),
    convert,
    "github.com/liujch1998/memo-trap (four CSV files)",
    "MIT",
    "860 + 843 + 100 + 736",
    "proverb-ending, translation, hate-speech-ending, history-of-science",
    "A",
)
