"""Progress bars with an estimate on anything that may take long; where stderr is a file, a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

EVERY = 30.0
"""Seconds between two lines in a file; what ends sooner writes none."""


def now() -> float:
    """Return the seconds of a clock that only goes forward; tests hold it still."""
    return time.monotonic()


class _Silence:
    """The time since the process last wrote a line, over all bars: many short stages are one long wait for a reader."""

    def __init__(self) -> None:
        self._spoken = self._seen = float("-inf")

    def notice(self, now: float) -> None:
        """Begin to count where no bar was at work for a while, or where the clock is another one."""
        if now - self._seen >= EVERY or now < self._seen:
            self._spoken = now
        self._seen = now

    def is_long(self, now: float) -> bool:
        """Return True once every half a minute."""
        self._seen = now
        if now - self._spoken < EVERY:
            return False
        self._spoken = now
        return True


_SILENCE = _Silence()


class Progress:
    """One bar over `total` steps; `advance(n)` moves it. Use as a context manager."""

    def __init__(self, description: str, total: int, clock: Callable[[], float] | None = None) -> None:
        self._bar: RichProgress | None = None
        self._text, self._total, self._done, self._kept = description, total, 0, 0
        self._clock = now if clock is None else clock
        self._begun = self._clock()
        _SILENCE.notice(self._begun)
        if sys.stderr.isatty() and os.environ.get("RANK", "0") == "0":  # of several processes the first one shows it
            self._bar = RichProgress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(description, total=total)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.advance(self._task, steps)
            return
        self._done += steps
        time_now = self._clock()
        if _SILENCE.is_long(time_now) and os.environ.get("RANK", "0") == "0":
            print(f"{self._text}: {self._state(time_now - self._begun)}", file=sys.stderr, flush=True)

    def skip(self, steps: int) -> None:
        """Move the bar over steps that an earlier run did; the estimate leaves them out."""
        self._kept += steps
        self.advance(steps)

    def _state(self, spent: float) -> str:
        """Return how far it is, with an estimate where the total is known and something is done."""
        if self._total <= 0:
            return f"{self._done:,} so far, {spent:.0f} s"
        worked = self._done - self._kept
        if worked == 0:
            return f"{self._done:,} of {self._total:,}, {spent:.0f} s"
        left = spent * max(0, self._total - self._done) / worked
        return f"{self._done:,} of {self._total:,}, {spent:.0f} s, about {left:.0f} s left"

    def describe(self, text: str) -> None:
        """Replace the words in front of the bar."""
        self._text = text
        if self._bar is not None:
            self._bar.update(self._task, description=text)
