"""Cross-fitted ablation, the headline: the loss when aggregate heads are cut, and random ones are not (protocol §11).

Heads detected in at least half of the items of the other half of nouns and frames are edited for this half, whose nouns
are each other's mismatches; the edit is constant, so every gain of a set of heads costs one scoring pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import HeadEdit
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine.contexts import FormContexts, Ints, of_frames
from groundbench.engine.scoring import score
from groundbench.engine.subject import Subject, require_value
from groundbench.measures.ablation.control_heads import (
    FEW,
    different_draws,
    draw_control,
    draw_for_cells,
    draws_suffice,
    set_beyond_draws_p,
    set_rank_p,
)
from groundbench.measures.ablation.folds import Cell, make_cells
from groundbench.measures.ablation.head_edits import (
    EditStyle,
    constant_edit,
    mean_edit,
    mean_outputs,
    resample_edit,
    resampled_outputs,
)
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.gain.measure import GainItems, gain_items, noun_means
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import MIN_RATE, HeadRule, detect_heads, headline_rule, shares
from groundbench.results.base import flat
from groundbench.results.run import AblationRecord, Control
from groundbench.stats.significance import clustered_ratio, clustered_test

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
STRONGEST = "no head gathers in half of the items: the one with the largest mean share was cut"
LEAST_P = 1e-3
"""From fewer control draws than this no smaller p_draws is given: its t test holds at 5 %, but its tail is unknown."""


def crossfit(subject: Subject, saliency: HeadSaliency, options: AblationOptions) -> tuple[AblationRecord, ...]:
    """Return one record for each control, cross-fitted.

    Where no cell has a detected head nothing is cut: the records say so with `n_heads` 0 and null effects. Gather heads
    are rare in small models: where no cell has one, each cuts the head that gathers most, and the note says so.
    """
    rule = options.rule or headline_rule(saliency)
    controls = require_value(options.controls, "controls")
    cells, lists = crossfit_lists(subject, saliency, rule, options.n_nouns)
    tested, note = _tested_sample(subject, saliency, cells, options)
    if rule.kind == "gather" and not any(m.any() for m in lists):
        lists = [_strongest(saliency, rule, c) for c in cells]
        note = "; ".join(n for n in (note, STRONGEST) if n)
    items = gain_items(within_cells(subject.table, cells))
    base = AblationRecord(
        kind=rule.kind,
        selection="crossfit",
        denominator=rule.denominator,
        control=controls[0],
        mode=options.edit.mode,
        factor=options.edit.factor,
        positions=options.edit.positions,
        n_draws=0,
        n_heads=float(np.mean([m.sum() for m in lists])),
        n_no_head=sum(
            len(c.nouns) * _frames_per_noun(subject, c) for c, m in zip(cells, lists, strict=True) if not m.any()
        ),
        original=mean(items.matched),
        gain_original=mean(noun_means(items.gain)),
        nouns=tested,
        note=note,
    )
    if not any(m.any() for m in lists):
        none = "no head was detected in half of the items: nothing to cut"
        base = base.model_copy(update={"note": f"{note}; {none}" if note else none})
        return tuple(base.model_copy(update={"control": c}) for c in controls)
    tables = CellTables(subject, saliency, cells, options.edit)
    cut = gain_items(tables.under(lists))
    return tuple(_record_against(control, base, items, cut, tables, lists, options) for control in controls)


def cell_rows(table: SurprisalTable, cell: Cell) -> Bools:
    """Return [rows] whether both the noun shown and the noun asked for, and the frame, are the cell's."""
    return np.isin(table.frame, cell.frames) & np.isin(table.env, cell.nouns) & np.isin(table.target, cell.nouns)


def within_cells(table: SurprisalTable, cells: Sequence[Cell]) -> SurprisalTable:
    """Return the untouched table without rows that no cell holds: mismatches come from the noun's own half."""
    kept = np.any([cell_rows(table, cell) for cell in cells], axis=0)
    return replace(table, surprisal=np.where(kept, table.surprisal, np.nan))


def _tested_sample(
    subject: Subject, saliency: HeadSaliency, cells: Sequence[Cell], options: AblationOptions
) -> tuple[tuple[str, ...], str | None]:
    """Return the words of the nouns that are tested and how they were chosen; nothing where all items are."""
    if options.n_nouns is None:
        return (), None
    nouns = subject.contexts.nouns
    words = tuple(nouns[i].word for i in np.unique(np.concatenate([c.nouns for c in cells])))
    tested = sum(len(c.nouns) * _frames_per_noun(subject, c) for c in cells)
    sample = f"tested on {len(words)} of {len(nouns)} nouns and {tested} of {len(saliency)} items"
    return words, f"{sample}, drawn by seed {subject.seed}"


