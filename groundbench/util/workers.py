"""This process' use of the machine it runs on: threads, memory, worker processes."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from groundbench.api.errors import GroundbenchError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Let the C library keep the memory of freed tensors for the next ones, up to a gigabyte; False where it cannot.

    By default glibc gives large blocks back to the kernel at once and asks for them, page by page, in the next layer:
    a fifth of the time of a small model's forward pass on a CPU. Peak memory does not change. This is a setting of
    the whole process, so programs make it (the command line, the benchmarks), never an import.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, e.g. musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def usable_cores() -> int:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


SPINS = 2000
"""Turns for which a thread that waits for others looks whether they are done, before it sleeps: about 0.1 ms."""
OF_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_passively() -> bool:
    """Let threads that wait for others sleep soon; False where it is settled already, or torch has been imported.

    By default OpenMP's threads spin for milliseconds at the end of every operation. Where another process has one of
    the cores, the thread that is waited for then does not run while the others spin: training falls to a fortieth of
    its speed. After a short spin nothing is lost where the cores are free. Programs call it, never an import.
    """
    if "torch" in sys.modules or any(name in os.environ for name in OF_WAITING):
        return False
    os.environ["GOMP_SPINCOUNT"] = str(SPINS)
    os.environ["KMP_BLOCKTIME"] = "0"
    return True


def multiply_reproducibly() -> bool:
    """Ask the Intel math library for its reproducible mode: one order of sums whatever is free; False where settled.

    Its threads' shares are then fixed, which also made products of 24 to 150 rows, as prompts have, up to a third
    shorter on two cores of another maker. Programs call it before torch is imported, never an import.
    """
    if "torch" in sys.modules or "MKL_CBWR" in os.environ:
        return False
    os.environ["MKL_CBWR"] = "AUTO"
    return True


def begin_worker(parent: int, threads: int) -> None:
    """Set up a worker process: its torch threads, its memory, and its end when the process `parent` is gone.

    A worker whose parent was killed would else go on unseen and write into a folder that is no longer its own.
    """
    import torch

    torch.set_num_threads(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    keep_freed_memory()
    end_with(parent)


@contextmanager
def worker_pool(
    jobs: int,
    *,
    threads: int | None = 1,
    broken: str,
    begin: Callable[..., None] | None = None,
    args: tuple[Any, ...] = (),
) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of spawned processes that ends with this process; what still waits when the block ends is cancelled.

    A script that calls this needs `if __name__ == "__main__":`.

    Args:
        threads: torch threads of each process; None for work without torch, which then is not imported.
        broken: the message for a process that ended abruptly.
        begin: called with `args` in each process before its first task.

    Raises:
        GroundbenchError: a process ended abruptly.
    """
    starting = (os.getpid(), threads, begin, args)
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start, starting) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise GroundbenchError(broken) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start(parent: int, threads: int | None, begin: Callable[..., None] | None, args: tuple[Any, ...]) -> None:
    if threads is None:
        end_with(parent)
    else:
        begin_worker(parent, threads)
    if begin is not None:
        begin(*args)


def end_with(parent: int) -> None:
    """End this process when the process `parent` is gone: nobody may be left working for one that was killed."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
