"""One tab for each testbed: its rows with their ranks, its columns, and what the first sentence says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from groundbench.leaderboard.ladder_ranks import rank_ladders
from groundbench.leaderboard.ranks import Contender, rank_models
from groundbench.leaderboard.rows import ResultRow
from groundbench.leaderboard.site.columns import Column, Place, columns_for
from groundbench.leaderboard.submission.items_parquet import Cells
from groundbench.results.text.numbers import number

LADDER = "ladder"
MOST_ALIKE = 40
"""Earlier results that a result is held against as their copy."""
AGREE_NATS = 0.1
AGREE_SCORE = 0.02
"""By how much two measurements of the same weights may differ: mean over nouns of the gains, and the ladder score."""


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
    _set_aside(heads, places)
    heads.sort(key=lambda e: _order(e, places[e.id], ladder))
    more = sorted((e for e in rows if e.kind != "headline"), key=lambda e: (-(e.gain or -1e9), e.id))
    forms = list(dict.fromkeys(e.form for e in (*heads, *more)))
    title = name.removesuffix(" 1")
    id_ = "".join(c if c.isalnum() else "-" for c in name.lower())
    return Tab(id_, title, ladder, columns_for(heads, ladder), tuple(heads), tuple(more), places, tuple(forms), known)


def _set_aside(heads: Sequence[ResultRow], places: dict[str, Place]) -> None:
    """Mark the results that cannot be compared with the tab's main group: the one with most of the board's own."""
    groups: dict[tuple[str, ...], list[ResultRow]] = defaultdict(list)
    for e in heads:
        groups[e.group].append(e)
    if not groups:
        return
    main = max(groups, key=lambda g: (sum(e.own for e in groups[g]), len({e.fingerprint for e in groups[g]})))
    for group, members in groups.items():
        for e in members if group != main else ():
            places[e.id] = replace(places[e.id], aside=_difference(e, groups[main][0]))


def _difference(e: ResultRow, main: ResultRow) -> str:
    """Say what parts a result from those of the main group."""
    if e.form != main.form:
        return f"the form {e.form}"
    if e.hash != main.hash:
        return "other nouns"
    return "other images" if e.images != main.images else f"{e.mismatches} mismatches of an item"


def _order(row: ResultRow, place: Place, ladder: bool) -> tuple[bool, float, float, str]:
    """Sort by group, the main one first, by rank and by the headline number; what has none comes last."""
    value = (row.ladder.score if row.ladder else None) if ladder else row.gain
    rank = place.rank.rank if place.rank else 10**9
    return bool(place.aside), rank, -value if value is not None else 1e9, row.id


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
    mine = [e for e in ready if e.own]
    for row in ready:
        other = next((e for e in mine if not row.own and _disagrees(e, row)), None)
        if other is not None:
            out[row.id] = Place(None, f"{other.slug} has the same weights, and measured otherwise")
    ready = [e for e in ready if e.id not in out]
    keys = model_keys(ready)
    first: dict[str, ResultRow] = {}
    for row, key in zip(ready, keys, strict=True):
        first.setdefault(key, row)
    if ladder:
        ranks = rank_ladders([e.ladder_items for e in ready if e.ladder_items is not None], keys)
    else:
        ranks = list(rank_models([_contender(e) for e in ready], keys))
    alike: dict[str, dict[str, None]] = defaultdict(dict)
    for row, key in zip(ready, keys, strict=True):
        alike[row.fingerprint].setdefault(key)
    for row, rank, key in zip(ready, ranks, keys, strict=True):
        again = "" if first[key] is row else first[key].id
        disputed = next((first[k].id for k in alike[row.fingerprint] if k != key), "")
        out[row.id] = Place(rank, "" if rank else "its set of forms is too rare to compare", again, disputed)
    for row in members:
        if row.id not in out:
            out[row.id] = Place(None, _why(row, ladder))


def beyond_copying(row: ResultRow) -> bool:
    """Return True if a ladder score has its items and an interval above 0, without which there is no rank."""
    s = row.ladder
    return not row.n_failed and row.ladder_items is not None and s is not None and s.ci_low is not None and s.ci_low > 0


def model_keys(rows: Sequence[ResultRow]) -> list[str]:
    """Return a key for each row, equal for copies: the same weights, or every noun's gain, and the same numbers.

    A fingerprint is a claim: who bears another's without its numbers is counted apart, so that it takes no rank of it.
    """
    known: dict[str, list[tuple[ResultRow, str]]] = defaultdict(list)
    out = []
    for row in rows:
        others = (*known[row.fingerprint][:MOST_ALIKE], *known[row.same][:MOST_ALIKE])
        key = next((k for e, k in others if _agrees(e, row)), row.id)
        known[row.fingerprint].append((row, key))
        known[row.same].append((row, key))
        out.append(key)
    return out


def _agrees(a: ResultRow, b: ResultRow) -> bool:
    """Return True for two measurements that can be of one model: other machines and number formats move little."""
    if a.by_noun is not None and b.by_noun is not None and a.by_noun.shape == b.by_noun.shape:
        apart = float(np.abs(a.by_noun - b.by_noun).mean())
    else:
        apart = abs((a.gain or 0.0) - (b.gain or 0.0))
    scores = [e.ladder.score for e in (a, b) if e.ladder is not None and e.ladder.score is not None]
    return apart <= AGREE_NATS and (len(scores) < 2 or abs(scores[0] - scores[1]) <= AGREE_SCORE)


def _disagrees(a: ResultRow, b: ResultRow) -> bool:
    return a is not b and a.fingerprint == b.fingerprint and not _agrees(a, b)


def _why(row: ResultRow, ladder: bool) -> str:
    if row.gain is None:
        return "no gain measured"
    if not row.whole:
        return f"{row.n_left_out} nouns left out"
    if row.n_failed:
        return f"{row.n_failed} items failed"
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
    rows = [e for e in tab.rows if not tab.places[e.id].aside]
    first = [e for e in rows if (p := tab.places[e.id]).rank and p.rank.rank == 1 and not p.again]
    if not first:
        if any(tab.places[e.id].why == "not told from copying" for e in rows):
            return "No model here is told from one that only copies."
        return "No model has a rank here yet."
    best = first[0]

    def value_of(row: ResultRow) -> str:
        return str(number(row.ladder.score)) if tab.ladder and row.ladder else f"{number(row.gain)} nats"

    value = value_of(best)
    what = "ladder score" if tab.ladder else "gain"
    n = len(set(model_keys([e for e in rows if tab.places[e.id].rank])))
    if n == 1:
        alone = "the only one that does more than copy" if tab.ladder else "the only model that has a rank"
        return f"Best grounded: {best.model} ({what} {value}), {alone}."
    if len(first) == 1:
        later = [e for e in rows if (p := tab.places[e.id]).rank and p.rank.rank != 1]
        behind = f"{later[0].model} ({value_of(later[0])})" if n == 2 and later else f"all {n - 1} others"
        return f"Best grounded: {best.model} ({what} {value}), ahead of {behind}."
    others = len(first) - 1
    apart = f"{others} of the {n - 1} others" if n > 2 else "the other"
    return f"Best grounded: {best.model} ({what} {value}); {apart} cannot be told apart from it."
