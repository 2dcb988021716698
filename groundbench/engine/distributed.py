"""Several processes that measure one model together, as `accelerate launch` and `torchrun` start them.

Each process loads the model. The batches of a measurement are dealt out by their cost, and every process gathers the
numbers of all of them: whatever is computed from numbers is then the same everywhere, and only the first process writes
the result and prints. A batch is what it is in a single process, so the numbers are too.

Spread: scoring (so every ablation too), saliency, single-head sweeps, interchanges, lens readings, given answers, and
the trials of what a model can at the length of its prompts. The first process alone: training a lens, while the others
wait. Each process for itself: the means and samples that replace a head's output.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from groundbench.api.errors import BadInputError, GroundbenchError

T = TypeVar("T")
V = TypeVar("V")
B = TypeVar("B", bound=Sized)

# What torchrun and accelerate set, then what the MPI launchers do.
SIZE = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
RANK = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")
PATIENCE = timedelta(days=2)
"""Time that a process waits for the others: a stage that only the first one runs may take hours."""


@dataclass(frozen=True)
class Processes:
    """The processes at work, seen from one of them; alone by default."""

    rank: int = 0
    count: int = 1
    group: Any = None

    @property
    def first(self) -> bool:
        """True if this process writes and prints."""
        return self.rank == 0

    def gather(self, compute: Callable[[], T]) -> list[T]:
        """Gather the results of `compute` in each process, in order. An error in one of them is raised in all.

        Raises:
            GroundbenchError: the error of another process; of the first of them where there are several.
        """
        if self.count == 1:
            return [compute()]
        global _apart
        own: Exception | None = None
        around, _apart = _apart, True
        try:
            outcome: Any = (True, compute())
        except Exception as error:
            own, outcome = error, (False, _portable_error(error, self.rank))
        finally:
            _apart = around
        outcomes = self._gather(outcome)
        if own is not None:
            raise own
        for works, value in outcomes:
            if not works:
                raise value
        return [value for _, value in outcomes]

    def map_batches(
        self,
        batches: Sequence[B],
        run: Callable[[int, B], T],
        *,
        size: Callable[[B], int] = len,
        cost: Callable[[B], float] = len,
        advance: Callable[[int], None] | None = None,
    ) -> list[T]:
        """Run `run(number, batch)` of every batch, split over processes; every process returns the full list in order.

        Args:
            size: of a batch, in what `advance` counts.
            cost: of a batch, by which the processes get equal shares.
            advance: told the size of each finished batch, and with it an equal share of what the others have finished.
        """
        owner = deal([cost(batch) for batch in batches], self.count)
        numbers = [number for number, rank in enumerate(owner) if rank == self.rank]
        every, ours = sum(map(size, batches)), sum(size(batches[number]) for number in numbers)

        def own() -> dict[int, T]:
            done, finished, told = {}, 0, 0
            for number in numbers:
                done[number] = run(number, batches[number])
                finished += size(batches[number])
                if advance is not None:
                    advance(every * finished // max(1, ours) - told)
                    told = every * finished // max(1, ours)
            return done

        parts = self.gather(own)
        return [parts[rank][number] for number, rank in enumerate(owner)]

    def map_each(
        self,
        items: Sequence[V],
        run: Callable[[V], T],
        *,
        cost: Callable[[V], float] = lambda _: 1.0,
        advance: Callable[[int], None] | None = None,
    ) -> list[T]:
        """Run `run(item)` of every item, each a batch of its own; see `map_batches`."""
        single = [[item] for item in items]
        return self.map_batches(single, lambda _, batch: run(batch[0]), cost=lambda b: cost(b[0]), advance=advance)

    def agree(self, value: object) -> bool:
        """Return True if the value is the same in all processes."""
        values = self.gather(lambda: value)
        return all(other == values[0] for other in values)

    def from_first(self, compute: Callable[[], T]) -> T:
        """Return the result of `compute` in the first process; the others wait for it and get the same."""
        (value,) = self.gather(lambda: [compute()] if self.first else [])[0]
        return value

    def _gather(self, value: Any) -> list[Any]:
        import torch.distributed as dist

        values: list[Any] = [None] * self.count
        try:
            dist.all_gather_object(values, value, group=self.group)
        except RuntimeError as error:
            raise GroundbenchError(
                f"process {self.rank}: another process ended or cannot be reached: {error}"
            ) from error
        return values


def deal(costs: Sequence[float], count: int) -> list[int]:
    """Return the process of each batch: the dearest first, each to the process that has least to do so far."""
    owner, load = [0] * len(costs), [0.0] * count
    for number in sorted(range(len(costs)), key=lambda n: -costs[n]):
        rank = min(range(count), key=load.__getitem__)
        owner[number] = rank
        load[rank] += costs[number]
    return owner


ALONE = Processes()
_current = ALONE
_apart = False


def is_apart() -> bool:
    """Return True inside what is gathered, a share of batches too: there this process cannot wait for the others."""
    return _apart


def current() -> Processes:
    """Return the processes that measurements are spread over: one, unless inside `process_group`."""
    return _current


def rank() -> int:
    """Return this process' number among a launcher's; 0 without one."""
    return _number(RANK, 0)


@contextmanager
def process_group() -> Iterator[Processes]:
    """Split measurements over the processes that a launcher started; over one without a launcher.

    Every process must make the same measurements in the same order.

    Raises:
        BadInputError: the environment tells of several processes, but not how they find each other.
    """
    global _current
    count = _number(SIZE, 1)
    if count == 1 or _current is not ALONE:
        yield _current
        return
    import torch.distributed as dist

    _current = Processes(rank(), count, _group(count))
    try:
        yield _current
    finally:
        _current = ALONE
        dist.destroy_process_group()


def _group(count: int) -> Any:
    """Return a gloo group: the numbers that are gathered are in main memory, whatever device they were computed on."""
    import torch.distributed as dist

    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing or not any(name in os.environ for name in RANK):
        raise BadInputError(
            f"the environment tells of {count} processes, but {' and '.join(missing) or 'RANK'} is not set; start them "
            "with `accelerate launch -m groundbench …` or `torchrun -m groundbench …`, or unset WORLD_SIZE"
        )
    dist.init_process_group("gloo", rank=rank(), world_size=count, timeout=PATIENCE)
    return dist.group.WORLD


def _number(names: tuple[str, ...], default: int) -> int:
    for name in names:
        text = os.environ.get(name)
        if text is not None:
            if not text.isdecimal():
                raise BadInputError(f"{name} is {text!r} in the environment; expected a whole number")
            return int(text)
    return default


def _portable_error(error: Exception, rank: int) -> GroundbenchError:
    """Return an error as the other processes get it: ours as it is, a fault nobody foresaw by its words."""
    for kind in type(error).__mro__:
        if issubclass(kind, GroundbenchError):
            try:
                return kind(str(error))
            except (TypeError, AttributeError):  # it takes more than a sentence: the kind of error it is of will do
                continue
    return GroundbenchError(f"process {rank} failed with {type(error).__name__}: {error}")
