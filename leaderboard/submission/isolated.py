"""Submitted files read in child processes under limits, so that a hostile entry cannot keep the others from being read.

A worker process reads entry after entry. Its address space may grow by `MEMORY` bytes, an entry may use `SECONDS` of
processor time; a worker that dies is replaced, and its entry is refused. Where the system knows no such limits
(Windows, in part macOS) only the waiting time ends an entry.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from groundbench.leaderboard.submission.strict_json_yaml import RefusedError, shorten

MEMORY = 768 << 20
SECONDS = 20
WAIT = 120.0
"""Seconds of the clock after which an entry is given up even if it uses no processor time."""
READS = 200
"""Entries that one process reads: what they leave in its memory must not use up the next one's allowance."""
PRELOAD = ["groundbench.leaderboard.site.publish"]

R = TypeVar("R")
Job = Callable[[Path], R]


def read_isolated(
    job: Job[R], folders: Sequence[Path], processes: int | None = None
) -> Iterator[tuple[Path, R | RefusedError]]:
    """`job(folder)` of every folder, in order, each in a child process.

    Args:
        job: can be pickled, as what it returns; any exception it raises becomes the entry's refusal.
        processes: how many read at the same time; by default one for each core, for short boards one.
    """
    cores = os.cpu_count() or 1
    n = processes or (min(cores, 8) if len(folders) > 16 else 1)
    pool = _Pool(job, max(1, min(n, len(folders))))
    try:
        yield from pool.run(folders)
    finally:
        pool.close()


@dataclass
class _Worker(Generic[R]):
    """A child process, the entry it reads and since when."""

    process: Any
    pipe: Connection
    index: int | None = None
    since: float = 0.0
    reads: int = 0


class _Pool(Generic[R]):
    def __init__(self, job: Job[R], n: int) -> None:
        methods = mp.get_all_start_methods()
        self.context = mp.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self.context.set_forkserver_preload(PRELOAD)
        self.job = job
        self.workers = [self._start() for _ in range(n)]

    def _start(self) -> _Worker[R]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(theirs, self.job), daemon=True)  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def run(self, folders: Sequence[Path]) -> Iterator[tuple[Path, R | RefusedError]]:
        """Yield all folders in order; what is done before its turn waits."""
        done: dict[int, R | RefusedError] = {}
        next_out = next_in = 0
        while next_out < len(folders):
            for i, worker in enumerate(self.workers):
                if worker.index is None and next_in < len(folders) and next_in < next_out + 64:
                    if not self._give(worker, next_in, folders[next_in]):
                        self.workers[i] = self._start()
                        continue
                    next_in += 1
            for i, index, value in self._collect(folders):
                done[index] = value
                worker = self.workers[i]
                worker.reads += 1
                if worker.reads >= READS:
                    self._end(worker)
                if worker.reads >= READS or not worker.process.is_alive():
                    self.workers[i] = self._start()
            while next_out in done:
                yield folders[next_out], done.pop(next_out)
                next_out += 1

    def _give(self, worker: _Worker[R], index: int, folder: Path) -> bool:
        try:
            worker.pipe.send(folder)
        except (OSError, BrokenPipeError):
            return False
        worker.index, worker.since = index, time.monotonic()
        return True

    def _collect(self, folders: Sequence[Path]) -> list[tuple[int, int, R | RefusedError]]:
        """Collect what the busy workers have finished, at least one thing unless a second passes."""
        busy = {w.pipe: i for i, w in enumerate(self.workers) if w.index is not None}
        ready = set(wait(list(busy), timeout=1.0)) if busy else set()
        out: list[tuple[int, int, R | RefusedError]] = []
        for pipe, i in busy.items():
            worker = self.workers[i]
            index = worker.index
            if index is None:
                continue
            slug = shorten(folders[index].name)
            if pipe in ready:
                out.append((i, index, self._receive(worker, slug)))
            elif time.monotonic() - worker.since > WAIT:
                worker.process.kill()
                worker.process.join()
                out.append((i, index, RefusedError(f"{slug}: takes more than {WAIT:.0f} seconds to read")))
            else:
                continue
            worker.index = None
        return out

    def _receive(self, worker: _Worker[R], slug: str) -> R | RefusedError:
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            return RefusedError(f"{slug}: {_end(worker.process.exitcode)}")
        if kind == "read":
            return value  # type: ignore[no-any-return]
        return RefusedError(value)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.pipe.close()
        for worker in self.workers:
            self._end(worker)

    def _end(self, worker: _Worker[R]) -> None:
        """Close a worker's pipe, which ends it; kill it where it does not end."""
        with contextlib.suppress(OSError):
            worker.pipe.close()
        worker.process.join(timeout=2)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _end(code: int | None) -> str:
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"takes more than {SECONDS} seconds of processor time to read"
    return f"takes more than {MEMORY >> 20} MiB of memory to read, or cannot be read at all"


def _serve(pipe: Connection, job: Job[Any]) -> None:
    """Read and answer, as the worker, until the other end closes; what libraries write to stderr is not passed on."""
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 2)
    limit_memory()
    while True:
        try:
            folder = pipe.recv()
        except (EOFError, OSError):
            return
        limit_time()
        pipe.send(attempt(job, folder))


def attempt(job: Job[Any], folder: Path) -> tuple[str, Any]:
    """Run the job; whatever an entry makes it raise becomes the refusal of that entry alone."""
    try:
        return "read", job(folder)
    except RefusedError as error:
        return "refused", str(error)
    except MemoryError:
        return "refused", f"{shorten(folder.name)}: takes more than {MEMORY >> 20} MiB of memory to read"
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return "refused", f"{shorten(folder.name)}: cannot be read ({shorten(said, 120)})"


def limit_memory() -> None:
    """Let this process' address space grow by MEMORY at most, where the system can say how large it is."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_memory_pool(pa.system_memory_pool())  # others reserve far more than they use
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    except (ImportError, OSError, ValueError):
        return


def limit_time() -> None:
    """Allow SECONDS more of processor time."""
    try:
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + SECONDS, hard))
    except (ImportError, OSError, ValueError):
        return
