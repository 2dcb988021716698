"""A transcript between reading and marking: who said what, and what was noted beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

PID, TRANSCRIBER = "PID", "Transcriber"
ORIGIN = frozenset((PID, TRANSCRIBER))
"""Headers that whoever cites a transcript needs: its persistent identifier, and who wrote it down."""


class Turn(NamedTuple):
    """One utterance as it is in the file.

    Attributes:
        line: where it begins, from 1.
        speaker: the participant's code, e.g. `MOT`.
        main: the main line after the code, in CHAT notation.
        before: headers that stand before it as (name, text), e.g. ("Situation", "playing").
        tiers: its dependent tiers as (name, text), e.g. ("act", "opens the box").
    """

    line: int
    speaker: str
    main: str
    before: list[tuple[str, str]]
    tiers: list[tuple[str, str]]


@dataclass
class Transcript:
    """One recording.

    Attributes:
        name: the file, with the archive it came from.
        corpus: the corpus as its @ID headers (CHAT) or its root element (XML) name it; "" if they do not.
        lines: how many lines of each kind the file has: `*`, `%act`, `@Situation` ...
        origin: what the file itself says of where it is from, by header (see `ORIGIN`); only what it has.
    """

    name: str
    corpus: str = ""
    turns: list[Turn] = field(default_factory=list)
    lines: Counter[str] = field(default_factory=Counter)
    origin: dict[str, str] = field(default_factory=dict)
