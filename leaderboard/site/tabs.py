"""One tab for each testbed: its rows with their ranks, its columns, and what the first sentence says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from groundbench.leaderboard.ladder_ranks import rank_ladders
from groundbench.leaderboard.ranks import Contender, rank_models
from groundbench.leaderboard.rows import ResultRow
from groundbench.leaderboard.site.columns import Column, Place, columns_for
from groundbench.leaderboard.submission.items_parquet import Cells
from groundbench.results.text.numbers import number

LADDER = "ladder"


@dataclass(frozen=True)
class Tab:
    """A testbed's part of the board. `rows` are the headline results, best first; `more` forms and checkpoints."""

    id: str
    title: str
    ladder: bool
    columns: tuple[Column, ...]
    rows: tuple[ResultRow, ...]
    more: tuple[ResultRow, ...]
    places: dict[str, Place]
    forms: tuple[str, ...]
    references: tuple[ResultRow, ...] = ()
    """Headline results of models that the others are read against; they have no rank."""

    @property
    def n_models(self) -> int:
        """Different models among the headline results."""
        return len({e.fingerprint for e in self.rows})


def tabs_of(rows: Sequence[ResultRow], references: Collection[str] = ()) -> list[Tab]:
    """Return the tabs: the ladder first, then by the number of results. `references`: folders that are not ranked."""
    boards: dict[str, list[ResultRow]] = defaultdict(list)
    for row in rows:
        boards[row.board].append(row)
    places = _places([e for e in rows if e.slug not in references])
    places |= {e.id: Place(None, "a reference") for e in rows if e.slug in references}
    found = [_tab(name, members, places, references) for name, members in boards.items()]
    return sorted(found, key=lambda t: (not t.ladder, -len(t.rows), t.title))


def _tab(name: str, rows: Sequence[ResultRow], places: dict[str, Place], references: Collection[str]) -> Tab:
    known = tuple(e for e in rows if e.slug in references and e.kind == "headline")
    rows = [e for e in rows if e.slug not in references]
    ladder = name.split()[0] == LADDER
    heads = [e for e in rows if e.kind == "headline"]
    heads.sort(key=lambda e: _order(e, places[e.id], ladder))
    more = sorted((e for e in rows if e.kind != "headline"), key=lambda e: (-(e.gain or -1e9), e.id))
    forms = list(dict.fromkeys(e.form for e in (*heads, *more)))
    title = name.removesuffix(" 1")
    id_ = "".join(c if c.isalnum() else "-" for c in name.lower())
    return Tab(id_, title, ladder, columns_for(heads, ladder), tuple(heads), tuple(more), places, tuple(forms), known)


def _order(row: ResultRow, place: Place, ladder: bool) -> tuple[float, float, str]:
    """By rank, then by the headline number; what has none comes last."""
    value = (row.ladder.score if row.ladder else None) if ladder else row.gain
    rank = place.rank.rank if place.rank else 10**9
    return rank, -value if value is not None else 1e9, row.id


def _places(rows: Sequence[ResultRow]) -> dict[str, Place]:
    """Return every row's rank among those it can be compared with, or why it has none."""
    groups: dict[tuple[str, ...], list[ResultRow]] = defaultdict(list)
    for row in rows:
        if row.kind != "checkpoint":
            groups[row.group].append(row)
    out = {row.id: Place(None, "earlier checkpoint") for row in rows if row.kind == "checkpoint"}
    for members in groups.values():
        _place_group(members, out)
    return out


def _place_group(members: list[ResultRow], out: dict[str, Place]) -> None:
    ladder = members[0].testbed == LADDER and members[0].kind == "headline"
    ready = [e for e in members if (beyond_copying(e) if ladder else e.ranked)]
    ready.sort(key=lambda e: (not e.own, e.cells is None, e.slug, e.run))
    keys = model_keys(ready)
    first: dict[str, ResultRow] = {}
    for row, key in zip(ready, keys, strict=True):
        first.setdefault(key, row)
    if ladder:
        ranks = rank_ladders([e.ladder_items for e in ready if e.ladder_items is not None], keys)
    else:
        ranks = list(rank_models([_contender(e) for e in ready], keys))
    for row, rank, key in zip(ready, ranks, keys, strict=True):
        again = "" if first[key] is row else first[key].id
        out[row.id] = Place(rank, "" if rank else "its set of forms is too rare to compare", again)
    for row in members:
        if row.id not in out:
            out[row.id] = Place(None, _why(row, ladder))


def beyond_copying(row: ResultRow) -> bool:
    """Return True if a ladder score has its items and an interval above 0, without which there is no rank."""
    s = row.ladder
    return row.ladder_items is not None and s is not None and s.ci_low is not None and s.ci_low > 0


def model_keys(rows: Sequence[ResultRow]) -> list[str]:
    """Return a key for each row, equal where the weights are the same, or every noun's gain is."""
    by_print: dict[str, str] = {}
    by_gains: dict[str, str] = {}
    out = []
    for row in rows:
        key = by_print.get(row.fingerprint) or by_gains.get(row.same) or row.id
        by_print.setdefault(row.fingerprint, key)
        by_gains.setdefault(row.same, key)
        out.append(key)
    return out


def _why(row: ResultRow, ladder: bool) -> str:
    if row.gain is None:
        return "no gain measured"
    if not row.whole:
        return f"{row.n_left_out} nouns left out"
    if not row.told:
        return "not told from 0"
    if ladder:
        if row.ladder is None:
            return "no ladder score"
        if row.ladder.score is None:
            return "word not told from 0"
        if row.ladder_items is None:
            return "without its items"
        return "not told from copying"
    return "not comparable"


def _contender(row: ResultRow) -> Contender:
    """Return a row as the ranks take it; without items its interval is the one that its nouns give."""
    if row.gain is None:
        raise ValueError(f"{row.id} has no gain to rank")
    low, high = row.derived or (row.gain, row.gain)
    cells = None
    if row.cells is not None:
        gain = row.cells.astype(np.float64)
        cells = Cells(tuple(map(str, range(gain.shape[0]))), tuple(map(str, range(gain.shape[1]))), gain)
    return Contender(row.gain, low, high, cells)


def answer(tab: Tab) -> str:
    """Say which model is best grounded, in a sentence."""
    first = [e for e in tab.rows if (p := tab.places[e.id]).rank and p.rank.rank == 1 and not p.again]
    if not first:
        if any(tab.places[e.id].why == "not told from copying" for e in tab.rows):
            return "No model here is told from one that only copies."
        return "No model has a rank here yet."
    best = first[0]

    def value_of(row: ResultRow) -> str:
        return str(number(row.ladder.score)) if tab.ladder and row.ladder else f"{number(row.gain)} nats"

    value = value_of(best)
    what = "ladder score" if tab.ladder else "gain"
    n = len(set(model_keys([e for e in tab.rows if tab.places[e.id].rank])))
    if n == 1:
        alone = "the only one that does more than copy" if tab.ladder else "the only model that has a rank"
        return f"Best grounded: {best.model} ({what} {value}), {alone}."
    if len(first) == 1:
        later = [e for e in tab.rows if (p := tab.places[e.id]).rank and p.rank.rank != 1]
        behind = f"{later[0].model} ({value_of(later[0])})" if n == 2 and later else f"all {n - 1} others"
        return f"Best grounded: {best.model} ({what} {value}), ahead of {behind}."
    others = len(first) - 1
    apart = f"{others} of the {n - 1} others" if n > 2 else "the other"
    return f"Best grounded: {best.model} ({what} {value}); {apart} cannot be told apart from it."
