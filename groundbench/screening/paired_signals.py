"""Published signals against what any file gives for nothing, on the same answers (protocol §16).

A signal is worth its cost where it ranks errors better than the answer's length and the model's entropy. Both are
compared within kinds of question by a test that is paired by answer and clustered by group, with Holm's correction over
all comparisons of one screening.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from groundbench.screening.signals import EVERY_SIGNAL, Signal
from groundbench.stats.error_ranking import auroc, auroc_gap, auroc_gap_p
from groundbench.stats.grouped import group_numbers
from groundbench.stats.significance import Estimate, holm

Floats = npt.NDArray[np.float64]
BASELINES = ("length", "entropy", "ln-entropy")
ALPHA = 0.05


@dataclass(frozen=True)
class Paired:
    """One signal against one baseline on the same answers: the difference of their AUROC within kinds.

    `p`: two-sided, of no difference; `p_holm`: corrected over all comparisons of the screening.
    """

    signal: str
    baseline: str
    gap: Estimate
    p: float | None
    p_holm: float | None = None

    @property
    def beats(self) -> bool:
        """True if the signal is better, after the correction and with an interval that says so too."""
        low = self.gap.ci_low
        return low is not None and low > 0 and self.p_holm is not None and self.p_holm < ALPHA


def against_baselines(
    answers: Path, signals: Sequence[Signal] = EVERY_SIGNAL, baselines: Sequence[str] = BASELINES, seed: int = 0
) -> list[Paired]:
    """Compare every signal of an answers.parquet with each baseline, where both were measured.

    Fitted signals are compared on the split `test` alone. Baselines that are the same number in every answer (the
    length of one-token answers) are left out: beating them is being above chance.
    """
    table = pq.read_table(answers).to_pydict()
    error = np.array(table["error" if "error" in table else "wrong"], dtype=bool)
    part = np.array(table["split"])
    group = group_numbers(table["group"])
    forms = table.get("form", [""] * len(part))
    stratum = group_numbers([f"{k}/{f}" for k, f in zip(table["kind"], forms, strict=True)])

    def risk(name: str) -> Floats:
        return np.array([np.nan if v is None else v for v in table.get(f"risk_{name}", [None] * len(part))], np.float64)

    found = []
    for signal in signals:
        own = risk(signal.name)
        for name in (b for b in baselines if signal.role == "signal"):
            other = risk(name)
            of = part == "test" if signal.fitted else part != "detect"
            at = np.flatnonzero(of & ~np.isnan(own) & ~np.isnan(other))
            if not len(at) or len(np.unique(other[at])) < 2 or auroc(own[at], error[at]) is None:
                continue
            measured = (own[at], other[at], error[at], group[at])
            gap = auroc_gap(*measured, seed, stratum=stratum[at])
            found.append(Paired(signal.name, name, gap, auroc_gap_p(*measured, stratum=stratum[at])))
    corrected = holm([f.p for f in found])
    return [replace(f, p_holm=p) for f, p in zip(found, corrected, strict=True)]


def best_of(found: Sequence[Paired]) -> tuple[list[str], list[str]]:
    """Return the signals that beat every baseline they were compared with, and those that do not."""
    names = list(dict.fromkeys(f.signal for f in found))
    beat = [n for n in names if all(f.beats for f in found if f.signal == n)]
    return beat, [n for n in names if n not in beat]
