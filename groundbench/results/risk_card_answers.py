"""The parts of card.json that are about given answers of many tokens and users' own records (protocol §16)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from groundbench.results.base import Record


class Estimated(Record):
    """A number with its interval over groups (scenes, images); `n` questions. Null where it cannot be estimated."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = Field(default=0, ge=0)


class RecordsRecord(Record):
    """A user's own file of records.

    Attributes:
        mode: `A` candidates, `B` given answers with labels, `C` given answers alone.
        read: records of the file that could be used; `faulty`: those left out under --keep-going.
        refused: records that do not fit the model, or cannot be told apart in its tokens.
        cut: records whose evidence was cut at a sentence border; `characters_cut` of them all.
        without_other: records that have no other record's evidence to be compared with.
        notes: what was recognised or guessed, a sentence each.
    """

    mode: Literal["A", "B", "C"]
    read: int = Field(ge=0)
    faulty: int = Field(default=0, ge=0)
    refused: int = Field(default=0, ge=0)
    cut: int = Field(default=0, ge=0)
    characters_cut: int = Field(default=0, ge=0)
    without_other: int = Field(default=0, ge=0)
    notes: tuple[str, ...] = ()


class AggregateRecord(Record):
    """Another way to make one risk of an answer's tokens: the worst token, or the worst run of five."""

    how: Literal["worst", "window"]
    auroc: Estimated


class TokenQuality(Record):
    """The quality of a signal on the tokens of labelled spans, over all tokens; intervals over groups."""

    n: int = Field(ge=0)
    wrong: int = Field(ge=0)
    auroc: Estimated
    auprc: Estimated


class ThresholdRow(Record):
    """The effect of a threshold of the best signal on the test split: riskier answers are flagged.

    Attributes:
        flagged: share of answers flagged; `caught`: share of the wrong answers among them that are flagged.
        wrong_kept: share of wrong answers among those not flagged; null where none is left.
    """

    threshold: float
    flagged: float
    caught: float | None
    wrong_kept: float | None


class WorstAnswer(Record):
    """One of the answers with the largest risk.

    Attributes:
        risk: the signal; `probability`: of an error by the card's calibration, null without one.
        tokens, shades: the answer's tokens as text, and each one's risk by the signal (null where it has none).
        sentence: the sentence of the evidence that carries most of the answer's log-probability; null where knocking
            out no sentence lowers it. `carried`: by how many nats.
    """

    id: str
    where: str
    group: str
    kind: str
    question: str
    answer: str
    wrong: bool | None = None
    risk: float
    probability: float | None = None
    tokens: tuple[str, ...] = ()
    shades: tuple[float | None, ...] = ()
    sentence: str | None = None
    carried: float | None = None
