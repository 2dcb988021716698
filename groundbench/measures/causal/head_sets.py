"""Sets of heads interchanged in both directions, and the curves: one pass over the pairs for each direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from groundbench.engine.subject import require_value
from groundbench.measures.causal.curve import by_noun, curve_record, random_band, ratio
from groundbench.measures.causal.head_ranking import Scores, top_heads
from groundbench.measures.causal.interchange import Interchange
from groundbench.measures.causal.options import Score, curve_sizes, headline_size, set_sizes
from groundbench.measures.causal.random_sets import against_draws, layer_matched_draws
from groundbench.measures.causal.setting import Sets, Setting, first_heads, interchange_both, places, with_progress
from groundbench.results.causal import CurveRecord, InterchangeRecord, Interval, PairRecord, Ranking
from groundbench.stats.bootstrap import bootstrap_mean
from groundbench.util.progress import Progress

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


NONE, EVERY = 0, 1
"""Columns of the interchanges into the clean prompt: no head, and every head, comes from the corrupt run."""


@dataclass(frozen=True)
class Surprisals:
    """Surprisals (nats) of v and u, [pairs, sets, 2], under every interchange, by direction. The first is of no head.

    Of the untouched prompts and the gain, each [pairs].
    """

    into_corrupt: Floats
    into_clean: Floats

    @property
    def clean(self) -> Floats:
        """The noun, shown."""
        return self.into_clean[:, NONE, 0]

    @property
    def corrupt(self) -> Floats:
        """The noun, where the other noun is shown."""
        return self.into_corrupt[:, NONE, 0]

    @property
    def gain(self) -> Floats:
        """The loss of the noun where the other one is shown."""
        return self.corrupt - self.clean

    @property
    def other_clean(self) -> Floats:
        """The other noun, where the noun is shown."""
        return self.into_clean[:, NONE, 1]

    @property
    def other_corrupt(self) -> Floats:
        """The other noun, shown: with all heads from its own prompt at the same last token.

        The untouched corrupt prompt is run for v alone, so u is read where the clean prompt has every head from it.
        """
        return self.into_clean[:, EVERY, 1]


@dataclass(frozen=True)
class _Job:
    """One set, in both directions."""

    ranking: Score
    k: int
    crossfit: bool
    lists: list[Bools]
    recovered: int
    lost: int
    headline: bool = False
    draws: tuple[tuple[int, int], ...] = ()
    borrowed: int = 0


def interchange_sets(
    setting: Setting, scores: Scores, kinds: Sequence[Score]
) -> tuple[tuple[InterchangeRecord, ...], tuple[CurveRecord, ...], Surprisals]:
    """Return every set and every curve: one pass over the pairs for both directions.

    Where the pairs' gain cannot be told from 0 there are no shares of it: nothing is interchanged, and every share is
    None.
    """
    subject, options = setting.subject, setting.options
    n_heads, n_cells = subject.adapter.info.n_heads, len(setting.cells)
    sample = setting.sample(options.most("random_pairs"), 85)
    to_corrupt, to_clean = _reference_sets(setting)
    untouched = Surprisals(*interchange_both(setting, to_corrupt, to_clean, sample, name="untouched"))
    jobs = _jobs(setting, scores, kinds, to_corrupt, to_clean)
    if ratio(setting.noun, untouched.gain, untouched.gain, subject.seed).value is None:
        return tuple(_empty_record(setting, job) for job in jobs), (), untouched
    jobs[0] = _with_draws(setting, jobs[0], to_corrupt, to_clean)
    sizes = np.array(curve_sizes(n_heads))
    curves: list[tuple[Ranking, bool, list[int]]] = []
    for score in kinds:
        orders = [scores.ranking(score, setting, c) for c in range(n_cells)]
        curves.append((score, True, [to_clean.add([~first_heads(o, k) for o in orders]) for k in sizes.tolist()]))
    if options.same_pairs:
        order = scores.ranking("contrast", setting, None)
        curves.append(("contrast", False, [to_clean.add([~first_heads(order, k)] * n_cells) for k in sizes.tolist()]))
    for draw in range(options.random_orders):
        order = np.random.default_rng([subject.seed, draw, 41]).permutation(n_heads)
        columns = [to_clean.add([~first_heads(order, k)] * n_cells, of_sample=True) for k in sizes.tolist()]
        curves.append(("random", True, columns))
    name = f"{subject.adapter.info.name}: interchanges of {subject.contexts.form.name}"
    with Progress(name, len(setting.noun)) as bar:
        table = Surprisals(*interchange_both(with_progress(setting, bar), to_corrupt, to_clean, sample))
    made = []
    for ranking, crossfit, columns in curves:
        own = sample if ranking == "random" else np.arange(len(setting.noun))
        made.append(
            curve_record(
                ranking,
                setting.noun[own],
                sizes,
                table.into_clean[own][:, columns, 0],
                table.clean[own],
                table.into_clean[own, EVERY, 0],
                table.corrupt[own],
                n_heads,
                crossfit=crossfit,
                seed=subject.seed,
            )
        )
    ranked = [c for c in made if c.ranking != "random"]
    band = random_band([c for c in made if c.ranking == "random"])
    interchange = tuple(_interchange_record(setting, job, table, sample) for job in jobs)
    return interchange, (*ranked, band), table


def _reference_sets(setting: Setting) -> tuple[Sets, Sets]:
    """Return the sets of each direction that others are compared with: `NONE`, and into the clean prompt `EVERY`."""
    n_heads, n_cells = setting.subject.adapter.info.n_heads, len(setting.cells)
    to_corrupt, to_clean = Sets(), Sets()
    for sets in (to_corrupt, to_clean):
        sets.add([np.zeros(n_heads, dtype=bool)] * n_cells)
    to_clean.add([np.ones(n_heads, dtype=bool)] * n_cells)
    return to_corrupt, to_clean


def _jobs(setting: Setting, scores: Scores, kinds: Sequence[Score], to_corrupt: Sets, to_clean: Sets) -> list[_Job]:
    """Return the headline first, then its ranking's other sizes, the other rankings, and what is not cross-fitted."""
    n_heads = setting.subject.adapter.info.n_heads
    headline = headline_size(n_heads)
    wanted: list[tuple[Score, int, bool]] = [("contrast", headline, True)]
    wanted += [("contrast", k, True) for k in set_sizes(n_heads) if k != headline]
    wanted += [(s, headline, True) for s in kinds if s != "contrast"]
    wanted += [("contrast", k, False) for k in (set_sizes(n_heads) if setting.options.same_pairs else (headline,))]
    jobs = []
    for number, (score, k, crossfit) in enumerate(wanted):
        lists = top_heads(scores, setting, score, k, crossfit=crossfit)
        columns = to_corrupt.add(lists), to_clean.add(lists)
        jobs.append(_Job(score, k, crossfit, lists, *columns, headline=number == 0))
    return jobs


