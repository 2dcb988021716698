"""Reads CHAT transcripts (.cha), the format of TalkBank."""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from groundbench.tasks.corpora.formats.transcript import ORIGIN, Transcript, Turn
from groundbench.tasks.corpora.importing.faults import Fault, fault

SPEAKER = r"[\w'-]+"
_MAIN = re.compile(rf"\*({SPEAKER})\s*:\s*")
_TIER = re.compile(r"%([^\s:]+)\s*:\s*")
_CORPUS_FIELD = 1  # of @ID: language|corpus|code|...
_TAIL = "\x00\x1a"
"""Characters that editors of old leave at a file's end: NUL, and the ^Z of CP/M and DOS."""


def read_chat(data: bytes, name: str, odd: list[Fault] | None = None) -> Transcript:
    """Return one transcript.

    A continuation line begins with a tab or, as some editors write it, spaces; tiers are named in lower case, and the
    tab behind a code may be missing.

    Args:
        odd: takes the faults of lines that are no header, utterance, tier or continuation; such a line is left out,
            with the tiers and continuations that hang on it.

    Raises:
        FaultError: not UTF-8, no @Begin or @End; without `odd` also the first odd line.
    """
    lines = _logical_lines(decode(data, name))
    found = Transcript(name)
    turns, count = found.turns, found.lines
    before: list[tuple[str, str]] = []
    ended = False
    lost = False  # the utterance before is odd: its tiers are not those of the one before it

    def note(number: int, reason: str) -> None:
        wrong = fault(name, number, reason)
        if odd is None:
            raise wrong
        odd.append(wrong.fault)

    for number, line in lines:
        first = line[0]
        if ended:
            note(number, f"text after @End: {_excerpt(line)}")
            break
        if first == "*":
            main = _MAIN.match(line)
            lost = main is None
            if main is None:
                note(number, f"expected an utterance as '*CODE:<tab>…', found {_excerpt(line)}")
                continue
            count["*"] += 1
            turns.append(Turn(number, main[1], line[main.end() :], before, []))
            before = []
        elif first == "%":
            tier = _TIER.match(line)
            if tier is None:
                note(number, f"expected a tier as '%name:<tab>…', found {_excerpt(line)}")
            elif not turns and not lost:
                note(number, f"the tier %{tier[1]} annotates no utterance: none stands before it")
            elif not lost:
                kind = tier[1].lower()
                count["%" + kind] += 1
                turns[-1].tiers.append((kind, line[tier.end() :]))
        elif first == "@":
            header, _, text = line[1:].partition(":")
            header, text = header.strip(), text.strip()
            count["@" + header] += 1
            ended = header == "End"
            if header == "ID" and not found.corpus:
                found.corpus = "".join(text.split("|")[_CORPUS_FIELD : _CORPUS_FIELD + 1]).strip()
            elif text and header in ORIGIN:
                found.origin.setdefault(header, text)
            elif text:
                before.append((header, text))
        elif first.isspace():
            note(number, "a continuation line continues nothing")
        else:
            note(number, f"expected '*', '%', '@' or a tab at the line's start, found {_excerpt(line)}")
    if not count["@Begin"]:
        raise fault(name, 1, "no @Begin: not a CHAT transcript")
    if not ended:
        raise fault(name, lines[-1][0], "the file ends without @End: is it cut short?")
    return found


def decode(data: bytes, name: str, declared: str | None = None) -> str:
    """Decode UTF-8 text, with or without a byte order mark.

    Args:
        declared: the encoding that the file names; tried where the bytes are not UTF-8.

    Raises:
        FaultError: it is neither (names line and byte), or there is nothing in it.
    """
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise fault(name, 1, f"UTF-16 by its first bytes, and cut or damaged: {error.reason}") from None
    else:
        try:
            text = data.removeprefix(BOM_UTF8).decode("utf-8")
        except UnicodeDecodeError as error:
            text = _as_declared(data, declared)
            if not text:
                line = error.object[: error.start].count(b"\n") + 1
                raise fault(name, line, f"not UTF-8: byte 0x{error.object[error.start]:02x}") from None
    if not text.strip():
        raise fault(name, None, "the file is empty")
    return text


def _as_declared(data: bytes, declared: str | None) -> str:
    """Return the text in the encoding that it declares; empty if that is none, or not so."""
    try:
        return data.decode(declared) if declared else ""
    except (LookupError, ValueError):
        return ""


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Return lines with the continuation lines (which begin with a tab) joined to them, each with its number."""
    text = text.rstrip(_TAIL + "\r\n\t ").replace("\r\n", "\n")
    text = text.replace("\r", " " if "\n" in text else "\n")
    found: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if line[0] in "\t " and found:
            start, head = found[-1]
            found[-1] = (start, f"{head} {line.strip()}")
        else:
            found.append((number, line))
    return found


def _excerpt(line: str) -> str:
    return repr(line if len(line) <= 40 else line[:40] + "…")
