"""The processes and the memory of a machine: workers end with their parent, freed memory is kept."""

import os
import signal
import subprocess
import sys
from multiprocessing import get_context

import pytest

from groundbench.util.workers import begin_worker, keep_freed_memory

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())], stdout=sys.stdout)
child.wait()
"""
CHILD = """
import sys, threading
from groundbench.util.workers import begin_worker
begin_worker(int(sys.argv[1]), 1)
print("ready", flush=True)
threading.Event().wait(60)
"""


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    os.kill(parent.pid, signal.SIGKILL)
    assert parent.stdout.read() == ""  # the pipe's other end closes only when the worker is gone too
    parent.wait()


def _threads(queue) -> None:
    import torch

    begin_worker(os.getppid(), 1)
    queue.put(torch.get_num_threads())


def test_a_worker_has_its_own_threads() -> None:
    spawn = get_context("spawn")
    queue = spawn.Queue()
    worker = spawn.Process(target=_threads, args=(queue,))
    worker.start()
    assert queue.get(timeout=120) == 1
    worker.join()


FAULTS = """
import resource, sys, torch
from groundbench.util.workers import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
torch.set_num_threads(1)
def work():
    for _ in range(10):
        torch.ones(1 << 24)  # 64 MB: above what glibc keeps of itself
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="this C library has no mallopt")
def test_kept_memory_is_not_asked_for_again() -> None:
    def faults(way: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, check=True).stdout)

    kept = min(faults("keep") for _ in range(3))  # once in thousands, random addresses leave the heap no room to grow
    assert kept < 1_000 < faults("default")