def _with_draws(setting: Setting, job: _Job, to_corrupt: Sets, to_clean: Sets) -> _Job:
    """Return the headline's job with random sets of the same layers, for a sample of the pairs."""
    n = require_value(setting.options.draws, "draws")
    drawn, borrowed = layer_matched_draws(job.lists, setting.layer, n, setting.subject.seed)
    columns = tuple((to_corrupt.add(d, of_sample=True), to_clean.add(d, of_sample=True)) for d in drawn)
    return replace(job, draws=columns, borrowed=borrowed)


def _empty_record(setting: Setting, job: _Job) -> InterchangeRecord:
    """Return the record of a set of which nothing was measured: there is no gain of which it could have a share."""
    return InterchangeRecord(
        ranking=job.ranking,
        k=job.k,
        crossfit=job.crossfit,
        headline=job.headline,
        recovered=Interval(),
        lost=Interval(),
        heads=places(setting, np.all(job.lists, axis=0)),
    )


def _interchange_record(setting: Setting, job: _Job, table: Surprisals, sample: Ints) -> InterchangeRecord:
    """Return a set's record; random sets, and the set that they are compared with, are of the sample of pairs."""
    noun, seed = setting.noun, setting.subject.seed

    def measure_recovery(column: int) -> Floats:
        """Return [pairs] nats won back where the set comes from the clean run."""
        return table.corrupt - table.into_corrupt[:, column, 0]

    def measure_loss(column: int) -> Floats:
        """Return [pairs] nats lost where the set comes from the corrupt run."""
        return table.into_clean[:, column, 0] - table.clean

    def of_sample(above: Floats) -> float:
        """Divide what is measured on the sample by the gain of all pairs, which differs from 0."""
        return float(by_noun(noun[sample], above[sample]).mean() / by_noun(noun, table.gain).mean())

    moved = table.other_clean - table.into_clean[:, job.lost, 1]
    record = InterchangeRecord(
        ranking=job.ranking,
        k=job.k,
        crossfit=job.crossfit,
        recovered=ratio(noun, measure_recovery(job.recovered), table.gain, seed),
        lost=ratio(noun, measure_loss(job.lost), table.gain, seed),
        transfer=ratio(noun, moved, table.other_clean - table.other_corrupt, seed),
        heads=places(setting, np.all(job.lists, axis=0)),
    )
    if not job.draws:
        return record
    there, away = (
        [of_sample(measure_recovery(a)) for a, _ in job.draws],
        [of_sample(measure_loss(b)) for _, b in job.draws],
    )
    beyond, rank = against_draws(of_sample(measure_recovery(job.recovered)), there, job.lists, setting.layer)
    same, n_same = _same_answer(setting, job.lists, table)
    return record.model_copy(
        update={
            "headline": True,
            "n_draws": len(job.draws),
            "n_random_pairs": len(sample),
            "n_borrowed": job.borrowed,
            "random_recovered": tuple(there),
            "random_lost": tuple(away),
            "p_draws": beyond,
            "p_rank": rank,
            "same_answer": same,
            "n_same_answer": n_same,
            "same_category": _same_category(setting, job.lists, table),
        }
    )


