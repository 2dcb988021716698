"""The folder of an imported corpus: its files, and the manifest that says where it is from.

manifest.json      what was read, with which options; counts; licence; the digest of the rest
vocabulary.txt     one token a line, in the order of the ids
counts.npy         [V]  how often each occurs
tokens.npy         [N]  token ids, transcript after transcript (uint16 or uint32)
segments.npy       [S+1] where each segment begins in the tokens: an ENV tier or an utterance, led by its tag
kinds.npy          [S]  1 for ENV, 0 for LAN
utterances.npy     [U+1] where each utterance, with the ENV before it, begins in the segments
transcripts.npy    [T+1] where each transcript begins in the utterances
transcripts.tsv    name, corpus, persistent identifier (@PID; empty where the file gives none) and split of each
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from groundbench.api.errors import BadInputError

FILE = "manifest.json"
FORMAT = "groundbench-corpus"
VERSION = 1
PAD, UNK = "<pad>", "<unk>"
PAD_ID, UNK_ID = 0, 1


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(_Model):
    """A file or folder that was read; sha256 is over the digests of all files of it that were, in order."""

    path: str
    files: int
    sha256: str


class Counts(_Model):
    """The size of something in transcripts, utterances and words; words are tokens without tags."""

    transcripts: int = 0
    utterances: int = 0
    env_segments: int = 0
    env_words: int = 0
    lan_words: int = 0
    tokens: int = 0


class FaultRecord(_Model):
    """A file that was left out, and why."""

    file: str
    line: int | None
    reason: str


class SecondReading(_Model):
    """A transcript left out because another reading of the same recording, read first, is kept."""

    file: str
    first: str
    why: str


class Manifest(_Model):
    """The description of an imported corpus.

    Attributes:
        source: `childes`, `visdial` or `coco`.
        tiers: the tier set (CHILDES; protocol §2.1), None elsewhere.
        digest: sha256 over vocabulary, tokens and index: two corpora with one digest are equal.
        protected: ids below this are special tokens, speaker tags and the nouns of the inventory; a smaller
            vocabulary keeps them all.
        lines: lines of each kind in the files read: `*` main lines, `%act` tiers ...
        corpora: counts by corpus, as the files name it.
        duplicates: transcripts that were there already, and left out.
        second_readings: which these are, of which transcript each is another reading, and why.
        grouped: how many transcripts resemble another so much, or share its identifier, that they share its split.
        passed_over: how many files of each kind lay among the transcripts and were no input (hidden ones, recordings).
        min_env_share: the smallest share of ENV words with which a transcript was kept; None: all were.
        poor_transcripts: how many had a smaller one, and were left out.
        transcribers: who wrote the transcripts down, by corpus, as their @Transcriber headers name them.
        notices: texts found beside the transcripts that say whose they are, by file.
    """

    format: Literal["groundbench-corpus"] = "groundbench-corpus"
    format_version: Literal[1] = 1
    source: Literal["childes", "visdial", "coco"]
    tiers: str | None = None
    fold_case: bool
    heldout: float
    digest: str
    groundbench: str
    inputs: tuple[Input, ...]
    types: int
    protected: int
    totals: Counts
    heldout_transcripts: int
    duplicates: int
    second_readings: tuple[SecondReading, ...] = ()
    grouped: int = 0
    passed_over: dict[str, int] = {}
    min_env_share: float | None = None
    poor_transcripts: int = 0
    lines: dict[str, int]
    corpora: dict[str, Counts]
    nouns: dict[str, tuple[int, int]]
    licence: str
    cite: tuple[str, ...]
    transcribers: dict[str, tuple[str, ...]] = {}
    notices: dict[str, str]
    faults: tuple[FaultRecord, ...] = ()


def is_corpus(folder: Path) -> bool:
    """Return True if the folder looks like an imported corpus."""
    return (folder / FILE).is_file()


def load_manifest(folder: Path) -> Manifest:
    """Return the manifest of an imported corpus.

    Raises:
        BadInputError: there is none, or it is not one of ours.
    """
    path = folder / FILE
    if not path.is_file():
        raise BadInputError(f"{folder}: no {FILE}; expected a corpus made by `groundbench tasks import`")
    try:
        return Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise schema_fault(path, error, f"{FORMAT} version {VERSION}") from None
    except (ValueError, OSError) as error:
        raise BadInputError(f"{path}: not a manifest: {error}") from None


def schema_fault(path: Path, error: ValidationError, expected: str) -> BadInputError:
    """Describe a manifest that breaks its schema: the first field that does, and what was expected."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    return BadInputError(f"{path}: {place}: {first['msg']}; expected {expected}")
