"""From CHAT's notation of words to plain ones (protocol §2.1), and from running text to words.

What a spoken word becomes:

| CHAT | what it is | here |
|---|---|---|
| `(be)cause` `thi:s` `ˈbaby` `choo^choo` | shortening, lengthening, stress, pause | the word without it |
| `moo@o` `b@l` `hola@s:spa` ... | special forms | the word |
| `@b` `@c` `@f` `@wp` `@p` `@n` `@g` `@u` `@x` | babble, child's, family's and other words of no dictionary | `<unk>` |
| `xxx` `yyy` `www` | not understood, not transcribed | `<unk>` |
| `&-um`, `um@fp`; of old also `&um &uh &er &eh` | fillers | `um` |
| `&+fr` `&~gaga` `&fr` `&=laughs` `&*MOT:yes` | fragments, nonwords, events, interposed words | nothing |
| `0` | an action without speech | `<0>` |
| `0is` | an omitted word | nothing |
| `.` `,` `+...` `(.)` `(1.5)` `„` `‡` | punctuation, linkers, pauses | nothing |
"""

from __future__ import annotations

import re
from functools import lru_cache

UNK, ACTION = "<unk>", "<0>"
UNINTELLIGIBLE = frozenset(("xxx", "yyy", "www", "xx", "yy", "ww"))
NO_DICTIONARY = frozenset(["b", "c", "f", "wp", "p", "n", "g", "u", "x"])
OLD_FILLERS = frozenset(("&um", "&uh", "&er", "&eh"))
"""The fillers that CHAT's manual names for English, as transcripts from before `&-` write them."""

_CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF]))
_BRACKETS = "<>[]"
_QUOTES = '"“”„‡«»'
_PROSODY = "ˈˌ↑↓↗↘→⇗⇘≠∞≈≋≡⌈⌉⌊⌋∆∇°▁▔☺♋⁇∬Ϋ∲§∾↻Ἡ⁎∙ǁ↫…"
_PUNCTUATION = ".,?!;:"
_SPOKEN = str.maketrans("", "", _CONTROLS + _BRACKETS + _QUOTES + _PROSODY + "():^")
_TEXT = str.maketrans("", "", _CONTROLS + _BRACKETS + _QUOTES)
_BULLET = re.compile("\x15[^\x15]*\x15?")
_SCOPE = re.compile(r"<(?:[\s\d.,$=+uUwW-]|aft(?:er)?|bef(?:ore)?|dur|and)+>")
_PAUSE = re.compile(r"\((?:\.+|[\d.:]+)\)")


@lru_cache(maxsize=1 << 17)
def spoken(word: str) -> tuple[str, ...]:
    """What one word of a main line, free of scopes and annotations, becomes: nothing, one word or a special token."""
    if word.isascii() and word.isalpha() and word.lower() not in UNINTELLIGIBLE:
        return (word,)
    if word[0] == "&":
        return _ampersand(word)
    if word[0] == "+" or _PAUSE.fullmatch(word):
        return ()
    base, _, form = word.partition("$")[0].partition("@")
    base = base.translate(_SPOKEN).strip(_PUNCTUATION)
    if base == "0":
        return (ACTION,)
    if not any(map(str.isalnum, base)) or (base[0] == "0" and base[1:2].isalpha()):
        return ()
    if base.lower() in UNINTELLIGIBLE or re.split("[^a-z]", form, maxsplit=1)[0] in NO_DICTIONARY:
        return (UNK,)
    return (base,)


def _ampersand(word: str) -> tuple[str, ...]:
    if word[:2] == "&-":
        return spoken(word[2:]) if word[2:3].isalpha() else ()
    plain = word.translate(_SPOKEN).strip(_PUNCTUATION)
    return (plain[1:],) if plain in OLD_FILLERS else ()


def plain(text: str) -> list[str]:
    """The words of running text (a tier, a header, a caption): no bullets, scope marks, codes or punctuation."""
    text = _SCOPE.sub(" ", _BULLET.sub(" ", text))
    words = (word.translate(_TEXT).strip("()" + _PUNCTUATION) for word in text.split() if word[0] != "$")
    return [w for w in words if any(map(str.isalnum, w))]
