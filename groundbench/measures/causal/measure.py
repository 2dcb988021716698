"""The measure `causal`: which heads carry the gain, by exchanging their outputs between two prompts (protocol §15)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr

from groundbench.api.adapter import HeadEdit
from groundbench.api.errors import UnsupportedModelError
from groundbench.engine.run_directory import Stage
from groundbench.engine.subject import Subject, resolved
from groundbench.measures.causal.curve import by_noun, curve_record, random_band, ratio
from groundbench.measures.causal.edge_knockout import Asked, cuts_of, knocked_out
from groundbench.measures.causal.interchange import Swap, exchange
from groundbench.measures.causal.options import CausalOptions, Score, curve_sizes, headline_size, set_sizes
from groundbench.measures.causal.pairs import Pair, PairCell, make_pairs
from groundbench.measures.causal.random_sets import against_draws, layer_matched_draws
from groundbench.measures.causal.scores import can_interpolate, contrast_scores, exact_scores
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import headline_rule, shares
from groundbench.results.causal import (
    Agreement,
    CausalRecord,
    CurveRecord,
    HeadPlace,
    HeadScore,
    InterchangeRecord,
    Interval,
    KnockoutRecord,
    PairRecord,
    Ranking,
)
from groundbench.stats.bootstrap import bootstrap_mean
from groundbench.util.progress import Progress

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
KNOCKED_PAIRS = 64
"""Pairs on which edges are cut, over all cells."""
STRONG = 0.2
"""Of the gain: the least exact effect of a head that is also zeroed, to see whether zeroing would show it."""
OPPOSED = 0.01
"""Of the gain: the least exact effect of a head whose contrast is said to have the other sign."""


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
        """Where finished work of one kind is kept; dropped when what decides it changes."""
        store = self.subject.store
        if store is None:
            return None
        digest = hashlib.sha256(repr(decides).encode()).hexdigest()[:16]
        return store.stage(f"causal/{self.subject.contexts.form.name}/{name}", {"hash": digest})

    def exchanged(self, name: str, swaps: Sequence[Swap], sets: Bools) -> Floats:
        """[swaps, sets, targets], see `exchange`."""
        told = [
            (s.receiver.ids, s.donor.ids, list(map(str, s.receiver.images + s.donor.images)), s.targets) for s in swaps
        ]
        return exchange(
            self.subject.adapter,
            swaps,
            sets,
            batch_tokens=self.subject.batch_tokens,
            stage=self.stage(name, told, sets.tobytes(), self.subject.batch_tokens),
            advance=self.subject.advance,
        )


@dataclass(frozen=True)
class Scores:
    """[pairs, heads] of each score; `share` is [items, heads]. `exact` is NaN for pairs that were not swept."""

    of_pairs: dict[Score, Floats]
    share: Floats | None

    def ranking(self, score: Score, setting: Setting, cell: int | None) -> Ints:
        """Heads in order, the first by a score's mean over the pairs opposite to a cell; over all pairs for None."""
        mean = self.mean(score, setting, cell)
        return np.argsort(-np.nan_to_num(mean, nan=-np.inf), kind="stable")

    def mean(self, score: Score, setting: Setting, cell: int | None) -> Floats:
        """[heads] mean of a score over the pairs opposite to a cell; over all pairs for None."""
        if score == "share":
            assert self.share is not None
            rows = self.share if cell is None else self.share[setting.cells[cell].cell.fit]
        else:
            rows = self.of_pairs[score]
            rows = rows if cell is None else rows[setting.parts[-1 - cell]]
        known = ~np.isnan(rows)
        total = np.where(known, rows, 0.0).sum(0)
        return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


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
        """[pairs, asked, 2] surprisal of v and u; u's is NaN where it is not asked for."""
        found = np.full((len(setting.noun), len(self.asked), 2), np.nan)
        for number, cell in enumerate(setting.cells):
            own = np.array([lists[number] for lists in self.asked])
            distinct, where = np.unique(own, axis=0, return_inverse=True)
            swaps = [setting.swap(p, into) for p in cell.pairs]
            values = setting.exchanged(f"{into}-{number}", swaps, distinct)[:, where.reshape(-1)]
            found[setting.parts[number], :, : values.shape[2]] = values
        return found


