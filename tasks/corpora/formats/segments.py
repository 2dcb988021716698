"""From transcripts to marked words: which tiers are ENV, and in what order they come (protocol §2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.formats.chat_main_line import BracketError, read_main
from groundbench.tasks.corpora.formats.chat_words import ACTION, UNK, plain
from groundbench.tasks.corpora.formats.transcript import Transcript
from groundbench.tasks.corpora.importing.faults import Fault, fault
from groundbench.tasks.corpora.manifest import PAD

ENV, LAN = ":<ENV>", ":<LAN>"
QUESTION, ANSWER = "<Q>", "<A>"
"""Who speaks in a dialogue about an image. Its caption stands before the first question and has that one's tag."""

SPECIAL = frozenset((PAD, UNK, ACTION))
"""Tokens that are no word and no speaker."""

Kind = Literal["env", "lan"]


@dataclass(frozen=True)
class TierSet:
    """The definition of ENV: dependent tiers, headers, and the choice for scoped comments."""

    tiers: frozenset[str]
    headers: frozenset[str] = frozenset()
    comments: bool = False


TIER_SETS = {
    "strict": TierSet(frozenset(("act", "sit", "gpx"))),
    "core": TierSet(frozenset(("act", "sit", "gpx", "exp", "par")), frozenset(("Situation", "Activities")), True),
}


class Segment(NamedTuple):
    """One stretch of text led by a tag: an ENV tier, or what was said. `words` are not yet marked."""

    kind: Kind
    tag: str
    words: list[str]


Utterance = list[Segment]
"""The text shown with an utterance, then the utterance; either may be missing, not both."""


def tier_set(name: str) -> TierSet:
    """Return the tier set of that name. Raises BadInputError."""
    if name not in TIER_SETS:
        raise BadInputError(f"unknown tier set {name!r}: expected {' or '.join(TIER_SETS)}")
    return TIER_SETS[name]


def utterances(
    transcript: Transcript, tiers: TierSet, *, fold_case: bool = False, odd: list[Fault] | None = None
) -> Iterator[Utterance]:
    """Yield the utterances of a transcript: ENV first (headers, tiers, scoped comments), led by the speaker's tag.

    A header annotates the utterance after it. Utterances of which nothing is left (`&=laughs .`) are left out.

    Args:
        odd: takes the faults of utterances that cannot be read, which are then left out.

    Raises:
        FaultError: without `odd`, a bracket that is not closed (names the utterance's line).
    """
    for turn in transcript.turns:
        try:
            words, comments = read_main(turn.main)
        except BracketError as error:
            wrong = fault(transcript.name, turn.line, f"{error} in the utterance of {turn.speaker}")
            if odd is None:
                raise wrong from None
            odd.append(wrong.fault)
            continue
        tag = speaker_tag(turn.speaker)
        shown = [text for name, text in turn.before if name in tiers.headers]
        shown += [text for name, text in turn.tiers if name in tiers.tiers]
        if tiers.comments:
            shown += [text for _, text in comments]
        found: Utterance = []
        for text in shown:
            _add(found, "env", tag, plain(text), fold_case)
        _add(found, "lan", tag, words, fold_case)
        if found:
            yield found


def speaker_tag(speaker: str) -> str:
    """Return the token that leads what a speaker says; never one of the special tokens, whatever the speaker's code."""
    tag = f"<{speaker}>"
    return f"<speaker:{speaker}>" if tag in SPECIAL else tag


def _add(utterance: Utterance, kind: Kind, tag: str, words: list[str], fold_case: bool) -> None:
    if words:
        utterance.append(Segment(kind, tag, [w.lower() for w in words] if fold_case else words))
