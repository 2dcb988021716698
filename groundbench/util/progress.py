"""Progress bars with an estimate on anything that may take long; silent when stderr is not a terminal."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """One bar over `total` steps; `advance(n)` moves it. Use as a context manager."""

    def __init__(self, description: str, total: int) -> None:
        self._bar: RichProgress | None = None
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

    def describe(self, text: str) -> None:
        """Replace the words in front of the bar."""
        if self._bar is not None:
            self._bar.update(self._task, description=text)
