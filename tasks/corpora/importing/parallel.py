"""Files read by several processes at once, in the order in which they were found."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import chain

from groundbench.tasks.corpora.importing.batches import Batch, Reader, read_batch
from groundbench.tasks.corpora.importing.sources import Source
from groundbench.util.workers import worker_pool

BATCH_BYTES = 1 << 20
AHEAD = 3
"""Batches that wait for each process: bounds the memory, however large the archive."""


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_all(sources: Iterable[Source], read: Reader, jobs: int) -> Iterator[Batch]:
    """Yield batches in order. What fits into one batch is read in this process.

    Raises:
        GroundbenchError: a process ended abruptly.
    """
    groups = _groups(sources)
    first = next(groups, None)
    second = next(groups, None)
    if jobs == 1 or first is None or second is None:
        yield from (read_batch(g, read) for g in chain([first, second], groups) if g)
        return
    waiting: deque[Future[Batch]] = deque()
    broken = "a reading process ended abruptly (out of memory?); try fewer --jobs"
    with worker_pool(jobs, threads=None, broken=broken) as pool:
        for group in chain([first, second], groups):
            waiting.append(pool.submit(read_batch, group, read))
            if len(waiting) > AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _groups(sources: Iterable[Source]) -> Iterator[list[Source]]:
    group: list[Source] = []
    size = 0
    for source in sources:
        group.append(source)
        size += source.size if source.data is None else len(source.data)
        if size >= BATCH_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
