"""The input of every measure: a model, one form's contexts and untouched table, and where and how to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from groundbench.api.adapter import Adapter
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine.contexts import FormContexts
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """One form of a testbed on one model. `measures.X.measure.measure(subject, options)` measures it.

    Attributes:
        table: the surprisals (nats) of the untouched model in `contexts`.
        store: the run directory; finished batches are read from it and new ones written to it.
        seed: of every sample, draw, half and bootstrap of the measure.
        batch_tokens: token budget of one batch; changes no number beyond rounding.
        advance: called with the amount of work finished.
    """

    adapter: Adapter
    contexts: FormContexts
    table: SurprisalTable
    store: RunStore | None = None
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS
    advance: Callable[[int], None] | None = None


def require_value(value: T | None, name: str) -> T:
    """Return an option's value. Raises ValueError for None: `evaluation.defaults` resolves defaults."""
    if value is None:
        raise ValueError(f"the option {name} has no value: give one, or resolve it with evaluation.defaults.resolve")
    return value
