"""Reads CHILDES: CHAT and TalkBank XML (protocol §2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from groundbench.tasks.corpora.formats.chat import read_chat
from groundbench.tasks.corpora.formats.segments import tier_set, utterances
from groundbench.tasks.corpora.formats.talkbank_xml import read_xml
from groundbench.tasks.corpora.formats.transcript import Transcript
from groundbench.tasks.corpora.importing.batches import Record
from groundbench.tasks.corpora.importing.faults import Fault
from groundbench.tasks.corpora.importing.sources import Source

UNNAMED = frozenset(("", "change_me_later"))
"""The placeholder of CHAT's @ID for a corpus before somebody names it; it stands in published transcripts."""


def read_childes(data: bytes, source: Source, faults: list[Fault], *, tiers: str, fold_case: bool) -> Iterator[Record]:
    """Yield the one transcript of a file.

    Raises:
        FaultError: the file cannot be read; names the line.
    """
    before = len(faults)
    read = read_xml if source.suffix == ".xml" else read_chat
    transcript = read(data, source.name, faults)
    found = list(utterances(transcript, tier_set(tiers), fold_case=fold_case, odd=faults))
    if not found and len(faults) > before:
        return  # nothing but odd lines
    content = None if found else data  # without a word only the bytes tell two files apart
    yield Record(source.name, corpus_name(transcript, source), content, found, transcript.lines, transcript.origin)


def corpus_name(transcript: Transcript, source: Source) -> str:
    """Return the corpus that the file names, in lower case; where it names none, its folder's name."""
    named = transcript.corpus.lower()
    return PurePosixPath(source.name).parent.name.lower() if named in UNNAMED else named
