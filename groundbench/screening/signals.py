"""Risk signals of an answer: numbers that rise with the chance that it is wrong, their sign fixed before any data.

Each is named with what it is and what it costs for one answer of k comparisons; a forward pass of the prompt, which
answering takes anyway, is counted too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.results.risk_card import Role
from groundbench.screening.answering import Answers, normalised
from groundbench.screening.heads import Activity

Floats = npt.NDArray[np.float64]
Need = Literal["without", "mismatched", "heads", "hidden", "candidates"]
CONTRAST = 1.0
"""How far contrastive decoding goes beyond the prompt, away from blank evidence (Leng et al. 2024)."""


@dataclass(frozen=True)
class Signal:
    """One risk signal: its name, the family it is asked for by, its role, what it needs and costs."""

    name: str
    family: str
    role: Role
    description: str
    cost: str
    needs: Need


HEADS_COST = "1 forward + 1 backward through the last position"
SIGNALS: tuple[Signal, ...] = (
    Signal(
        "gain",
        "gain",
        "signal",
        "minus the grounding gain of the given answer: its surprisal without the evidence minus with it (nats)",
        "2 forwards",
        "without",
    ),
    Signal(
        "gain-mismatched",
        "gain",
        "signal",
        "the same against other evidence: the mean over k of them (nats)",
        "1 + k forwards",
        "mismatched",
    ),
    Signal(
        "heads-share",
        "heads",
        "signal",
        "minus the part of the detected heads' saliency that comes from the evidence",
        HEADS_COST,
        "heads",
    ),
    Signal(
        "heads-attention",
        "heads",
        "signal",
        "minus the detected heads' mean attention to the evidence",
        HEADS_COST,
        "heads",
    ),
    Signal(
        "heads-support",
        "heads",
        "signal",
        "minus what the evidence adds to the answer through the detected heads: log-probability, to first order (nats)",
        HEADS_COST,
        "heads",
    ),
    Signal(
        "lens-entropy",
        "lens",
        "signal",
        "entropy of the logit lens at the middle layers (nats)",
        "1 forward + 1 unembedding for each layer",
        "hidden",
    ),
    Signal(
        "probability",
        "probability",
        "baseline",
        "1 minus the given answer's probability among the candidates",
        "1 forward",
        "candidates",
    ),
    Signal("entropy", "entropy", "baseline", "entropy over the candidates (nats)", "1 forward", "candidates"),
    Signal(
        "contrast",
        "contrast",
        "baseline",
        "1 minus the given answer's probability under contrastive decoding against blank evidence (strength 1)",
        "2 forwards",
        "without",
    ),
)
FAMILIES = tuple(dict.fromkeys(s.family for s in SIGNALS))


def choose(names: tuple[str, ...]) -> tuple[Signal, ...]:
    """The signals of these families or names, in the order of the table; all if none is named. Raises BadInputError."""
    known = {*FAMILIES, *(s.name for s in SIGNALS)}
    for name in names:
        if name not in known:
            raise BadInputError(
                f"unknown signal {name!r}: expected some of {', '.join(FAMILIES)}, or one of "
                f"{', '.join(s.name for s in SIGNALS if s.name not in FAMILIES)}"
            )
    return tuple(s for s in SIGNALS if not names or s.name in names or s.family in names)


def gains(answers: Answers, answer: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """[questions] one answer's grounding gain (nats) against no evidence and against other evidence; NaN unmeasured."""
    at = np.arange(len(answer))
    own = answers.shown[at, answer]
    others = np.take_along_axis(answers.mismatched, answer[:, None, None], axis=2)[:, :, 0]
    count = (~np.isnan(others)).sum(1)
    mean = np.divide(np.nansum(others, 1), count, out=np.full(len(at), np.nan), where=count > 0)
    return answers.without[at, answer] - own, mean - own


def behaviour(answers: Answers, given: npt.NDArray[np.int64]) -> dict[str, Floats]:
    """[questions] the risks of the given answers that need surprisals only; NaN without what they compare with."""
    at = np.arange(len(given))
    p = answers.probabilities
    blank, other = gains(answers, given)
    contrast = normalised((1 + CONTRAST) * answers.shown - CONTRAST * answers.without)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(np.where(p > 0, p * np.log(p), 0.0), axis=1)
    return {
        "gain": -blank,
        "gain-mismatched": -other,
        "probability": 1 - p[at, given],
        "entropy": entropy,
        "contrast": 1 - contrast[at, given],
    }


def of_heads(found: Activity) -> dict[str, Floats]:
    """[questions] the risks that heads tell."""
    return {"heads-share": -found.share, "heads-attention": -found.attention, "heads-support": -found.support}
