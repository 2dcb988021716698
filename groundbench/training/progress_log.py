"""The progress of a training run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from groundbench.util.progress import Progress

QUIET_SECONDS = 30.0


class Watch:
    """Hears the log lines of several seeds, in any order; use as a context manager."""

    def __init__(self, name: str, seeds: Sequence[int], steps: int) -> None:
        self._name, self._steps = name, steps
        self._bar = Progress(f"training {name}", len(seeds) * steps)
        self._done = dict.fromkeys(seeds, 0)
        self._spoke = time.monotonic()

    def __enter__(self) -> Watch:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def __call__(self, seed: int, record: Mapping[str, Any]) -> None:
        """Hear of one line of a seed's log."""
        self._bar.advance(record["step"] - self._done[seed])
        self._done[seed] = record["step"]
        if "loss" not in record:
            return
        seen = f"seed {seed}, loss {record['loss']:.2f}, {record['tokens_per_second']:,} tokens/s"
        self._bar.describe(f"{self._name}: {seen}")
        if not sys.stderr.isatty() and time.monotonic() - self._spoke >= QUIET_SECONDS:
            self._spoke = time.monotonic()
            print(f"training {self._name}: step {record['step']}/{self._steps}, {seen}", file=sys.stderr)
