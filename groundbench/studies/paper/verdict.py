"""A claim with its criterion and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from groundbench.stats.significance import Estimate

Verdict = Literal["reproduced", "not reproduced", "not testable"]


VERDICTS: tuple[Verdict, ...] = ("reproduced", "not reproduced", "not testable")


@dataclass(frozen=True)
class Claim:
    """One claim of the paper about one model: the criterion, the verdict and the numbers behind it."""

    id: str
    claim: str
    model: str
    criterion: str
    verdict: Verdict
    because: str


def count_verdicts(claims: Sequence[Claim]) -> str:
    """Count the claims by verdict, e.g. `3 reproduced, 0 not reproduced, 1 not testable at this size`."""
    counts = {v: sum(c.verdict == v for c in claims) for v in VERDICTS}
    return ", ".join(f"{n} {v}{' at this size' if v == 'not testable' else ''}" for v, n in counts.items())


def verdict_at(estimate: Estimate, bound: float = 0.0, above: Verdict = "reproduced") -> Verdict:
    """Return an interval's verdict at a bound: `above` if all of it is above, the opposite if none is, else open."""
    if estimate.ci_low is None or estimate.ci_high is None:
        return "not testable"
    if estimate.ci_low > bound:
        return above
    below: Verdict = "not reproduced" if above == "reproduced" else "reproduced"
    return below if estimate.ci_high <= bound else "not testable"


def all_of(*verdicts: Verdict) -> Verdict:
    """Return the verdict on a claim with parts: one that fails refutes it, one that is not testable leaves it open."""
    if "not reproduced" in verdicts:
        return "not reproduced"
    return "not testable" if "not testable" in verdicts else "reproduced"