def crossfit_lists(
    subject: Subject, saliency: HeadSaliency, rule: HeadRule, nouns: int | None = None
) -> tuple[tuple[Cell, ...], list[Bools]]:
    """Return the cells and, for each, the heads detected in at least half of its fitting items.

    `nouns`: cells hold a seeded sample of this many nouns; heads are detected in all items of the other half.
    """
    cells = make_cells(subject.contexts, *item_places(subject.contexts, saliency), subject.seed, nouns)
    found = detect_heads(saliency, rule)
    return cells, [found[c.fit].mean(0) >= MIN_RATE if c.fit.any() else np.zeros(found.shape[1], bool) for c in cells]


def item_places(contexts: FormContexts, saliency: HeadSaliency) -> tuple[Ints, Ints]:
    """Return [items] each item's noun and frame, as indices of the contexts' nouns and frames."""
    noun = {n.word: i for i, n in enumerate(contexts.nouns)}
    frame = {f.id: i for i, f in enumerate(contexts.frames)}
    return np.array([noun[n] for n in saliency.nouns]), np.array([frame[f] for f in saliency.frames])


def _strongest(saliency: HeadSaliency, rule: HeadRule, cell: Cell) -> Bools:
    """Return the head with the largest mean share over a cell's fitting items; none where no share is defined."""
    found = shares(saliency, rule).share[cell.fit]
    known = ~np.isnan(found)
    mean_share = np.where(known, found, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    chosen: Bools = np.zeros(found.shape[1], dtype=bool)
    chosen[int(mean_share.argmax())] = bool(mean_share.max() > 0)
    return chosen


def control_lists(
    control: Control, lists: Sequence[Bools], cells: Sequence[Cell], saliency: HeadSaliency, seed: int
) -> tuple[list[Bools], int]:
    """Draw a control set for each cell; cells with the same heads share it. Also returns heads borrowed."""
    total = saliency.row_sum if saliency.total_sum is None else saliency.total_sum
    layer = saliency.head_layer.astype(np.int64)

    def draw(number: int, before: int) -> tuple[Bools, int]:
        rng, fit = np.random.default_rng([seed, before]), cells[number].fit
        strength = total[fit].astype(np.float64).mean(0) if fit.any() else total.astype(float).mean(0)
        return draw_control(control, lists[number], layer, strength, rng)

    return draw_for_cells(lists, draw)


@dataclass(frozen=True)
class Controls:
    """The items and the gain (nats, where measured) under each control draw made, of `different` that there are."""

    items: list[GainItems]
    gains: list[float]
    borrowed: int
    different: int


def cut_controls(
    control: Control, lists: Sequence[Bools], tables: CellTables, options: AblationOptions, ablated: float | None
) -> Controls:
    """Cut different control sets (see `control_lists`), up to the options' draws or until they settle the verdict.

    Args:
        ablated: the gain (nats) under the detected heads' cut, by which a verdict is settled.
    """
    saliency, seed = tables.saliency, tables.subject.seed * 10_007
    draws = different_draws(
        lambda n: control_lists(control, lists, tables.cells, saliency, seed + n), options.draws_of(control)
    )
    layer = saliency.head_layer.astype(np.int64)
    items: list[GainItems] = []
    gains: list[float] = []
    borrowed = 0
    for sets, lent in draws:
        items.append(gain_items(tables.under(sets)))
        borrowed += lent
        gain = mean(noun_means(items[-1].gain))
        gains += [] if gain is None else [gain]
        if options.every_draw or ablated is None:
            continue
        if draws_suffice(-ablated, [-g for g in gains], len(draws), control, lists, layer):
            break
    return Controls(items, gains, borrowed, len(draws))


def _record_against(
    control: Control,
    base: AblationRecord,
    items: GainItems,
    cut: GainItems,
    tables: CellTables,
    lists: list[Bools],
    options: AblationOptions,
) -> AblationRecord:
    wanted, ablated = options.draws_of(control), mean(noun_means(cut.gain))
    made, layer = cut_controls(control, lists, tables, options, ablated), tables.saliency.head_layer.astype(np.int64)
    drawn, known = made.items, made.gains
    surprisals = [mean(g.matched) for g in drawn]
    control_items = np.mean([g.gain for g in drawn], axis=0)
    removed = clustered_ratio(items.gain - cut.gain, items.gain, nested=items.nested)
    paired = clustered_test(cut.gain - control_items, nested=items.nested).p
    apart = None if ablated is None else set_beyond_draws_p(ablated, known, control, lists, layer)
    rank = None
    if ablated is not None and wanted > 1:
        rank = set_rank_p(-ablated, [-g for g in known], control, lists, layer)
    notes = [] if made.different == wanted else [f"there are only {made.different} different control sets"]
    if len(drawn) < made.different:
        notes.append(f"{len(drawn)} of {made.different} control draws were made: they settle the verdict")
    if apart is not None and len(known) < FEW:
        apart = max(apart, LEAST_P)
        notes.append(f"p_draws rests on {len(known)} draws: none below {LEAST_P:g} is given")
    return base.model_copy(
        update={
            "control": control,
            "n_draws": len(drawn),
            "n_borrowed": made.borrowed,
            "ablated": mean(cut.matched),
            "control_mean": _mean_of(surprisals),
            "control_draws": tuple(s for s in surprisals if s is not None),
            "gain_ablated": ablated,
            "gain_control": _mean_of(known),
            "gain_control_draws": tuple(known),
            **flat("gain_removed", removed),
            "p_cluster": paired,
            "p_draws": apart,
            "p_rank": rank,
            "note": "; ".join(n for n in (base.note, *notes) if n) or None,
        }
    )


@dataclass(frozen=True)
class CellTables:
    """Surprisal tables in which every cell's items are scored under that cell's own set of heads.

    A cell holds its own nouns only, shown and asked for, so all cells together cost one scoring pass. A set that was
    scored in the same cell is not scored again: in small models few control sets differ.
    """

    subject: Subject
    saliency: HeadSaliency
    cells: tuple[Cell, ...]
    edit: EditStyle
    scored: dict[str, SurprisalTable] = field(default_factory=dict)

    def under(self, sets: Sequence[Bools]) -> SurprisalTable:
        """Return the table of all cells, each under its own set; without a set, rows are the untouched ones."""
        table = self.subject.table
        values = np.full_like(table.surprisal, np.nan)
        for cell, chosen in zip(self.cells, sets, strict=True):
            own = cell_rows(table, cell)
            if chosen.any():
                scored = self._score_cell(cell, chosen)
                values[own] = scored.surprisal[np.isin(scored.target, cell.nouns)]
            else:
                values[own] = table.surprisal[own]
        return replace(table, surprisal=values)

    def _score_cell(self, cell: Cell, chosen: Bools) -> SurprisalTable:
        parts = [cell.frames.tobytes(), cell.nouns.tobytes(), chosen.tobytes()]
        parts.append(repr((self.edit, self.subject.seed)).encode())
        key = hashlib.sha256(b"|".join(parts)).hexdigest()[:16]
        if key not in self.scored:
            contexts = of_frames(self.subject.contexts, cell.frames, cell.nouns)
            self.scored[key] = score(
                self.subject.adapter,
                contexts,
                batch_tokens=self.subject.batch_tokens,
                edit=self._head_edit(contexts, chosen, cell),
                store=self.subject.store,
                stage=f"ablation/{self.subject.table.form}/{key}",
            )
            if self.subject.advance is not None:
                self.subject.advance(1)
        return self.scored[key]

    def _head_edit(self, contexts: FormContexts, chosen: Bools, cell: Cell) -> HeadEdit:
        adapter, budget = self.subject.adapter, self.subject.batch_tokens
        style = self.edit
        if style.mode == "mean":
            means = mean_outputs(adapter, self.subject.contexts, np.flatnonzero(cell.fit), budget)
            return mean_edit(chosen, means, contexts.rows, style.positions)
        if style.mode == "resample":
            return resample_edit(chosen, resampled_outputs(adapter, contexts, self.subject.seed, budget))
        return constant_edit(chosen, style)


def _frames_per_noun(subject: Subject, cell: Cell) -> int:
    shared = subject.table.frame_kind == "shared"
    return len(cell.frames) if shared else len(cell.frames) // max(1, len(cell.nouns))


def mean(values: Floats) -> float | None:
    """Compute the mean over what was measured; None if nothing was."""
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else None


def _mean_of(values: Sequence[float | None]) -> float | None:
    kept = [v for v in values if v is not None]
    return float(np.mean(kept)) if kept else None
