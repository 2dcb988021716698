"""Reads Visual Dialog: the caption is ENV, question and answer turns are LAN (protocol §2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from groundbench.tasks.corpora.formats.chat_words import plain
from groundbench.tasks.corpora.formats.located_json import expect, member, parse, wrong
from groundbench.tasks.corpora.formats.segments import ANSWER, QUESTION, Segment, Utterance
from groundbench.tasks.corpora.importing.batches import Record
from groundbench.tasks.corpora.importing.faults import Fault, FaultError
from groundbench.tasks.corpora.importing.sources import Source

Turns = list[tuple[str, str]]
"""Questions with their answers; an answer that the file withholds (test split) is empty."""
_Read = Callable[[Any, str, str], tuple[str, str, Turns]]
"""Image, caption and turns of a dialogue; takes it with the file's name and its place there."""


def read_visdial(data: bytes, source: Source, faults: list[Fault], *, fold_case: bool) -> Iterator[Record]:
    """Yield the dialogues of one file, native schema 1.0 or `{"img", "dialog": [caption, "q? a", …]}`.

    A dialogue with a mistake is left out and its fault noted.

    Raises:
        FaultError: not JSON, or of neither schema.
    """
    name = source.name
    dialogs, read, where = dialogs_of(parse(data, name), name)
    for i, dialog in enumerate(dialogs):
        place = f"{where}[{i}]"
        try:
            image, caption, turns = read(dialog, name, place)
        except FaultError as error:
            faults.append(error.fault)
            continue
        yield _record(f"{name}#{image}", caption, turns, fold_case)


def dialogs_of(value: Any, name: str) -> tuple[list[Any], _Read, str]:
    """Return the dialogues of a file, the function that reads one, and their place in the file.

    Raises:
        FaultError: neither schema.
    """
    if isinstance(value, list):
        return value, _read_dialog, ""
    tables = member(value, "data", dict, name, "")
    return member(tables, "dialogs", list, name, "data"), _native(tables, name), "data.dialogs"


def _native(tables: dict[str, Any], name: str) -> _Read:
    questions, answers = (member(tables, key, list, name, "data") for key in ("questions", "answers"))

    def text(table: Sequence[Any], which: str, row: Any, place: str) -> str:
        number = member(row, which, int, name, place)
        if not 0 <= number < len(table):
            raise wrong(name, f"{place}.{which}", f"{number} is no index of data.{which}s, which has {len(table)}")
        return str(expect(table[number], str, name, f"data.{which}s[{number}]"))

    def read(dialog: Any, name: str, place: str) -> tuple[str, str, Turns]:
        caption = member(dialog, "caption", str, name, place)
        turns: Turns = []
        for k, row in enumerate(member(dialog, "dialog", list, name, place)):
            here = f"{place}.dialog[{k}]"
            answer = text(answers, "answer", row, here) if "answer" in expect(row, dict, name, here) else ""
            turns.append((text(questions, "question", row, here), answer))
        return str(member(dialog, "image_id", int, name, place)), caption, turns

    return read


def _read_dialog(dialog: Any, name: str, place: str) -> tuple[str, str, Turns]:
    image = member(dialog, "img", str, name, place)
    rows = member(dialog, "dialog", list, name, place)
    if not rows:
        raise wrong(name, f"{place}.dialog", "is empty; expected a caption first")
    turns: Turns = []
    for k, row in enumerate(rows[1:], 1):
        question, mark, answer = expect(row, str, name, f"{place}.dialog[{k}]").partition("? ")
        if not mark and not question.endswith("?"):
            raise wrong(name, f"{place}.dialog[{k}]", f"expected 'question? answer', found {row!r}")
        turns.append((question, answer))
    return image, expect(rows[0], str, name, f"{place}.dialog[0]"), turns


def _record(name: str, caption: str, turns: Turns, fold_case: bool) -> Record:
    def words(text: str) -> list[str]:
        return plain(text.lower() if fold_case else text)

    shown = words(caption)
    utterances: list[Utterance] = [[Segment("env", QUESTION, shown)]] if shown else []
    for question, answer in turns:
        for tag, text in ((QUESTION, question), (ANSWER, answer)):
            said = words(text)
            if said:
                utterances.append([Segment("lan", tag, said)])
    if len(utterances) > 1 and shown:  # the caption stands with the first question
        utterances[:2] = [utterances[0] + utterances[1]]
    return Record(name, "visdial", repr((caption, turns)).encode(), utterances)
