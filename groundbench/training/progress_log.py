"""The progress of a training run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from groundbench.util.progress import Progress


class Watch:
    """Hears the log lines of several seeds, in any order; use as a context manager."""

    def __init__(self, name: str, seeds: Sequence[int], steps: int) -> None:
        self._name, self._steps = name, steps
        self._bar = Progress(f"training {name}", len(seeds) * steps)
        self._done = dict.fromkeys(seeds, 0)

    def __enter__(self) -> Watch:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def __call__(self, seed: int, record: Mapping[str, Any]) -> None:
        """Hear of one line of a seed's log."""
        steps = record["step"] - self._done[seed]
        self._done[seed] = record["step"]
        if "loss" not in record:  # the step at which it begins: 0, or that of a kept state
            self._bar.skip(steps)
            return
        self._bar.advance(steps)
        seen = f"seed {seed}, loss {record['loss']:.2f}, {record['tokens_per_second']:,} tokens/s"
        self._bar.describe(f"training {self._name}, {seen}")
