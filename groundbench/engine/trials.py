"""Encoding, and then the trials of what a model can at the length of what was encoded, shared by the processes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from groundbench.api.adapter import Adapter, Encoded
from groundbench.api.testbed import Prompt
from groundbench.api.trials import Trial, TriedAtLength, run_each
from groundbench.engine import distributed


def encode_untried(adapter: Adapter, prompts: Sequence[Prompt]) -> list[Encoded]:
    """Encode some of many prompts; `try_at_length` follows, with the longest of all.

    Raises:
        BadInputError: as `Adapter.encode` does.
    """
    with adapter.hold_trials() if isinstance(adapter, TriedAtLength) else nullcontext():
        return adapter.encode(prompts)


def try_at_length(adapter: Adapter, length: int) -> None:
    """Try what a model can on rows of so many tokens, where its adapter does so and none as long was tried.

    Processes that measure together share the trials where all of them ask for the same, and have found the same before.
    All must come here, but for one that computes something for itself: it tries alone.
    """
    if not isinstance(adapter, TriedAtLength):
        return
    team = distributed.current()

    def share(trials: Sequence[Trial]) -> list[str | None]:
        return team.map_each(trials, lambda trial: trial.run(), cost=lambda trial: trial.cost)

    together = team.count > 1 and not distributed.is_apart() and team.agree((adapter.trial_findings(), length))
    adapter.try_at(length, share if together else run_each)