@dataclass(frozen=True)
class CausalRun:
    """A form's record, and what the cross-form matrix needs of it: each cell's headline set."""

    record: CausalRecord
    setting: Setting
    lists: tuple[Bools, ...]


def measure(subject: Subject, options: CausalOptions, saliency: HeadSaliency | None = None) -> CausalRecord:
    """Rank heads, exchange sets of them and draw faithfulness curves; see `run_causal`."""
    return run_causal(subject, options, saliency).record


def run_causal(subject: Subject, options: CausalOptions, saliency: HeadSaliency | None = None) -> CausalRun:
    """Everything measured of one form.

    Args:
        saliency: of the matched items (`measures.heads`), for the ranking by share; without it there is none.

    Raises:
        UnsupportedModelError: the model has no heads, or none that can be edited.
        BadInputError: fewer than four nouns in a half, or no two prompts of equal length.
    """
    info = subject.adapter.info
    if "tap" not in info.capabilities or not info.mixers:
        raise UnsupportedModelError(f"{info.name}: no heads can be exchanged: {info.why_not('tap')}")
    setting = Setting.of(subject, options)
    scores = score_heads(setting, saliency)
    kinds = [s for s in options.scores if s in scores.of_pairs or (s == "share" and scores.share is not None)]
    interchange, curves, table = _exchanged(setting, scores, kinds)
    lists = _top(scores, setting, "contrast", headline_size(info.n_heads))
    notes = [] if len(kinds) == len(options.scores) else [_unscored(options, kinds)]
    knockout: tuple[KnockoutRecord, ...] = ()
    if options.knockout:
        try:
            knockout = _knockout(setting, lists, table)
        except UnsupportedModelError as error:
            notes.append(f"no edge was cut: {error}")
    record = CausalRecord(
        env_form=subject.contexts.form.name,
        n_heads=info.n_heads,
        pairs=_pair_record(setting, scores, table),
        scores=_head_scores(setting, scores, _zeroed(setting, scores, table)),
        agreement=_agreement(setting, scores, kinds),
        opposed=_opposed(setting, scores, table),
        interchange=interchange,
        curves=curves,
        knockout=knockout,
        note="; ".join(notes) or None,
    )
    return CausalRun(record, setting, tuple(lists))


def _unscored(options: CausalOptions, kinds: Sequence[Score]) -> str:
    missing = ", ".join(s for s in options.scores if s not in kinds)
    return f"not measured on this model: {missing}"


def score_heads(setting: Setting, saliency: HeadSaliency | None) -> Scores:
    """Every score that was asked for and that the model allows."""
    subject, options = setting.subject, setting.options
    adapter, budget = subject.adapter, subject.batch_tokens
    swaps = [setting.swap(p, "corrupt") for cell in setting.cells for p in cell.pairs]
    told = [
        (s.receiver.ids, s.donor.ids, list(map(str, s.receiver.images + s.donor.images)), s.targets[0]) for s in swaps
    ]
    found: dict[Score, Floats] = {}
    with Progress(f"{adapter.info.name}: contrast of {subject.contexts.form.name}", len(swaps)) as bar:
        stage = setting.stage("contrast", told, budget)
        found["contrast"] = contrast_scores(adapter, swaps, batch_tokens=budget, stage=stage, advance=bar.advance)
    if "contrast-ig" in options.scores and can_interpolate(adapter):
        with Progress(f"{adapter.info.name}: contrast-ig of {subject.contexts.form.name}", len(swaps)) as bar:
            stage = setting.stage("contrast-ig", told, budget, options.points)
            found["contrast-ig"] = contrast_scores(
                adapter, swaps, points=options.points, batch_tokens=budget, stage=stage, advance=bar.advance
            )
    if "exact" in options.scores:
        chosen = _swept(setting)
        exact = np.full((len(swaps), adapter.info.n_heads), np.nan)
        with Progress(f"{adapter.info.name}: single heads of {subject.contexts.form.name}", len(chosen)) as bar:
            stage = setting.stage("exact", [told[i] for i in chosen], budget)
            exact[chosen] = exact_scores(
                adapter, [swaps[i] for i in chosen], batch_tokens=budget, stage=stage, advance=bar.advance
            )
        found["exact"] = exact
    share = None
    if saliency is not None and "share" in options.scores:
        share = shares(saliency, headline_rule(saliency)).share
    return Scores(found, share)


