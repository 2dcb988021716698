"""Trials of what a model can at the length of its prompts; several processes may share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Trial:
    """One trial of an ability at a length.

    Attributes:
        ability: a capability, or a part of one that is tried by itself.
        run: returns None, or the reason against.
        cost: the work it takes, in rows of full length.
        on: the abilities that it relies on: where one of them fails at this length, the trial says nothing.
    """

    ability: str
    run: Callable[[], str | None]
    cost: float
    on: frozenset[str] = frozenset()


Each = Callable[[Sequence[Trial]], list[str | None]]
"""Runs trials and returns their findings, in order."""


def run_each(trials: Sequence[Trial]) -> list[str | None]:
    """Run all trials in this process; of those that rely on what failed there is no finding."""
    failed: set[str] = set()
    findings = []
    for trial in trials:
        why = None if trial.on & failed else trial.run()
        findings.append(why)
        if why is not None:
            failed.add(trial.ability)
    return findings


@runtime_checkable
class TriedAtLength(Protocol):
    """An adapter that tries its abilities at the length of its prompts: `Adapter.encode` ends in `try_at`."""

    def hold_trials(self) -> AbstractContextManager[None]:
        """Return a block in which `encode` tries nothing; `try_at` follows it, with the longest row."""
        ...

    def trial_findings(self) -> object:
        """Return what was found so far, to be compared: processes share trials where all have found the same."""
        ...

    def try_at(self, length: int, each: Each = run_each) -> None:
        """Try what the model can on rows of so many tokens, where none as long was tried."""
        ...
