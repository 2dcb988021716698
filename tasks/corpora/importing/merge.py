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
from groundbench.tasks.corpora.formats.transcript import PID
from groundbench.tasks.corpora.importing.batches import Batch, Coded
from groundbench.tasks.corpora.importing.faults import Fault
from groundbench.tasks.corpora.importing.fingerprint import Readings
from groundbench.tasks.corpora.manifest import PAD, UNK, SecondReading
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
    """The transcripts read so far; their tokens, by provisional ids, are in a file.

    `add` takes batches in order; `rank` gives the final ids. Transcripts of which less than `min_env_share` of the
    words is ENV are counted (`poor`) and left out.

    Of several readings of one recording one is kept, the first: the same words in the same order, or the same
    persistent identifier and at least half of the runs of words (`second_readings`). Transcripts that only resemble
    one another so, or only share an identifier, are all kept, in one group: a split never parts a group.
    """

    raw: Path
    min_env_share: float = 0.0
    vocabulary: dict[str, int] = field(default_factory=dict)
    counts: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    transcripts: list[Coded] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    inputs: dict[str, Inputs] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)
    second_readings: list[SecondReading] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    """[T] the group of each transcript: the number of its first."""
    poor: int = 0
    readings: Readings = field(default_factory=Readings)
    _names: list[str] = field(default_factory=list)
    _kept: list[int | None] = field(default_factory=list)
    """Of each reading met, the transcript it became; None for one that was too poor."""

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
                first = self._first_reading(coded)
                if first is not None:
                    self.second_readings.append(first)
                    continue
                relatives = self._relatives(coded)
                self.readings.add(coded.digest, coded.origin.get(PID, ""), coded.sketch)
                self._names.append(coded.name)
                if coded.env_share < self.min_env_share:
                    self.poor += 1
                    self._kept.append(None)
                    continue
                self._kept.append(len(self.transcripts))
                self._join(relatives)
                self.lines.update(coded.lines)
                tokens = to_global[coded.tokens]
                grown += np.bincount(tokens, minlength=len(grown))
                tokens.tofile(file)
                coded.tokens = np.zeros(0, dtype=np.int32)  # it stands in the file
                self.transcripts.append(coded)
        self.counts = grown

    @property
    def duplicates(self) -> int:
        """Transcripts left out because another reading of them is kept."""
        return len(self.second_readings)

    @property
    def grouped(self) -> int:
        """Transcripts that share their group, and so their split, with another."""
        sizes = Counter(self.group)
        return sum(n for n in sizes.values() if n > 1)

    def _first_reading(self, coded: Coded) -> SecondReading | None:
        """Return the reading met before of the same recording, and why it is one."""
        same = self.readings.same_words(coded.digest)
        if same is not None:
            return SecondReading(file=coded.name, first=self._names[same], why="the same words")
        pid = coded.origin.get(PID, "")
        same = self.readings.same_identifier(pid)
        if same is not None and self.readings.alike(coded.sketch, with_one=same):
            return SecondReading(file=coded.name, first=self._names[same], why=f"the same identifier {pid}")
        return None

    def _relatives(self, coded: Coded) -> list[int]:
        """Return the kept transcripts that must be in the same split."""
        same = self.readings.same_identifier(coded.origin.get(PID, ""))
        found = {*self.readings.alike(coded.sketch), *(() if same is None else (same,))}
        return [kept for reading in sorted(found) if (kept := self._kept[reading]) is not None]

    def _join(self, relatives: list[int]) -> None:
        """Put the next transcript into the group of its relatives, and their groups into one."""
        groups = {self.group[t] for t in relatives}
        one = min(groups, default=len(self.group))
        if len(groups) > 1:
            self.group = [one if g in groups else g for g in self.group]
        self.group.append(one)


def rank(merged: Merged) -> tuple[list[str], Ids, Ids, int]:
    """Return the final vocabulary: the same whatever order the batches came in.

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