def _swept(setting: Setting) -> list[int]:
    """The pairs on which every head is exchanged alone: as many of each cell, seeded."""
    most = setting.options.most("exact_pairs")
    chosen: list[int] = []
    for number, part in enumerate(setting.parts):
        rng = np.random.default_rng([setting.subject.seed, number, 27])
        members = np.arange(part.start, part.stop)
        n = len(members) if most is None else max(1, most // len(setting.parts))
        chosen += np.sort(rng.permutation(members)[:n]).tolist()
    return chosen


def _top(scores: Scores, setting: Setting, score: Score, k: int, *, crossfit: bool = True) -> list[Bools]:
    """The first k heads of a ranking, for each cell."""
    return [_first(scores.ranking(score, setting, c if crossfit else None), k) for c in range(len(setting.cells))]


def _first(order: Ints, k: int) -> Bools:
    chosen: Bools = np.zeros(len(order), dtype=bool)
    chosen[order[:k]] = True
    return chosen


@dataclass(frozen=True)
class _Job:
    """One set, in both directions."""

    ranking: Score
    k: int
    crossfit: bool
    lists: list[Bools]
    recovered: int
    lost: int
    draws: tuple[tuple[int, int], ...] = ()
    borrowed: int = 0


@dataclass(frozen=True)
class _Table:
    """Surprisals (nats): [pairs] untouched, and [pairs, sets, 2] of every exchange in each direction."""

    clean: Floats
    corrupt: Floats
    other_clean: Floats
    other_corrupt: Floats
    into_corrupt: Floats
    into_clean: Floats


def _exchanged(
    setting: Setting, scores: Scores, kinds: Sequence[Score]
) -> tuple[tuple[InterchangeRecord, ...], tuple[CurveRecord, ...], _Table]:
    """Every set and every curve: one pass over the pairs in each direction."""
    subject, n_heads, n_cells = setting.subject, setting.subject.adapter.info.n_heads, len(setting.cells)
    none, every = np.zeros(n_heads, dtype=bool), np.ones(n_heads, dtype=bool)
    to_corrupt, to_clean = Sets(n_cells), Sets(n_cells)
    for sets in (to_corrupt, to_clean):
        sets.add([none] * n_cells)
    all_corrupt = to_clean.add([every] * n_cells)
    jobs = _jobs(setting, scores, kinds, to_corrupt, to_clean)
    sizes = np.array(curve_sizes(n_heads))
    curves: list[tuple[Ranking, bool, list[int]]] = []
    for score in kinds:
        orders = [scores.ranking(score, setting, c) for c in range(n_cells)]
        curves.append((score, True, [to_clean.add([~_first(o, k) for o in orders]) for k in sizes.tolist()]))
    order = scores.ranking("contrast", setting, None)
    curves.append(("contrast", False, [to_clean.add([~_first(order, k)] * n_cells) for k in sizes.tolist()]))
    for draw in range(setting.options.random_orders):
        order = np.random.default_rng([subject.seed, draw, 41]).permutation(n_heads)
        curves.append(("random", True, [to_clean.add([~_first(order, k)] * n_cells) for k in sizes.tolist()]))
    name = f"{subject.adapter.info.name}: exchanges of {subject.contexts.form.name}"
    with Progress(name, 2 * len(setting.noun)) as bar:
        into_corrupt = to_corrupt.exchanged(_watched(setting, bar), "corrupt")
        into_clean = to_clean.exchanged(_watched(setting, bar), "clean")
    untouched = _others(setting, into_clean)
    table = _Table(into_clean[:, 0, 0], into_corrupt[:, 0, 0], into_clean[:, 0, 1], untouched, into_corrupt, into_clean)
    made = [
        curve_record(
            ranking,
            setting.noun,
            sizes,
            into_clean[:, columns, 0],
            table.clean,
            into_clean[:, all_corrupt, 0],
            table.corrupt,
            n_heads,
            crossfit=crossfit,
            seed=subject.seed,
        )
        for ranking, crossfit, columns in curves
    ]
    ranked = [c for c in made if c.ranking != "random"]
    band = random_band([c for c in made if c.ranking == "random"])
    interchange = tuple(_interchange_record(setting, job, table) for job in jobs)
    return interchange, (*ranked, band), table


def _watched(setting: Setting, bar: Progress) -> Setting:
    return replace(setting, subject=replace(setting.subject, advance=bar.advance))


def _others(setting: Setting, into_clean: Floats) -> Floats:
    """[pairs] surprisal of the other noun in its own, corrupt prompt: with all heads from it at the same last token.

    The untouched corrupt prompt is run for v alone, so u is read where the clean prompt has every head from it.
    """
    return into_clean[:, 1, 1]


def _jobs(setting: Setting, scores: Scores, kinds: Sequence[Score], to_corrupt: Sets, to_clean: Sets) -> list[_Job]:
    """The headline first, then its ranking's other sizes, the other rankings, and what is not cross-fitted."""
    n_heads = setting.subject.adapter.info.n_heads
    headline = headline_size(n_heads)
    wanted: list[tuple[Score, int, bool]] = [("contrast", headline, True)]
    wanted += [("contrast", k, True) for k in set_sizes(n_heads) if k != headline]
    wanted += [(s, headline, True) for s in kinds if s != "contrast"]
    wanted += [("contrast", k, False) for k in set_sizes(n_heads)]
    jobs = []
    for number, (score, k, crossfit) in enumerate(wanted):
        lists = _top(scores, setting, score, k, crossfit=crossfit)
        draws: list[list[Bools]] = []
        borrowed = 0
        if number == 0:
            n = resolved(setting.options.draws, "draws")
            draws, borrowed = layer_matched_draws(lists, setting.layer, n, setting.subject.seed)
        jobs.append(
            _Job(
                score,
                k,
                crossfit,
                lists,
                to_corrupt.add(lists),
                to_clean.add(lists),
                tuple((to_corrupt.add(d), to_clean.add(d)) for d in draws),
                borrowed,
            )
        )
    return jobs


def _interchange_record(setting: Setting, job: _Job, table: _Table) -> InterchangeRecord:
    noun, seed = setting.noun, setting.subject.seed
    gain = table.corrupt - table.clean

    def recovered(column: int) -> Interval:
        return ratio(noun, table.corrupt - table.into_corrupt[:, column, 0], gain, seed)

    def lost(column: int) -> Interval:
        return ratio(noun, table.into_clean[:, column, 0] - table.clean, gain, seed)

    moved = table.other_clean - table.into_clean[:, job.lost, 1]
    record = InterchangeRecord(
        ranking=job.ranking,
        k=job.k,
        crossfit=job.crossfit,
        recovered=recovered(job.recovered),
        lost=lost(job.lost),
        transfer=ratio(noun, moved, table.other_clean - table.other_corrupt, seed),
        heads=_places(setting, np.all(job.lists, axis=0)),
    )
    if not job.draws:
        return record
    drawn = [(recovered(a).value, lost(b).value) for a, b in job.draws]
    there, away = ([v for v in column if v is not None] for column in zip(*drawn, strict=True))
    beyond, rank = against_draws(record.recovered.value, there, job.lists, setting.layer)
    same, n_same = _same_answer(setting, job.lists, table)
    return record.model_copy(
        update={
            "headline": True,
            "n_draws": len(job.draws),
            "n_borrowed": job.borrowed,
            "random_recovered": tuple(there),
            "random_lost": tuple(away),
            "p_draws": beyond,
            "p_rank": rank,
            "same_answer": same,
            "n_same_answer": n_same,
            "same_category": _same_category(setting, job.lists),
        }
    )


def _same_answer(setting: Setting, lists: Sequence[Bools], table: _Table) -> tuple[Interval, int]:
    """Recovered when the set comes from a run that shows the same noun in another frame of equal length."""
    contexts = setting.subject.contexts
    rng = np.random.default_rng([setting.subject.seed, 63])
    kept: list[int] = []
    values: list[float] = []
    for number, cell in enumerate(setting.cells):
        swaps, own = [], []
        for i, pair in enumerate(cell.pairs, start=setting.parts[number].start):
            same = np.flatnonzero((contexts.env == pair.noun) & (contexts.frame != pair.frame))
            length = len(contexts.rows[pair.corrupt])
            alike = [c for c in same.tolist() if len(contexts.rows[c]) == length]
            if alike:
                swap = setting.swap(pair, "corrupt")
                swaps.append(Swap(swap.receiver, contexts.rows[int(rng.choice(alike))], swap.targets, swap.where))
                own.append(i)
        if swaps:
            values += setting.exchanged(f"same-answer-{number}", swaps, lists[number][None])[:, 0, 0].tolist()
            kept += own
    if not kept:
        return Interval(), 0
    chosen = np.array(kept)
    gain = (table.corrupt - table.clean)[chosen]
    above = table.corrupt[chosen] - np.array(values)
    return ratio(setting.noun[chosen], above, gain, setting.subject.seed), len(kept)


def _same_category(setting: Setting, lists: Sequence[Bools]) -> Interval:
    """Recovered over pairs of one category."""
    noun: list[int] = []
    above: list[float] = []
    below: list[float] = []
    for number, cell in enumerate(setting.cells):
        if not cell.same_category:
            continue
        chosen = np.stack([np.zeros_like(lists[number]), lists[number]])
        into = [setting.swap(p, "corrupt") for p in cell.same_category]
        clean = [Swap(s.donor, s.donor, s.targets, s.where) for s in into]
        values = setting.exchanged(f"same-category-{number}", into, chosen)[..., 0]
        best = setting.exchanged(f"same-category-clean-{number}", clean, chosen[:1])[:, 0, 0]
        noun += [p.noun for p in cell.same_category]
        above += (values[:, 0] - values[:, 1]).tolist()
        below += (values[:, 0] - best).tolist()
    if not noun:
        return Interval()
    return ratio(np.array(noun), np.array(above), np.array(below), setting.subject.seed)


def _pair_record(setting: Setting, scores: Scores, table: _Table) -> PairRecord:
    gain = bootstrap_mean(by_noun(setting.noun, table.corrupt - table.clean), seed=setting.subject.seed)
    exact = scores.of_pairs.get("exact")
    return PairRecord(
        n=len(setting.noun),
        n_nouns=len(np.unique(setting.noun)),
        n_frames=len({p.frame for c in setting.cells for p in c.pairs}),
        n_left_out=sum(c.left_out for c in setting.cells),
        n_same_category=sum(len(c.same_category) for c in setting.cells),
        n_exact=0 if exact is None else int((~np.isnan(exact).all(1)).sum()),
        clean=float(by_noun(setting.noun, table.clean).mean()),
        corrupt=float(by_noun(setting.noun, table.corrupt).mean()),
        gain=Interval(value=gain.value, ci_low=gain.ci_low, ci_high=gain.ci_high),
    )


def _knockout(setting: Setting, lists: Sequence[Bools], table: _Table) -> tuple[KnockoutRecord, ...]:
    """What cutting edges loses, on a seeded sample of the pairs of each cell."""
    contexts, seed = setting.subject.contexts, setting.subject.seed
    kept, values = [], []
    with Progress(f"{setting.subject.adapter.info.name}: edges of {contexts.form.name}", len(setting.noun)) as bar:
        for number, cell in enumerate(setting.cells):
            chosen = np.random.default_rng([seed, number, 99]).permutation(len(cell.pairs))
            chosen = np.sort(chosen[: max(1, KNOCKED_PAIRS // len(setting.cells))])
            asked = [
                Asked(contexts.rows[at], cell.pairs[i].target)
                for i in chosen.tolist()
                for at in (cell.pairs[i].clean, cell.pairs[i].corrupt)
            ]
            cuts = cuts_of(lists[number], setting.layer)
            found = knocked_out(setting.subject.adapter, asked, [c for c, _ in cuts], setting.subject.batch_tokens)
            kept += (chosen + setting.parts[number].start).tolist()
            values.append(found[1::2] - found[::2])
            bar.advance(len(cell.pairs))
    under = np.concatenate(values)
    gain = (table.corrupt - table.clean)[kept]
    made = []
    for k, (cut, window) in enumerate(cuts):
        layers = setting.layer[np.any(lists, axis=0)] if window is None else np.array(window)
        made.append(
            KnockoutRecord(
                step=cut.step,
                heads="headline" if window is None else "all",
                first_layer=int(layers.min()),
                last_layer=int(layers.max()),
                lost=ratio(setting.noun[kept], gain - under[:, k], gain, seed),
            )
        )
    return tuple(made)


def _zeroed(setting: Setting, scores: Scores, table: _Table) -> Floats:
    """[heads] rise of the clean surprisal when a head alone is zeroed everywhere; NaN for heads of little effect."""
    adapter, contexts = setting.subject.adapter, setting.subject.contexts
    found = np.full(adapter.info.n_heads, np.nan)
    if "exact" not in scores.of_pairs:
        return found
    gain = float(by_noun(setting.noun, table.corrupt - table.clean).mean())
    strong = np.flatnonzero(scores.mean("exact", setting, None) >= STRONG * gain) if gain > 0 else []
    pairs = [p for cell in setting.cells for p in cell.pairs]
    swept = np.flatnonzero(~np.isnan(scores.of_pairs["exact"]).all(1)).tolist()
    for head in strong:
        scale = torch.ones(1, adapter.info.n_heads)
        scale[0, head] = 0.0
        rises = []
        for i in swept:
            logits = adapter.forward([contexts.rows[pairs[i].clean]], edit=HeadEdit(scale)).logits[0]
            rises.append(float(torch.logsumexp(logits, -1) - logits[pairs[i].target]) - table.clean[i])
        found[head] = np.mean(rises)
    return found


def _head_scores(setting: Setting, scores: Scores, zeroed: Floats) -> tuple[HeadScore, ...]:
    columns: dict[str, Floats] = {s.replace("-", "_"): scores.mean(s, setting, None) for s in scores.of_pairs}
    if scores.share is not None:
        columns["share"] = scores.mean("share", setting, None)
    columns["zeroed"] = zeroed
    made = []
    for i, (layer, head) in enumerate(setting.subject.adapter.info.head_index):
        own = {n: None if np.isnan(v[i]) else float(v[i]) for n, v in columns.items()}
        made.append(HeadScore(layer=layer, head=head, **own))
    return tuple(made)


def _agreement(setting: Setting, scores: Scores, kinds: Sequence[Score]) -> tuple[Agreement, ...]:
    means = {s: scores.mean(s, setting, None) for s in kinds}
    found = []
    for i, a in enumerate(kinds):
        for b in kinds[i + 1 :]:
            known = ~(np.isnan(means[a]) | np.isnan(means[b]))
            value = spearmanr(means[a][known], means[b][known]).statistic if known.sum() > 2 else np.nan
            found.append(Agreement(first=a, second=b, rank_correlation=None if np.isnan(value) else float(value)))
    return tuple(found)


def _opposed(setting: Setting, scores: Scores, table: _Table) -> tuple[HeadPlace, ...]:
    if "exact" not in scores.of_pairs:
        return ()
    exact, contrast = (scores.mean(s, setting, None) for s in ("exact", "contrast"))
    least = OPPOSED * abs(float(by_noun(setting.noun, table.corrupt - table.clean).mean()))
    return _places(setting, (np.abs(exact) >= least) & (exact * contrast < 0))


def _places(setting: Setting, chosen: Bools) -> tuple[HeadPlace, ...]:
    index = setting.subject.adapter.info.head_index
    return tuple(HeadPlace(layer=index[i][0], head=index[i][1]) for i in np.flatnonzero(chosen).tolist())
