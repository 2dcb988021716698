"""The rules of written contexts beside those of every testbed (protocol §4), and words a corpus lacks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import combinations
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.tasks.corpora.formats.chat_words import plain
from groundbench.tasks.written_contexts import SLOT, Context, ContextTestbed

PER_NOUN = 10
_AGREEING = ("a an", "un una el la este esta ese esa otro otra algún alguna ningún ninguna")
_ARTICLES = frozenset(word for words in _AGREEING for word in words.split())
"""Words before a noun that change with it."""
_ALIKE = 0.6
"""Two sentences of one noun that share more of their words than this are one sentence written twice."""
_WRITTEN = re.compile(r"(?:[^\W_]|[' .,?!-])*")


def context_faults(testbed: ContextTestbed) -> Iterator[tuple[str, str]]:
    """Yield broken rules as (where, what): number, repetition, articles, characters that no word has."""
    counts = Counter(c.noun for c in testbed.contexts)
    for noun in testbed.nouns:
        if counts[noun.word] != PER_NOUN:
            yield f"noun {noun.word!r}", f"has {counts[noun.word]} contexts; expected {PER_NOUN}"
    yield from _repeated_texts(testbed.contexts)
    for context in testbed.contexts:
        yield from _article(context)
        for text in (context.shown.replace(SLOT, ""), *(said for _, said in context.turns)):
            if not _WRITTEN.fullmatch(text):
                yield f"frame {context.id!r}", f"has {text!r}; expected letters, digits, ' - . , ? ! and nothing else"


def unknown_words(testbed: Testbed, form: EnvForm, vocabulary: Collection[str]) -> Counter[str]:
    """Map words of prompts and targets that a vocabulary lacks to the number of prompts with each.

    Args:
        vocabulary: words as the corpus has them, e.g. `book:<ENV>`, `book:<LAN>`, `<CHI>`.
    """
    found: Counter[str] = Counter()
    for frame in testbed.frames(form):
        for noun in testbed.nouns_of(form) if frame.noun is None else [testbed.noun(frame.noun)]:
            words = {*testbed.prompt(frame, noun, form).text.split(), testbed.target_in(noun, form)}
            found.update(word for word in words if word not in vocabulary)
    return found


def read_vocabulary(path: Path) -> frozenset[str]:
    """Return the words of a corpus folder's `vocabulary.txt`, or of such a file: one a line.

    Raises:
        BadInputError: there is no such file, or it is not UTF-8 text.
    """
    file = path / "vocabulary.txt" if path.is_dir() else path
    try:
        return frozenset(file.read_text(encoding="utf-8").split("\n")) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{file}: not a vocabulary with one word a line: {error}") from None


def _article(context: Context) -> Iterator[tuple[str, str]]:
    shown = [w.lower() for w in plain(context.shown)]
    before = shown[shown.index(SLOT) - 1] if shown[0] != SLOT else ""
    if before in _ARTICLES:
        yield f"frame {context.id!r}", f"has {before!r} before the slot: it would have to change with the noun"


def _repeated_texts(contexts: Sequence[Context]) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for context in contexts:
        for text in (context.shown, context.turns[-1][1]):
            first = seen.setdefault(" ".join(plain(text.lower())), context.id)
            if first != context.id:
                yield f"frame {context.id!r}", f"has the words of {first!r}: {text!r}"
    for one, other in combinations(contexts, 2):
        if one.noun != other.noun:
            continue
        for a, b in ((one.shown, other.shown), (one.cut, other.cut)):
            if _overlap(a, b) > _ALIKE:
                yield f"frame {other.id!r}", f"is nearly {one.id!r}: {a!r} and {b!r}"


def _overlap(one: str, other: str) -> float:
    """Return the shared words as a fraction of all words of the two."""
    a, b = (set(plain(text.lower())) for text in (one, other))
    return len(a & b) / len(a | b)
