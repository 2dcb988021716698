"""One form under the measure `causal`: its pairs cell by cell, and sets of heads exchanged once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from groundbench.engine.run_directory import Stage
from groundbench.engine.subject import Subject
from groundbench.measures.causal.interchange import Swap, exchange
from groundbench.measures.causal.options import CausalOptions
from groundbench.measures.causal.pairs import Pair, PairCell, make_pairs
from groundbench.results.causal import HeadPlace
from groundbench.util.progress import Progress

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


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

    def swap(self, pair: Pair, into: str) -> Swap:
        """The exchange of a pair: `corrupt` receives from clean, or `clean` from corrupt; v is asked for, then u."""
        contexts = self.subject.contexts
        rows = contexts.rows[pair.corrupt], contexts.rows[pair.clean]
        receiver, donor = rows if into == "corrupt" else rows[::-1]
        asked = (pair.target,) if pair.other_target is None or into == "corrupt" else (pair.target, pair.other_target)
        return Swap(receiver, donor, asked, contexts.prompts[pair.clean].where)

    def stage(self, name: str, *decides: object) -> Stage | None:
        """Return the stage that keeps work of one kind; what it holds is dropped when what decides it changes."""
        store = self.subject.store
        if store is None:
            return None
        digest = hashlib.sha256(repr(decides).encode()).hexdigest()[:16]
        return store.stage(f"causal/{self.subject.contexts.form.name}/{name}", {"hash": digest})

    def exchanged(self, name: str, swaps: Sequence[Swap], sets: Bools) -> Floats:
        """Return [swaps, sets, targets], see `exchange`."""
        return exchange(
            self.subject.adapter,
            swaps,
            sets,
            batch_tokens=self.subject.batch_tokens,
            stage=self.stage(name, [s.identity for s in swaps], sets.tobytes(), self.subject.batch_tokens),
            advance=self.subject.advance,
        )


@dataclass
class Sets:
    """Sets of heads asked for in one direction, each cell its own; equal ones are exchanged once."""

    n_cells: int
    asked: list[list[Bools]] = field(default_factory=list)

    def add(self, lists: Sequence[Bools]) -> int:
        """Ask for one set of each cell; the number it is known by."""
        self.asked.append(list(lists))
        return len(self.asked) - 1

    def exchanged(self, setting: Setting, into: str) -> Floats:
        """Return [pairs, asked, 2] surprisal of v and u; u's is NaN where it is not asked for."""
        found = np.full((len(setting.noun), len(self.asked), 2), np.nan)
        for number, cell in enumerate(setting.cells):
            own = np.array([lists[number] for lists in self.asked])
            distinct, where = np.unique(own, axis=0, return_inverse=True)
            swaps = [setting.swap(p, into) for p in cell.pairs]
            values = setting.exchanged(f"{into}-{number}", swaps, distinct)[:, where.reshape(-1)]
            found[setting.parts[number], :, : values.shape[2]] = values
        return found


def watched(setting: Setting, bar: Progress) -> Setting:
    """Return the same form, whose exchanges move a bar."""
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
