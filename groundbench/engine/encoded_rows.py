"""Very many encoded prompts in a few arrays, and the parts of a sequence by their numbers.

An `Encoded` is a thousand bytes as Python keeps it, a few dozen as numbers: a run of a hundred thousand prompts keeps
the numbers, and makes a row when it is asked for.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Encoded

Ints = npt.NDArray[np.int64]
T = TypeVar("T")
N = TypeVar("N", bound=np.generic)


class Made(Sequence[T]):
    """A sequence whose members are made when they are asked for."""

    @abstractmethod
    def make(self, index: int) -> T:
        """Make the member with a number from 0."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        numbers = range(len(self))[index]
        return self.make(numbers) if isinstance(numbers, int) else [self.make(i) for i in numbers]

    def __iter__(self) -> Iterator[T]:
        return map(self.make, range(len(self)))


class EncodedRows(Made[Encoded]):
    """Encoded prompts in order; equal to the rows that were added, and made anew each time.

    Rows of images, whose handles are no numbers, are kept as they are.
    """

    def __init__(self, rows: Iterable[Encoded] = ()) -> None:
        self._ids, self._ends = array("i"), array("q", [0])
        self._spans, self._span_ends = array("i"), array("q", [0])
        self._whole: dict[int, Encoded] = {}
        self.extend(rows)

    def extend(self, rows: Iterable[Encoded]) -> None:
        """Add rows at the end."""
        for row in rows:
            if row.images or row.boxes or row.start or row.image_spans or row.grids:
                self._whole[len(self)] = row
            self._ids.extend(row.ids)
            self._ends.append(len(self._ids))
            for span in row.env:
                self._spans.extend(span)
            self._span_ends.append(len(self._spans))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def make(self, index: int) -> Encoded:
        """Return a row."""
        whole = self._whole.get(index)
        if whole is not None:
            return whole
        bounds = self._spans[self._span_ends[index] : self._span_ends[index + 1]].tolist()
        spans = tuple(zip(bounds[::2], bounds[1::2], strict=True))
        return Encoded(tuple(self._ids[self._ends[index] : self._ends[index + 1]]), spans)

    def lengths(self) -> Ints:
        """Return [n] the tokens of each row."""
        return _widths(self._ends)

    def with_images(self) -> npt.NDArray[np.bool_]:
        """Return [n] True for each row that holds an image."""
        found = np.zeros(len(self), dtype=bool)
        found[[i for i, row in self._whole.items() if row.images]] = True
        return found

    def first_equal(self) -> Ints:
        """Return [n] the index of the first row that equals each row."""
        lengths, spans = self.lengths(), _widths(self._span_ends)
        first = np.arange(len(self))
        plain = np.ones(len(self), dtype=bool)
        plain[list(self._whole)] = False
        for length, n in sorted(set(zip(lengths[plain].tolist(), spans[plain].tolist(), strict=True))):
            alike = np.flatnonzero(plain & (lengths == length) & (spans == n))
            columns = chain(
                _columns(self._ids, self._ends, alike, length), _columns(self._spans, self._span_ends, alike, n)
            )
            first[alike] = alike[_first_equal(len(alike), columns)]
        seen: dict[Encoded, int] = {}
        for i, row in self._whole.items():
            first[i] = seen.setdefault(row, i)
        return first


def _widths(ends: array[int]) -> Ints:
    """Return [n] the numbers of each row."""
    found = np.array(ends, dtype=np.int64)
    return found[1:] - found[:-1]


def _columns(values: array[int], ends: array[int], index: Ints, width: int) -> Iterator[Ints]:
    """Yield the first, second ... number of some rows of one width, each [index]."""
    starts = np.frombuffer(ends, dtype=np.int64)[index]
    for k in range(width):
        yield np.frombuffer(values, dtype=np.int32)[starts + k].astype(np.int64)


def _first_equal(n: int, columns: Iterable[Ints]) -> Ints:
    """Return [n] the index of the first row that equals each row, of rows given by their columns."""
    code = np.zeros(n, dtype=np.int64)
    for column in columns:
        if column.min() < column.max():
            code = np.unique((code << 32) + column, return_inverse=True)[1]
    first: Ints = np.unique(code, return_index=True)[1][code]
    return first


class Selection(Made[T]):
    """Some members of a sequence by their numbers, in this order; a member may come several times."""

    def __init__(self, source: Sequence[T], index: Ints) -> None:
        self.source, self.chosen = source, index
        if isinstance(source, Selection):
            self.source, self.chosen = source.source, source.chosen[index]

    def __len__(self) -> int:
        return len(self.chosen)

    def make(self, index: int) -> T:
        """Return a member of the source."""
        return self.source[int(self.chosen[index])]


def read_column(rows: Sequence[Encoded], read: Callable[[EncodedRows], npt.NDArray[N]]) -> npt.NDArray[N]:
    """Return [n] what a method of `EncodedRows` gives for each row, also of a selection of them."""
    if isinstance(rows, Selection):
        return read_column(rows.source, read)[rows.chosen]
    return read(rows if isinstance(rows, EncodedRows) else EncodedRows(rows))
