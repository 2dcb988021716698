"""The probability of mentioning what is not there: CHAIR's rates by likelihood, over an image's candidates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from groundbench.api.question import MENTION
from groundbench.results.risk_card import MentionRecord
from groundbench.screening.answering import Answers, normalise
from groundbench.screening.error_rates import as_estimated
from groundbench.stats.grouped import group_numbers, grouped_mean, rate

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
NAMED = 3


def mention_record(answers: Answers, unreadable: Mapping[str, int], seed: int) -> MentionRecord | None:
    """Return the rates over questions of the kind `mention`; None without any.

    Args:
        unreadable: of questions (their ids) the number of candidates that were left out.
    """
    at = np.flatnonzero([q.kind == MENTION for q in answers.questions])
    if not len(at):
        return None
    group = group_numbers([answers.questions[i].group for i in at])
    right = answers.right[at]
    there = right.sum(1)
    candidates = np.array([len(answers.questions[i].choices) for i in at])
    absent, without = (absent_mass(x[at], right) for x in (answers.shown, answers.without))
    others = absent_mass(answers.mismatched[at], right[:, None])
    counted = ~np.isnan(others)
    n = counted.sum(1)
    mismatched = np.divide(np.nansum(others, 1), n, out=np.full(len(at), np.nan), where=n > 0)
    compared = [as_estimated(grouped_mean(x, group, seed)) for x in (without, mismatched, mismatched - absent)]
    return MentionRecord(
        absent=as_estimated(grouped_mean(absent, group, seed)),
        without=compared[0] if compared[0].n else None,
        mismatched=compared[1] if compared[1].n else None,
        lowered=compared[2] if compared[2].n else None,
        any_absent=as_estimated(rate(any_absent(answers.shown[at], right), group)),
        named=NAMED,
        chance=float(np.mean(1 - there / candidates)),
        candidates=float(candidates.mean()),
        there=float(there.mean()),
        unreadable=float(np.mean([unreadable.get(answers.questions[i].id, 0) for i in at])),
    )


def absent_mass(surprisal: Floats, right: Bools) -> Floats:
    """Sum [...] the probability of all wrong candidates, from surprisals [..., A] in nats; NaN unmeasured."""
    p = normalise(surprisal)
    measured = ~np.isnan(p).all(-1)
    mass: Floats = np.where(measured, np.nansum(np.where(right, 0.0, p), -1), np.nan)
    return mass


def any_absent(surprisal: Floats, right: Bools) -> Bools:
    """Test [questions] if a wrong candidate is among the likeliest, as many as are right up to NAMED; a tie of
    right and wrong counts as wrong."""
    order = np.sort(np.where(right, surprisal, np.inf), axis=1)
    last = np.minimum(right.sum(1), NAMED) - 1
    worst = order[np.arange(len(order)), last]
    lure = np.nanmin(np.where(right, np.nan, surprisal), axis=1)
    found: Bools = worst >= lure
    return found
