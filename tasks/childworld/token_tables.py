"""The grammar as arrays of token ids: what turns draws into sentences without touching a string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from groundbench.tasks.childworld.counter_rng import Words32, cumulative
from groundbench.tasks.childworld.grammar import TIERS, Grammar, Sentence, grammar
from groundbench.tasks.nouns import inventory

PAD, UNK = "<pad>", "<unk>"
ENV, LAN = ":<ENV>", ":<LAN>"

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Kind:
    """The sentences of one kind: rows `first` to `first + len(bounds)` of the template table."""

    first: int
    bounds: Words32


@dataclass(frozen=True)
class Compiled:
    """The grammar as arrays; S template rows, W the longest sentence with its speaker tag, 100 nouns.

    Attributes:
        vocabulary: token strings by id; `<pad>` is 0, `<unk>` is 1.
        templates: [S, W] token ids, or -1 - slot where the word is drawn; position 0 is the speaker's slot.
        lengths: [S] words of each template, the speaker tag included.
        kinds: where each of TIERS stands in `templates`.
        slots: names of the slots in order: speaker, NOUN, OTHER, then the classes.
        nouns: [2, 100] ids of each noun in the ENV (row 0) and LAN (row 1) tier.
        classes: for each class [2, n] ids of its words in either tier; UNK where the tier never uses the class.
    """

    vocabulary: tuple[str, ...]
    templates: Ids
    lengths: Ids
    kinds: dict[str, Kind]
    slots: tuple[str, ...]
    nouns: Ids
    classes: tuple[Ids, ...]
    speakers: Ids


@cache
def compiled_grammar() -> Compiled:
    """Return the package's grammar, compiled once."""
    return compile_grammar(grammar())


def compile_grammar(g: Grammar) -> Compiled:
    """Give every word a number and put all sentences into one table."""
    vocabulary = _vocabulary(g)
    ids = {word: i for i, word in enumerate(vocabulary)}
    slots = ("speaker", "NOUN", "OTHER", *(f"@{name}" for name in g.classes))
    rows: list[list[int]] = []
    kinds: dict[str, Kind] = {}
    for tier in TIERS:
        suffix = _suffix(tier)
        kinds[tier] = Kind(len(rows), cumulative([s.weight for s in g.sentences[tier]]))
        for sentence in g.sentences[tier]:
            words = (-1 - slots.index(w) if w in slots else ids[w + suffix] for w in sentence.words)
            rows.append([-1, *words])
    width = max(map(len, rows))
    return Compiled(
        vocabulary=vocabulary,
        templates=np.array([row + [ids[PAD]] * (width - len(row)) for row in rows], dtype=np.int64),
        lengths=np.array([len(row) for row in rows], dtype=np.int64),
        kinds=kinds,
        slots=slots,
        nouns=_ids_of_both_tiers(ids, [n.word for n in inventory()]),
        classes=tuple(_ids_of_both_tiers(ids, words) for words in g.classes.values()),
        speakers=np.array([ids[f"<{name}>"] for name in g.speakers], dtype=np.int64),
    )


def _vocabulary(g: Grammar) -> tuple[str, ...]:
    words: set[str] = set()
    for tier in TIERS:
        suffix = _suffix(tier)
        words |= {w + suffix for s in g.sentences[tier] for w in _words(s, g)}
    for noun in inventory():
        words |= {noun.word + suffix for suffix in (ENV, LAN)}
    return (PAD, UNK, *(f"<{name}>" for name in g.speakers), *sorted(words))


def _words(sentence: Sentence, g: Grammar) -> list[str]:
    found: list[str] = []
    for word in sentence.words:
        if word.startswith("@"):
            found += g.classes[word[1:]]
        elif word not in ("NOUN", "OTHER"):
            found.append(word)
    return found


def _suffix(tier: str) -> str:
    return ENV if tier.startswith("env") else LAN


def _ids_of_both_tiers(ids: dict[str, int], words: Sequence[str]) -> Ids:
    return np.array([[ids.get(w + suffix, ids[UNK]) for w in words] for suffix in (ENV, LAN)], dtype=np.int64)
