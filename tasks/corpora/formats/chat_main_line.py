"""Words of a CHAT main line: scopes, annotations and replacements resolved (protocol §2.1)."""

from __future__ import annotations

import re
from typing import NamedTuple

from groundbench.tasks.corpora.formats.chat_marks import unmark
from groundbench.tasks.corpora.formats.chat_words import clean_word

_PIECE = re.compile(
    "\x15[^\x15]*\x15?"  # a time mark
    r"|\+[<^,+\"'.!?/]+"  # a linker or terminator; `+<` is no scope
    r"|\[[^\[\]]*\]"  # an annotation
    r"|[\[\]<>]"
    "|[^\\s\\[\\]<>\x15]+"
)
_PARTS = frozenset(" [(<>)]\x15+")
REMOVED = frozenset(("/", "e"))
"""`[/]` marks a repetition, `[e]` excluded material. Retracings, `[//]` and its kin, stay."""


class Spoken(NamedTuple):
    """The words said, and the scoped comments `[= …]`, `[=! …]`, `[% …]` as (mark, text)."""

    words: list[str]
    comments: list[tuple[str, str]]


class BracketError(ValueError):
    """A bracket that is not closed, or was not opened."""


def read_main(line: str) -> Spoken:
    """Return the words of a main line (without its `*CHI:`).

    Raises:
        BracketError: says which bracket.
    """
    words: list[str] = []
    comments: list[tuple[str, str]] = []
    scopes: list[int] = []
    item = 0  # where the last word or group begins: what an annotation is about
    for piece in _PIECE.findall(unmark(line)):
        first = piece[0]
        if first == "<":
            scopes.append(len(words))
        elif first == ">":
            if not scopes:
                raise BracketError("'>' closes nothing")
            item = scopes.pop()
        elif first == "[":
            if len(piece) == 1:
                raise BracketError("'[' is not closed")
            item = _annotate(piece[1:-1], words, item, comments)
        elif first == "]":
            raise BracketError("']' closes nothing")
        elif first != "\x15":
            found = clean_word(piece)
            if found or first in "&0":
                item = len(words)
                words += found
    if scopes:
        raise BracketError("'<' is not closed")
    return Spoken(words, comments)


def _annotate(mark: str, words: list[str], item: int, comments: list[tuple[str, str]]) -> int:
    """Apply one annotation to the words from `item` on; where the item begins now."""
    kind, _, text = mark.partition(" ")
    if kind in REMOVED and not text:
        del words[item:]
        return len(words)
    if kind in (":", "::") and text:
        words[item:] = [w for piece in text.split() for w in clean_word(piece)]
    elif kind in ("=", "=!", "%") and text:
        comments.append((kind, text))
    return item
