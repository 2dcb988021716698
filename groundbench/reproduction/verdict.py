"""A claim with its criterion and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["reproduced", "not reproduced", "not testable"]


@dataclass(frozen=True)
class Claim:
    """One claim of the paper about one model: the criterion, the verdict and the numbers behind it."""

    id: str
    claim: str
    model: str
    criterion: str
    verdict: Verdict
    because: str
