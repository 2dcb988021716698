"""The coverage of an interval, or the level of a test, as a simulation found it; kept in a file where one is asked for.

`scripts/generate/coverage` names the file and writes docs/results/coverage.md from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

VARIABLE = "SIMULATED_LEVELS"
Kind = Literal["covers", "rejects"]


def recorded(
    what: str, design: object, outcomes: Iterable[object], kind: Kind = "covers", nominal: float = 0.0
) -> float:
    """The share of experiments in which an interval held the truth, or a test rejected a true null.

    Args:
        what: the number that is printed, by the name that users read.
        outcomes: True or False of each experiment.
        nominal: what the share should be; by default 95 % of intervals, 5 % of tests.
    """
    found = [bool(o) for o in outcomes]
    share = sum(found) / len(found)
    if VARIABLE in os.environ:
        row = {
            "what": what,
            "design": str(design),
            "kind": kind,
            "nominal": nominal or {"covers": 0.95, "rejects": 0.05}[kind],
            "share": share,
            "experiments": len(found),
        }
        with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return share
