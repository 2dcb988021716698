"""Rates over groups of unequal sizes: the interval covers, and is the plain Wilson interval without groups."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.simulated_levels import recorded

from groundbench.stats.grouped import rate, wilson


def coverage(
    p: float, groups: int, correlation: float, *, runs: int = 1_000, sizes: tuple[int, int] = (1, 12)
) -> list[bool]:
    """[runs] whether the interval holds `p`; events of one group are alike with this correlation (beta-binomial)."""
    rng = np.random.default_rng([int(100 * p), groups, int(10 * correlation)])
    a, b = p * (1 - correlation) / correlation, (1 - p) * (1 - correlation) / correlation
    inside = []
    for _ in range(runs):
        size = np.where(np.arange(groups) % 2, *sizes)
        events = rng.random(int(size.sum())) < np.repeat(rng.beta(a, b, groups), size)
        found = rate(events, np.repeat(np.arange(groups), size))
        assert found.ci_low is not None
        assert found.ci_high is not None
        inside.append(found.ci_low <= p <= found.ci_high)
    return inside


def test_without_groups_it_is_wilsons_interval() -> None:
    events = np.arange(40) < 13
    found = rate(events, np.arange(40))
    assert (found.ci_low, found.ci_high) == pytest.approx(wilson(13 / 40, 40), rel=0.02)


@pytest.mark.parametrize(("p", "groups", "correlation"), [(0.5, 8, 0.2), (0.5, 8, 0.6), (0.1, 20, 0.2), (0.5, 40, 0.6)])
def test_unequal_groups_are_covered(p: float, groups: int, correlation: float) -> None:
    """Without Korn and Graubard's factor 0.80 to 0.89 of these are."""
    held = coverage(p, groups, correlation)
    share = recorded(
        "rate over groups (wrong answers)",
        f"{groups} groups of unequal size: rate {p:g}, correlation {correlation:g}",
        held,
    )
    assert share >= 0.90
