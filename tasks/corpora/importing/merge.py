"""Batches become one corpus: ids of one vocabulary, transcripts one after another."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundbench.tasks.corpora.formats.chat_words import ACTION
from groundbench.tasks.corpora.formats.segments import ENV, LAN
from groundbench.tasks.corpora.importing.batches import Batch, Coded
from groundbench.tasks.corpora.importing.faults import Fault
from groundbench.tasks.corpora.manifest import PAD, UNK
from groundbench.tasks.nouns import inventory

Ids = npt.NDArray[np.int64]


@dataclass
class Inputs:
    """The files read of one path given: how many, and the digest of their digests."""

    files: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, sha256: str) -> None:
        """Count one file."""
        self.files += 1
        self.digest.update(bytes.fromhex(sha256))


@dataclass
class Merged:
    """What has been read so far; the tokens, by provisional ids, stand in a file.

    `add` takes batches in order; `rank` gives the final ids. Transcripts of which less than `min_env_share` of the
    words is ENV are counted (`poor`) and left out.
    """

    raw: Path
    min_env_share: float = 0.0
    vocabulary: dict[str, int] = field(default_factory=dict)
    counts: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    transcripts: list[Coded] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    inputs: dict[str, Inputs] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    poor: int = 0
    seen: set[str] = field(default_factory=set)

    def add(self, batch: Batch) -> None:
        """Append a batch's transcripts; one whose content was there already, or too poor in ENV, is left out."""
        self.faults += batch.faults
        for given, sha256 in batch.inputs:
            self.inputs.setdefault(given, Inputs()).add(sha256)
        to_global = np.array([self.vocabulary.setdefault(w, len(self.vocabulary)) for w in batch.vocabulary], np.int32)
        grown = np.zeros(len(self.vocabulary), dtype=np.int64)
        grown[: len(self.counts)] = self.counts
        with self.raw.open("ab") as file:
            for coded in batch.coded:
                if coded.digest in self.seen:
                    self.duplicates += 1
                    continue
                self.seen.add(coded.digest)
                if coded.env_share < self.min_env_share:
                    self.poor += 1
                    continue
                self.lines.update(coded.lines)
                tokens = to_global[coded.tokens]
                grown += np.bincount(tokens, minlength=len(grown))
                tokens.tofile(file)
                coded.tokens = np.zeros(0, dtype=np.int32)  # it stands in the file
                self.transcripts.append(coded)
        self.counts = grown


def rank(merged: Merged) -> tuple[list[str], Ids, Ids, int]:
    """The final vocabulary: the same whatever order the batches came in.

    Returns:
        The tokens in order: specials, speaker tags, the inventory's nouns, all others, each by falling count; [V]
        counts; [provisional] their final ids; and how many are protected (specials, tags and nouns).
    """
    specials = [PAD, UNK, ACTION]
    nouns = {n.word + mark for n in inventory() for mark in (ENV, LAN)}
    order = {word: place for place, word in enumerate(specials)}

    def group(word: str) -> int:
        if word in order:
            return 0
        if not word.endswith((ENV, LAN)):
            return 1
        return 2 if word in nouns else 3

    count = dict(zip(merged.vocabulary, merged.counts.tolist(), strict=True))
    used = [w for w in {**dict.fromkeys(specials), **merged.vocabulary} if w in order or count[w]]
    used.sort(key=lambda w: (group(w), order.get(w, 0), -count.get(w, 0), w))
    final = {w: i for i, w in enumerate(used)}
    ids = np.array([final.get(w, -1) for w in merged.vocabulary], dtype=np.int64)
    counts = np.array([count.get(w, 0) for w in used], dtype=np.int64)
    return used, counts, ids, sum(group(w) < 3 for w in used)