def _same_answer(setting: Setting, lists: Sequence[Bools], table: Surprisals) -> tuple[Interval, int]:
    """Recovered when the set comes from a run that shows the same noun in another frame of equal length."""
    contexts = setting.subject.contexts
    rng = np.random.default_rng([setting.subject.seed, 63])
    kept: list[int] = []
    values: list[float] = []
    for number, cell in enumerate(setting.cells):
        able: list[tuple[int, Interchange]] = []
        for i, pair in enumerate(cell.pairs, start=setting.parts[number].start):
            same = np.flatnonzero((contexts.env == pair.noun) & (contexts.frame != pair.frame))
            alike = same[contexts.lengths[same] == contexts.lengths[pair.corrupt]]
            if alike.size:
                one, donor = setting.interchange(pair), contexts.rows[int(rng.choice(alike))]
                able.append((i, Interchange(one.receiver, donor, one.targets[:1], one.where)))
        if able:
            own, interchanges = zip(*setting.controls(able, number), strict=True)
            values += setting.surprisals(f"same-answer-{number}", interchanges, lists[number][None])[:, 0, 0].tolist()
            kept += own
    if not kept:
        return Interval(), 0
    chosen = np.array(kept)
    above = table.corrupt[chosen] - np.array(values)
    return ratio(setting.noun[chosen], above, table.gain[chosen], setting.subject.seed), len(kept)


def _same_category(setting: Setting, lists: Sequence[Bools], table: Surprisals) -> Interval:
    """Recovered over pairs of one category; their clean prompts are those of the pairs at large."""
    noun: list[int] = []
    above: list[float] = []
    below: list[float] = []
    for number, cell in enumerate(setting.cells):
        if not cell.same_category:
            continue
        chosen = np.stack([np.zeros_like(lists[number]), lists[number]])
        alike = setting.controls(cell.same_category, number)
        into = [setting.interchange(p).with_first_targets(1) for p in alike]
        values = setting.surprisals(f"same-category-{number}", into, chosen)[..., 0]
        place = {p.clean: i for i, p in enumerate(cell.pairs, start=setting.parts[number].start)}
        best = table.clean[[place[p.clean] for p in alike]]
        noun += [p.noun for p in alike]
        above += (values[:, 0] - values[:, 1]).tolist()
        below += (values[:, 0] - best).tolist()
    if not noun:
        return Interval()
    return ratio(np.array(noun), np.array(above), np.array(below), setting.subject.seed)


def pair_record(setting: Setting, scores: Scores, table: Surprisals, *, shares: bool) -> PairRecord:
    """Count the pairs and average their surprisals, in nats.

    Args:
        shares: shares of the gain were measured.
    """
    gain = bootstrap_mean(by_noun(setting.noun, table.gain), seed=setting.subject.seed)
    exact = scores.of_pairs.get("exact")
    alike = sum(len(setting.controls(c.same_category, k)) for k, c in enumerate(setting.cells))
    return PairRecord(
        n=len(setting.noun),
        n_nouns=len(np.unique(setting.noun)),
        n_frames=len({p.frame for p in setting.pairs}),
        n_left_out=sum(c.left_out for c in setting.cells),
        n_same_category=alike if shares else 0,
        n_exact=0 if exact is None else int((~np.isnan(exact).all(1)).sum()),
        clean=float(by_noun(setting.noun, table.clean).mean()),
        corrupt=float(by_noun(setting.noun, table.corrupt).mean()),
        gain=Interval(value=gain.value, ci_low=gain.ci_low, ci_high=gain.ci_high),
    )
