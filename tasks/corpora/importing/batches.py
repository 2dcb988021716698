"""A batch of files read and encoded in one process: words as ids of a vocabulary of its own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from groundbench.tasks.corpora.formats.chat_words import ACTION, UNK
from groundbench.tasks.corpora.formats.segments import ENV, LAN, Utterance
from groundbench.tasks.corpora.importing.faults import Fault, FaultError
from groundbench.tasks.corpora.importing.fingerprint import Hashes, content_key, sketch, word_hash
from groundbench.tasks.corpora.importing.sources import Source, describe_read_error, printable

Ints = npt.NDArray[np.int32]
SPECIAL = (UNK, ACTION)


@dataclass
class Record:
    """One transcript, marked but not yet encoded.

    Attributes:
        content: decides whether two records are the same one; None: their words do.
        lines: how many lines of each kind it has in its file.
        origin: what its file says of where it is from (see `Transcript`).
    """

    name: str
    corpus: str
    content: bytes | None
    utterances: list[Utterance]
    lines: Counter[str] = field(default_factory=Counter)
    origin: dict[str, str] = field(default_factory=dict)


@dataclass
class Coded:
    """One transcript as numbers.

    Attributes:
        tokens: [n] ids, by the batch's vocabulary until they are merged.
        lengths, kinds: [s] of each segment its tokens, and whether it is ENV (1) or LAN (0).
        segments: [u] of each utterance its segments.
        digest: sha256 of the content, or of the words with their tags.
        sketch: of the words said, see `fingerprint.sketch`; empty where `content` decides.
    """

    name: str
    corpus: str
    digest: str
    lines: Counter[str]
    origin: dict[str, str]
    tokens: Ints
    lengths: Ints
    kinds: npt.NDArray[np.uint8]
    segments: Ints
    sketch: Hashes

    @property
    def env_share(self) -> float:
        """The share of its words that is ENV; tags are no words. 0 for a transcript without a word."""
        words = self.lengths - 1
        return float(words[self.kinds == 1].sum()) / max(1, int(words.sum()))


@dataclass
class Batch:
    """The result of one process: transcripts, their vocabulary, faults, and the bytes read.

    `inputs` are (path given, sha256 of the file) of every file read, for the manifest.
    """

    vocabulary: list[str] = field(default_factory=list)
    coded: list[Coded] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    inputs: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0


Reader = Callable[[bytes, Source, list[Fault]], Iterable[Record]]
"""Reads the records of one file. It adds to the faults what it can read past, and raises FaultError otherwise."""


class _Ids(dict[str, int]):
    """Numbers words in the order in which they come."""

    def __init__(self, order: list[str], hashes: list[int], mark: str) -> None:
        self._order, self._hashes, self._mark = order, hashes, mark

    def __missing__(self, word: str) -> int:
        marked = word if word in SPECIAL else word + self._mark
        self[word] = len(self._order)
        self._order.append(marked)
        self._hashes.append(word_hash(marked))
        return self[word]


def read_batch(sources: Sequence[Source], read: Reader) -> Batch:
    """Read and encode some files; a file with a fault gives its fault and no transcript."""
    batch = Batch(size=sum(s.size for s in sources))
    hashes: list[int] = []
    ids = {kind: _Ids(batch.vocabulary, hashes, mark) for kind, mark in (("env", ENV), ("lan", LAN), ("tag", ""))}
    for source in sources:
        try:
            data = source.read()
            batch.inputs.append((printable(source.given), hashlib.sha256(data).hexdigest()))
            found = [_code(record, ids, hashes) for record in read(data, source, batch.faults)]
        except FaultError as error:
            batch.faults.append(error.fault)
        except Exception as error:
            reason = describe_read_error(error)
            if reason is None:
                raise
            batch.faults.append(Fault(source.name, None, reason))
        else:
            batch.coded += found
    return batch


def _code(record: Record, ids: dict[str, _Ids], hashes: list[int]) -> Coded:
    tokens: list[int] = []
    lengths, kinds, segments = [], [], []
    said: list[int] = []
    for utterance in record.utterances:
        segments.append(len(utterance))
        for kind, tag, words in utterance:
            table = ids[kind]
            tokens.append(ids["tag"][tag])
            found = [table[w] for w in words]
            tokens += found
            if kind == "lan":
                said += found
            lengths.append(len(words) + 1)
            kinds.append(kind == "env")
    if record.content is None:
        known = np.array(hashes, dtype=np.uint64)
        digest, runs = content_key(known[tokens]), sketch(known[said])
        if not len(runs):  # the few words of a short exchange may be another corpus's too
            digest = hashlib.sha256(f"{record.corpus}\0{digest}".encode("utf-8", "replace")).hexdigest()
    else:
        digest, runs = hashlib.sha256(record.content).hexdigest(), np.zeros(0, dtype=np.uint64)
    return Coded(
        record.name,
        record.corpus,
        digest,
        record.lines,
        record.origin,
        np.asarray(tokens, dtype=np.int32),
        np.asarray(lengths, dtype=np.int32),
        np.asarray(kinds, dtype=np.uint8),
        np.asarray(segments, dtype=np.int32),
        runs,
    )
