"""The part of result.json on the ladder score (concepts §15). Gains are in nats, against same-category mismatches."""

from __future__ import annotations

from pydantic import Field

from groundbench.results.base import Record


class LadderForm(Record):
    """One form's gain over the word's, on the `n_nouns` nouns that both have; 95 % interval as the score's."""

    env_form: str
    ratio: float
    ci_low: float | None = None
    ci_high: float | None = None
    gain: float
    gain_word: float
    n_nouns: int = Field(ge=0)


class UnscoredForm(Record):
    """A form of the ladder that is no part of the score, and why."""

    env_form: str
    reason: str


class LadderScore(Record):
    """The mean of the forms' ratios; null where the interval of G(word) touches 0.

    `ci_low`, `ci_high`: 95 %, a paired bootstrap over nouns and frames.
    """

    score: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    forms: tuple[LadderForm, ...] = ()
    unscored: tuple[UnscoredForm, ...] = ()
