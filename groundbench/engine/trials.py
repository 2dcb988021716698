"""The trials of what a model can at the length of its prompts, made once and shared by the processes."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench.api.adapter import Adapter
from groundbench.api.testbed import Prompt
from groundbench.api.trials import Trial, TriedAtLength
from groundbench.engine import distributed


def try_longest(adapter: Adapter, prompts: Sequence[Prompt]) -> None:
    """Encode the longest prompts before all others: an adapter tries what it can at each length above those before.

    Processes that measure together share the trials; all of them must come here with the same prompts.

    Raises:
        BadInputError: as `Adapter.encode` does.
    """
    team = distributed.current()

    def each(trials: Sequence[Trial]) -> list[str | None]:
        return team.map_each(trials, lambda trial: trial.run(), cost=lambda trial: trial.cost)

    together = team.count > 1 and not distributed.is_apart()
    if together and isinstance(adapter, TriedAtLength) and team.agree(adapter.trial_findings()):
        adapter.encode_and_try(prompts, each)
    else:
        adapter.encode(prompts)
