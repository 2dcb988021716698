"""Sentence patterns of the grammar: (a|b) alternatives, [a] optional, $name macros; expanded once, in full."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product

from groundbench.api.errors import BadInputError

Words = tuple[str, ...]

_TOKEN = re.compile(r"[()|\[\]]|[^\s()|\[\]]+")


def expand(pattern: str, macros: Mapping[str, str]) -> list[Words]:
    """Return every sentence of a pattern, as tuples of words; `$name` is replaced by the text of that macro.

    Raises:
        BadInputError: brackets do not match, or a macro is unknown.
    """
    text = re.sub(r"\$(\w+)", lambda m: _expand_macro(m.group(1), macros, pattern), pattern)
    tokens = _TOKEN.findall(text)
    sentences, rest = _alternatives(tokens, 0)
    if rest != len(tokens):
        raise BadInputError(f"pattern {pattern!r}: {tokens[rest]!r} closes nothing")
    return sentences


def contains(sentence: Words, wording: Words, classes: Mapping[str, Words]) -> bool:
    """Return True if `wording` is part of a wording of the sentence; `@name` takes any word of its class."""
    n = len(wording)
    return any(
        all(_matches(sentence[i + k], wording[k], classes) for k in range(n)) for i in range(len(sentence) - n + 1)
    )


def _matches(slot: str, word: str, classes: Mapping[str, Words]) -> bool:
    if slot.startswith("@"):
        return word in classes[slot[1:]]
    if word == "NOUN":
        return slot in ("NOUN", "OTHER")
    return slot == word


def _expand_macro(name: str, macros: Mapping[str, str], pattern: str) -> str:
    if name not in macros:
        raise BadInputError(f"pattern {pattern!r}: unknown macro ${name}, expected one of {', '.join(macros)}")
    return macros[name]


def _alternatives(tokens: list[str], at: int) -> tuple[list[Words], int]:
    """Return the sentences of `a b|c d` from token `at` on, and where the closing bracket (or the end) is."""
    found: list[Words] = []
    parts: list[list[Words]] = []
    while at < len(tokens) and tokens[at] not in (")", "]"):
        token = tokens[at]
        if token == "|":
            found += _combine(parts)
            parts = []
        elif token in ("(", "["):
            inner, at = _alternatives(tokens, at + 1)
            if at == len(tokens) or tokens[at] != {"(": ")", "[": "]"}[token]:
                raise BadInputError(f"pattern {' '.join(tokens)!r}: a {token!r} is not closed")
            parts.append([*inner, ()] if token == "[" else inner)
        else:
            parts.append([(token,)])
        at += 1
    return found + _combine(parts), at


def _combine(parts: list[list[Words]]) -> list[Words]:
    return [tuple(word for part in choice for word in part) for choice in product(*parts)]
