"""From CHAT's notation of words to plain ones (protocol §2.1), and from running text to words.

What a spoken word becomes:

| CHAT | what it is | here |
|---|---|---|
| `(be)cause` `thi:s` `ˈbaby` `choo^choo` `un#do` `da~me` | shortening, length, stress, pause, joint | the bare word |
| `↫h-h↫hat` | a repeated segment | the bare word |
| `moo@o` `b@l` `hola@s:spa` ... | special forms | the word |
| `@b` `@c` `@f` `@wp` `@p` `@n` `@g` `@u` `@x` | babble, child's, family's and other words of no dictionary | `<unk>` |
| `xxx` `yyy` `www` | not understood, not transcribed | `<unk>` |
| `&-um`, `um@fp`; of old also `&um &uh &er &eh` | fillers | `um` |
| `&+fr` `&~gaga` `&fr` `&=laughs` `&*MOT:yes` | fragments, nonwords, events, interposed words | nothing |
| `0` | an action without speech | `<0>` |
| `0is` | an omitted word | nothing |
| `.` `,` `¿` `。` `؟` `+...` `(.)` `(1.5)` `#` | punctuation of any script, linkers, pauses | nothing |

The signs of `chat_marks` go first: `⌈2 hat ⌉2` is `hat`. Words are composed (NFC), with one apostrophe.
"""

from __future__ import annotations

import re
from functools import lru_cache

from groundbench.tasks.corpora.formats.chat_marks import BULLET, JOINING, TIMES, unmark
from groundbench.tasks.corpora.formats.plain_text import PUNCTUATION, strip_ends, tidy

UNK, ACTION = "<unk>", "<0>"
UNINTELLIGIBLE = frozenset(("xxx", "yyy", "www", "xx", "yy", "ww"))
NO_DICTIONARY = frozenset(["b", "c", "f", "wp", "p", "n", "g", "u", "x"])
OLD_FILLERS = frozenset(("&um", "&uh", "&er", "&eh"))
"""The fillers that CHAT's manual names for English, as transcripts from before `&-` write them."""

_CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF]))
_BRACKETS = "<>[]"
_SPOKEN = str.maketrans("", "", _CONTROLS + _BRACKETS + '"' + JOINING)
_TEXT = str.maketrans("", "", _CONTROLS + _BRACKETS + '"')
_SCOPE = re.compile(r"<(?:[\s\d.,$=+uUwW-]|aft(?:er)?|bef(?:ore)?|dur|and)+>")
_RANGE = re.compile(r"\(?(?<![\d:.])(?:\d+:)+\d+(?:[.,]\d+)?\s*[-–]\s*(?:\d+:)+\d+(?:[.,]\d+)?\)?")
"""From when to when: `(012:05.101-012:09.300)`."""
_KEY = re.compile(r"(?<!\S)(?:act|add|com|exp|gpx|int|par|sit|spa|tim|ges|gls)=(?=\S)")
"""The tier that a scoped comment says it would stand in."""
_OMITTED = re.compile(r"0+[^\W\d_]")
_PAUSE = re.compile(r"\((?:\.+|[\d.:]+)\)")


@lru_cache(maxsize=1 << 17)
def clean_word(word: str) -> tuple[str, ...]:
    """Clean one word of a main line, free of scopes and annotations: nothing, one word or a special token."""
    if word.isascii() and word.isalpha() and word.lower() not in UNINTELLIGIBLE:
        return (word,)
    if not word.isascii():
        pieces = tidy(unmark(word)).split()
        if pieces != [word]:
            return tuple(w for piece in pieces for w in clean_word(piece))
    if word[0] == "&":
        return _ampersand(word)
    if word[0] == "+" or _PAUSE.fullmatch(word) or TIMES.fullmatch(word.strip("#")):
        return ()
    base, _, form = word.partition("$")[0].partition("@")
    base = strip_ends(base.translate(_SPOKEN))
    if base == "0":
        return (ACTION,)
    if not any(map(str.isalnum, base)) or _OMITTED.match(base):
        return ()
    if base.lower() in UNINTELLIGIBLE or re.split("[^a-z]", form, maxsplit=1)[0] in NO_DICTIONARY:
        return (UNK,)
    return (base,)


def _ampersand(word: str) -> tuple[str, ...]:
    if word[:2] == "&-":
        return clean_word(word[2:]) if word[2:3].isalpha() else ()
    plain = strip_ends(word.translate(_SPOKEN))
    return (plain[1:],) if plain in OLD_FILLERS else ()


def plain(text: str) -> list[str]:
    """Return the words of running text (a tier, a header, a caption): no bullets, scope marks, codes or punctuation."""
    text = tidy(_KEY.sub("", _RANGE.sub(" ", _SCOPE.sub(" ", BULLET.sub(" ", text)))))
    words = (strip_ends(word.translate(_TEXT), PUNCTUATION + "()") for word in text.split() if word[0] != "$")
    return [w for w in words if any(map(str.isalnum, w)) and not TIMES.fullmatch(w)]
