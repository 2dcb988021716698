"""One form under the measure `causal`: its pairs cell by cell, and sets of heads interchanged once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from groundbench.engine.run_directory import Stage
from groundbench.engine.subject import Subject
from groundbench.measures.causal.interchange import Interchange, interchange_heads
from groundbench.measures.causal.options import CausalOptions
from groundbench.measures.causal.pairs import Pair, PairCell, make_pairs
from groundbench.results.causal import HeadPlace
from groundbench.util.progress import Progress

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One form under measurement: its pairs, cell by cell and all in a row.

    Attributes:
        noun: [pairs] of all cells in order; `parts`: the pairs of each cell among them.
    """

    subject: Subject
    options: CausalOptions
    cells: tuple[PairCell, ...]
    noun: Ints
    parts: tuple[slice, ...]

    @classmethod
    def of(cls, subject: Subject, options: CausalOptions) -> Setting:
        """Draw the pairs. Raises as `make_pairs`."""
        cells = make_pairs(subject.contexts, options, subject.seed)
        ends = np.cumsum([len(c.pairs) for c in cells]).tolist()
        parts = tuple(slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True))
        noun = np.array([p.noun for c in cells for p in c.pairs])
        return cls(subject, options, cells, noun, parts)

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of all cells, in order."""
        return [p for cell in self.cells for p in cell.pairs]

    @property
    def layer(self) -> Ints:
        """[heads] each head's layer."""
        return np.array([layer for layer, _ in self.subject.adapter.info.head_index])

    def interchange(self, pair: Pair) -> Interchange:
        """Return the interchange of a pair: corrupt receives from clean; v is asked for, then u where it can be."""
        contexts = self.subject.contexts
        asked = (pair.target,) if pair.other_target is None else (pair.target, pair.other_target)
        where = contexts.prompts[pair.clean].where
        return Interchange(contexts.rows[pair.corrupt], contexts.rows[pair.clean], asked, where)

    def stage(self, name: str, *decides: object) -> Stage | None:
        """Return the stage that keeps work of one kind; what it holds is dropped when what decides it changes."""
        store = self.subject.store
        if store is None:
            return None
        digest = hashlib.sha256(repr(decides).encode()).hexdigest()[:16]
        return store.stage(f"causal/{self.subject.contexts.form.name}/{name}", {"hash": digest})

    def surprisals(
        self, name: str, interchanges: Sequence[Interchange], sets: Bools, back: Bools | None = None
    ) -> Floats:
        """Return [interchanges, sets, targets], see `interchange_heads`."""
        told = [s.identity for s in interchanges], sets.tobytes(), None if back is None else back.tobytes()
        return interchange_heads(
            self.subject.adapter,
            interchanges,
            sets,
            back=back,
            batch_tokens=self.subject.batch_tokens,
            stage=self.stage(name, *told, self.subject.batch_tokens),
            advance=self.subject.advance,
        )

    def controls(self, members: Sequence[T], number: int) -> list[T]:
        """Return the members of one cell in which controls are measured: a seeded sample, in order."""
        return self._draw(members, self.options.most("control_pairs"), number, 119)

    def sample(self, most: int | None, *seed: int) -> Ints:
        """Return the places of a seeded sample of the pairs, about as many of each cell; all for None."""
        chosen: list[int] = []
        for number, part in enumerate(self.parts):
            chosen += self._draw(range(part.start, part.stop), most, number, *seed)
        return np.array(chosen)

    def _draw(self, members: Sequence[T], most: int | None, number: int, *seed: int) -> list[T]:
        """Return a seeded sample of one cell's members, in order: its part of so many; all for None."""
        n = len(members) if most is None else max(1, most // len(self.parts))
        rng = np.random.default_rng([self.subject.seed, number, *seed])
        return [members[k] for k in np.sort(rng.permutation(len(members))[:n]).tolist()]


@dataclass
class Sets:
    """Sets of heads asked for in one direction, each cell its own; equal ones are interchanged once.

    Attributes:
        of_sample: of each set asked for, whether it is interchanged in a sample of the pairs only.
    """

    asked: list[list[Bools]] = field(default_factory=list)
    of_sample: list[bool] = field(default_factory=list)

    def add(self, lists: Sequence[Bools], *, of_sample: bool = False) -> int:
        """Ask for one set of each cell; the number it is known by."""
        self.asked.append(list(lists))
        self.of_sample.append(of_sample)
        return len(self.asked) - 1

    def columns(self, *, sampled: bool) -> list[int]:
        """Return the numbers of the sets of a pair that is in the sample, or of one that is not."""
        return [k for k, only in enumerate(self.of_sample) if sampled or not only]


def interchange_both(
    setting: Setting, to_corrupt: Sets, to_clean: Sets, sample: Ints, *, name: str = "sets"
) -> tuple[Floats, Floats]:
    """Return [pairs, asked, 2] surprisal of v and u under the sets of each direction; u's is NaN where it is not asked.

    Args:
        sample: places of the pairs in which sets of a sample are interchanged; in others they are NaN.
        name: by which finished groups are kept.
    """
    both = (to_corrupt, to_clean)
    found = tuple(np.full((len(setting.noun), len(sets.asked), 2), np.nan) for sets in both)
    pairs = setting.pairs
    for number, part in enumerate(setting.parts):
        members = np.arange(part.start, part.stop)
        inside = np.isin(members, sample)
        for kind, own, sampled in (("sample", members[inside], True), ("rest", members[~inside], False)):
            columns = [sets.columns(sampled=sampled) for sets in both]
            if not own.size:
                continue
            distinct, where = [], []
            for sets, kept in zip(both, columns, strict=True):
                unique, inverse = np.unique([sets.asked[k][number] for k in kept], axis=0, return_inverse=True)
                distinct.append(unique)
                where.append(inverse.reshape(-1))
            back = np.repeat([False, True], [len(d) for d in distinct])
            interchanges = [setting.interchange(pairs[i]) for i in own.tolist()]
            values = setting.surprisals(f"{name}-{number}-{kind}", interchanges, np.concatenate(distinct), back)
            into_corrupt, into_clean = values[:, ~back][:, where[0]], values[:, back][:, where[1]]
            rows, asked = own[:, None], [np.array(c) for c in columns]
            found[0][rows, asked[0], 0] = into_corrupt[..., 0]
            found[1][rows, asked[1], : values.shape[2]] = into_clean
    return found[0], found[1]


def with_progress(setting: Setting, bar: Progress) -> Setting:
    """Return the same form, whose interchanges move a bar."""
    return replace(setting, subject=replace(setting.subject, advance=bar.advance))


def first_heads(order: Ints, k: int) -> Bools:
    """Return [heads] whether a head is among the first k of an order."""
    chosen: Bools = np.zeros(len(order), dtype=bool)
    chosen[order[:k]] = True
    return chosen


def places(setting: Setting, chosen: Bools) -> tuple[HeadPlace, ...]:
    """Return the chosen heads [heads] by layer and number."""
    index = setting.subject.adapter.info.head_index
    return tuple(HeadPlace(layer=index[i][0], head=index[i][1]) for i in np.flatnonzero(chosen).tolist())
