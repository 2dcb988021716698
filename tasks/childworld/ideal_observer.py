"""The ideal observer of childworld: the gain of a model that knows the generator (protocol §14, the ceiling)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from groundbench.tasks.childworld.grammar import Grammar, grammar
from groundbench.tasks.nouns import inventory


@dataclass(frozen=True)
class IdealGain:
    """The ideal observer's gain in nats: the mean over nouns, and each noun's own."""

    mean: float
    by_noun: Mapping[str, float]


def ideal_gain(*, shuffle_env: bool = False, known: Grammar | None = None) -> IdealGain:
    """Return the gain of the Bayes-optimal model on the evaluation frames, all other nouns as mismatches (protocol §5).

    It reads a frame as what it is in the world: a scene described by a tier that shows one object u, then an
    utterance cut where a noun stands. With r(u) the relevance of u and q the frequencies of nouns,

        P(v | u shown) = r(u) [v = u] + (1 - r(u)) q(v).

    Whatever else may follow at the cut (an adjective) takes the same share whichever noun is shown, so it cancels.
    The density plays no part: the observer knows the world and needs no evidence; a model must learn it from the
    described scenes. A model can beat the ceiling by luck or by overconfidence, since G is a difference of surprisals
    and not a proper score. With `shuffle_env` what is shown is independent of what is said: the gain is 0.
    """
    known = known or grammar()
    words = [n.word for n in inventory()]
    if shuffle_env:
        return IdealGain(0.0, dict.fromkeys(words, 0.0))
    r, q = np.array(known.relevance), np.array(known.frequency)
    matched = -np.log(r + (1 - r) * q)
    elsewhere = -np.log1p(-r)
    mismatched = (elsewhere.sum() - elsewhere) / (len(r) - 1) - np.log(q)
    gain = mismatched - matched
    return IdealGain(float(gain.mean()), {w: float(g) for w, g in zip(words, gain, strict=True)})
