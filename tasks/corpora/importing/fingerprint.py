"""Fingerprints of transcripts: equal for the same words in any format, alike for two readings of one recording."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
SHINGLE = 4
"""Words in a row."""
SKETCH = 64
"""Hashes kept of a transcript: its smallest, so that two sketches compare as their transcripts do (bottom-k)."""
ALIKE = 0.5
"""The share of shingles from which on two transcripts are two readings of one recording."""
LEAST = 16
"""Shingles below which a sketch says nothing: two short exchanges may have the same words by chance."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


def word_hash(word: str) -> int:
    """64 bits of a word, without case and in Unicode's composed form."""
    normal = unicodedata.normalize("NFC", word.casefold())
    return int.from_bytes(hashlib.blake2b(normal.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def content_key(hashes: Hashes) -> str:
    """Return the digest of words in order, tags and kinds among them; the same whatever the file's format."""
    return hashlib.sha256(hashes.astype("<u8").tobytes()).hexdigest()


def sketch(words: Hashes) -> Hashes:
    """Return the smallest hashes of runs of `SHINGLE` words; empty for a transcript too short to say.

    Args:
        words: [n] hashes of the words said, in order.
    """
    runs = len(words) - SHINGLE + 1
    if runs < LEAST:
        return np.zeros(0, dtype=np.uint64)
    with np.errstate(over="ignore"):
        mixed = np.zeros(runs, dtype=np.uint64)
        for k in range(SHINGLE):
            mixed = (mixed ^ words[k : k + runs]) * _ODD
            mixed ^= mixed >> np.uint64(29)
    found = np.unique(mixed)
    return found[:SKETCH] if len(found) >= LEAST else np.zeros(0, dtype=np.uint64)


def likeness(a: Hashes, b: Hashes) -> float:
    """Return the estimated share of shingles that two transcripts have in common (Jaccard).

    0 where one has no sketch.
    """
    if not len(a) or not len(b):
        return 0.0
    union = np.union1d(a, b)[: min(SKETCH, max(len(a), len(b)))]
    both = np.isin(union, a, assume_unique=True) & np.isin(union, b, assume_unique=True)
    return float(both.mean())


class Readings:
    """Finds, among the transcripts met so far, other readings of the same recording."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}
        self._pids: dict[str, int] = {}
        self._sketches: list[Hashes] = []
        self._where: dict[int, list[int]] = {}

    def same_words(self, key: str) -> int | None:
        """Return the transcript with the same words, tags and kinds."""
        return self._keys.get(key)

    def same_identifier(self, pid: str) -> int | None:
        """Return the transcript with the same persistent identifier."""
        return self._pids.get(pid) if pid else None

    def alike(self, found: Hashes, *, with_one: int | None = None) -> list[int]:
        """Return the transcripts of which at least `ALIKE` of the runs of words are the same."""
        if with_one is not None:
            candidates: Sequence[int] = (with_one,)
        else:
            counts: dict[int, int] = {}
            for value in found.tolist():
                for other in self._where.get(value, ()):
                    counts[other] = counts.get(other, 0) + 1
            candidates = [other for other, n in counts.items() if n * 4 >= len(found)]
        return [i for i in candidates if likeness(found, self._sketches[i]) >= ALIKE]

    def add(self, key: str, pid: str, found: Hashes) -> int:
        """Note a transcript that is kept; its number."""
        number = len(self._sketches)
        self._keys[key] = number
        if pid:
            self._pids.setdefault(pid, number)
        self._sketches.append(found)
        for value in found.tolist():
            self._where.setdefault(value, []).append(number)
        return number
