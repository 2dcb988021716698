"""Reads CHAT transcripts (.cha), the format of TalkBank."""

from __future__ import annotations

import re
from codecs import BOM_UTF8

from groundbench.tasks.corpora.formats.transcript import ORIGIN, Transcript, Turn
from groundbench.tasks.corpora.importing.faults import fault

SPEAKER = r"[\w'-]+"
_MAIN = re.compile(rf"\*({SPEAKER}):(?:\s+|$)")
_TIER = re.compile(r"%([^\s:]+):(?:\s+|$)")
_CORPUS_FIELD = 1  # of @ID: language|corpus|code|...


def read_chat(data: bytes, name: str) -> Transcript:
    """One transcript.

    Raises:
        FaultError: not UTF-8, no @Begin or @End, a line that is no header, utterance, tier or continuation, or a
            tier before any utterance.
    """
    lines = _logical_lines(decode(data, name), name)
    found = Transcript(name)
    turns, count = found.turns, found.lines
    before: list[tuple[str, str]] = []
    ended = False
    for number, line in lines:
        first = line[0]
        if ended:
            raise fault(name, number, f"text after @End: {_shown(line)}")
        if first == "*":
            main = _MAIN.match(line)
            if main is None:
                raise fault(name, number, f"expected an utterance as '*CODE:<tab>…', found {_shown(line)}")
            count["*"] += 1
            turns.append(Turn(number, main[1], line[main.end() :], before, []))
            before = []
        elif first == "%":
            tier = _TIER.match(line)
            if tier is None:
                raise fault(name, number, f"expected a tier as '%name:<tab>…', found {_shown(line)}")
            if not turns:
                raise fault(name, number, f"the tier %{tier[1]} annotates no utterance: none stands before it")
            count["%" + tier[1]] += 1
            turns[-1].tiers.append((tier[1], line[tier.end() :]))
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
        else:
            raise fault(name, number, f"expected '*', '%', '@' or a tab at the line's start, found {_shown(line)}")
    if not count["@Begin"]:
        raise fault(name, 1, "no @Begin: not a CHAT transcript")
    if not ended:
        raise fault(name, lines[-1][0], "the file ends without @End: is it cut short?")
    return found


def decode(data: bytes, name: str) -> str:
    """UTF-8 text, with or without a byte order mark.

    Raises:
        FaultError: it is not UTF-8 (names line and byte), or there is nothing in it.
    """
    try:
        text = data.removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise fault(name, line, f"not UTF-8: byte 0x{error.object[error.start]:02x}") from None
    if not text.strip():
        raise fault(name, None, "the file is empty")
    return text


def _logical_lines(text: str, name: str) -> list[tuple[int, str]]:
    """Lines with the continuation lines (which begin with a tab) joined to them, each with its number."""
    found: list[tuple[int, str]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line[:1] == "\t":
            if not found:
                raise fault(name, number, "a continuation line continues nothing")
            start, head = found[-1]
            found[-1] = (start, f"{head} {line.strip()}")
        elif line.strip():
            found.append((number, line))
    return found


def _shown(line: str) -> str:
    return repr(line if len(line) <= 40 else line[:40] + "…")
