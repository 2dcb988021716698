"""Signals of given answers that sums of log-probabilities tell: of models that show nothing else (protocol §16).

The same numbers as `answer_signals` gives, where these are means or sums over an answer's tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from groundbench.api.text_scorer import TextSize
from groundbench.screening.given_answers import AnswerRisks
from groundbench.screening.signals import Signal


@dataclass(frozen=True)
class SummedAnswer:
    """One answer's surprisals (nats), summed over its tokens; `without`, `other`: None where not compared.

    `size`: None where the scorer does not show its tokens.
    """

    shown: float
    without: float | None
    other: float | None
    size: TextSize | None


def gain(answer: SummedAnswer) -> float | None:
    """Compute minus the grounding gain: the mean over tokens."""
    return _mean(None if answer.without is None else answer.shown - answer.without, answer)


def gain_mismatched(answer: SummedAnswer) -> float | None:
    """Compute the same against another record's evidence."""
    return _mean(None if answer.other is None else answer.shown - answer.other, answer)


def probability(answer: SummedAnswer) -> float | None:
    """Return minus the answer's log-probability."""
    return answer.shown


def perplexity(answer: SummedAnswer) -> float | None:
    """Compute the mean surprisal of the answer's tokens."""
    return _mean(answer.shown, answer)


def length(answer: SummedAnswer) -> float | None:
    """Return the tokens of the answer."""
    return None if answer.size is None else float(answer.size.answer)


def position(answer: SummedAnswer) -> float | None:
    """Return the tokens before the answer."""
    return None if answer.size is None else float(answer.size.prompt)


def _mean(value: float | None, answer: SummedAnswer) -> float | None:
    return None if value is None or answer.size is None else value / answer.size.answer


SUMMED: dict[str, Callable[[SummedAnswer], float | None]] = {
    "gain": gain,
    "gain-mismatched": gain_mismatched,
    "probability": probability,
    "perplexity": perplexity,
    "length": length,
    "position": position,
}
"""By name, the signals that sums tell; all others need distributions, hidden states or attention."""


def risks_of_sums(signals: Sequence[Signal], answers: Sequence[SummedAnswer], backend: str) -> AnswerRisks:
    """Return every signal's risk of every answer; `missing` says of the others what they would need."""
    found = AnswerRisks({}, {}, {}, {})
    for signal in signals:
        measure = SUMMED.get(signal.name)
        values = [None if measure is None else measure(a) for a in answers]
        found.risks[signal.name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        if measure is None:
            found.missing[signal.name] = f"{backend} gives sums of log-probabilities only: no {_need_of(signal)}"
        elif all(v is None for v in values):
            shown = any(a.size is not None for a in answers)
            found.missing[signal.name] = (
                "no record has evidence to be compared with" if shown else f"{backend} does not show its tokens"
            )
    return found


def _need_of(signal: Signal) -> str:
    if signal.needs == "heads" or signal.name in ("lookback", "redeep", "sink", "rauq", "svar"):
        return "attention"
    if signal.needs == "hidden" or signal.name in ("ipr", "internal-confidence", "glsim"):
        return "hidden states"
    return "distributions over tokens"
