"""CHAT's marks in one table: the signs that a main line has besides its words, and what becomes of each.

The signs are those that the CHAT manual lists for conversation analysis, prosody, overlap and groups. Both readers,
of .cha and of XML, and the tests take them from here.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Fate = Literal["deleted", "deleted with its index", "deleted with what it encloses", "a scope", "joins a word"]


class Mark(NamedTuple):
    """One sign: a character, or the two of a pair; what the manual calls it; and its fate in a main line."""

    sign: str
    name: str
    fate: Fate


MARKS = (
    Mark("⌈⌉", "overlap, upper", "deleted with its index"),
    Mark("⌊⌋", "overlap, lower", "deleted with its index"),
    Mark("‹›", "phonological group", "a scope"),
    Mark("〔〕", "sign group", "deleted"),
    Mark("↫", "repeated segment", "deleted with what it encloses"),
    Mark("ˈ", "primary stress", "deleted"),
    Mark("ˌ", "secondary stress", "deleted"),
    Mark("≠", "blocked segment", "deleted"),
    Mark("↑", "pitch up", "deleted"),
    Mark("↓", "pitch down", "deleted"),
    Mark("⇗", "rise to high", "deleted"),
    Mark("↗", "rise to mid", "deleted"),
    Mark("→", "level", "deleted"),
    Mark("↘", "fall to mid", "deleted"),
    Mark("⇘", "fall to low", "deleted"),
    Mark("∞", "unmarked ending", "deleted"),
    Mark("≈", "no break", "deleted"),
    Mark("≋", "technical break", "deleted"),
    Mark("≡", "uptake", "deleted"),
    Mark("⤇", "hurried start", "deleted"),
    Mark("⤆", "sudden stop", "deleted"),
    Mark("∙", "inhalation", "deleted"),
    Mark("ǁ", "cut off", "deleted"),
    Mark("∆", "faster", "deleted"),
    Mark("∇", "slower", "deleted"),
    Mark("⁎", "creaky", "deleted"),
    Mark("⁇", "unsure", "deleted"),
    Mark("°", "softer", "deleted"),
    Mark("◉", "louder", "deleted"),
    Mark("▁", "low pitch", "deleted"),
    Mark("▔", "high pitch", "deleted"),
    Mark("☺", "smile voice", "deleted"),
    Mark("♋", "breathy voice", "deleted"),
    Mark("∬", "whisper", "deleted"),
    Mark("Ϋ", "yawn", "deleted"),
    Mark("∲", "yawn, of old", "deleted"),
    Mark("∮", "singing", "deleted"),
    Mark("§", "precise", "deleted"),
    Mark("∾", "constriction", "deleted"),
    Mark("↻", "pitch reset", "deleted"),
    Mark("Ἡ", "laugh in a word", "deleted"),
    Mark("⁑", "hardening", "deleted"),
    Mark("„", "tag", "deleted"),
    Mark("‡", "vocative", "deleted"),
    Mark("“”", "quotation", "deleted"),
    Mark("()", "shortening", "joins a word"),
    Mark(":", "lengthening", "joins a word"),
    Mark("^", "pause within a word", "joins a word"),
    Mark("~", "clitic", "joins a word"),
    Mark("#", "prefix, or a pause of old", "joins a word"),
)


def _signs_of(*fates: Fate) -> str:
    return "".join(m.sign for m in MARKS if m.fate in fates)


JOINING = _signs_of("joins a word")
_OVERLAP = re.compile(f"[{_signs_of('deleted with its index')}][2-9]?")
_REPEATED = re.compile("↫[^↫\\s]*↫")
_GROUP = re.compile("‹([^‹›]*)›")
_DELETED = str.maketrans(
    "", "", _signs_of("deleted", "a scope", "deleted with its index", "deleted with what it encloses") + "•"
)
_COMMENT = re.compile(r"\(\((?:[^()]|\([^()]*\))*\)\)")
"""Remarks that a transcriber of Jefferson's school notes in two pairs of parentheses: no speech."""
BULLET = re.compile('\x15[^\x15]*\x15?|•\\s*(?:%\\w+:\\s*"[^"]*"\\s*_?)?\\d*_\\d*\\s*•?')
"""A time mark, as it stands in files (between two U+0015) and as editors show it."""
TIMES = re.compile(r"\d+_\d+")
"""A time mark that lost its signs: no word is written so."""


def unmark(line: str) -> str:
    """Return a main line without marks, groups as `<…>`: what is left is words, scopes, annotations and events."""
    if line.isascii() and "((" not in line and "\x15" not in line:
        return line
    line = _COMMENT.sub(" ", BULLET.sub(" ", line))
    if line.isascii():
        return line
    line = _REPEATED.sub("", _OVERLAP.sub("", line))
    while (grouped := _GROUP.sub(r"<\1>", line)) != line:
        line = grouped
    return line.translate(_DELETED)
