"""Text of any script in one form: composed, with one apostrophe, without what cannot be seen, without punctuation."""

from __future__ import annotations

import re
import unicodedata

APOSTROPHES = "’ʼ＇´‛′"
WITHIN_WORDS = "·‧・׳״་‐‑"
"""Punctuation that words of some languages have inside (Catalan, Japanese, Hebrew, Tibetan), and hyphens."""
JOINERS = "\u200c\u200d"
"""Invisible, and part of the spelling of Persian and of Indic scripts."""
PUNCTUATION = ".,?!;:"
_QUOTED = re.compile(r"(?<!\w)‘([^‘’]*)’(?!\w)")


class _Tidy(dict[int, int | str | None]):
    """Character -> what is written for it, found by its Unicode category when it is first met."""

    def __missing__(self, code: int) -> int | str | None:
        self[code] = found = _replacement(chr(code), code)
        return found


def _replacement(character: str, code: int) -> int | str | None:
    if code < 0x80:
        return code
    if character in APOSTROPHES or character == "‘":
        return "'"
    if character in WITHIN_WORDS or character in JOINERS:
        return code
    if character == "\u200b":  # a space of no width: it parts words
        return " "
    category = unicodedata.category(character)
    if category in ("Cc", "Cf"):  # direction marks, soft hyphens, byte order marks
        return None
    return " " if category[0] in "PZ" and category != "Pc" else code


_TIDY = _Tidy()


def tidy(text: str) -> str:
    """Composed (NFC), one apostrophe, nothing invisible, a space for every punctuation mark beyond ASCII."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    if "‘" in text:
        text = _QUOTED.sub(r" \1 ", text)
    return text.translate(_TIDY)


def strip_ends(word: str, ends: str = PUNCTUATION) -> str:
    """Return the word without `ends`, and without signs beyond ASCII, at its ends."""
    word = word.strip(ends)
    if word.isascii():
        return word
    start, end = 0, len(word)
    while start < end and _is_loose(word[start], ends):
        start += 1
    while start < end and _is_loose(word[end - 1], ends):
        end -= 1
    return word[start:end]


def _is_loose(character: str, ends: str) -> bool:
    """Return True if it does not belong to a word that it begins or ends."""
    if character.isascii():
        return character in ends
    return character in JOINERS or unicodedata.category(character)[0] in "PSZ"
