"""Grounding information gain: from a SurprisalTable to per-item, per-noun and overall gains (protocol §5).

One item is a target noun v in a frame n: D[v, n] = mean over the other nouns u of s(v | c_n(u)) - s(v | c_n(v)), in
nats, over the mismatches the table holds (all of them, or a seeded sample). G(v) is its mean over frames, G the mean
of G(v) over nouns. Differences are taken row by row before they are averaged, so that a model that cannot see the
ENV slot has a gain of exactly 0.

The clustered test and the noun bootstrap take items of different nouns for exchangeable. An ENV form that raises or
lowers every noun alike (a main effect of u) adds variance to the items of a complete table but cancels in their mean,
so that the test is then conservative, never too eager.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.pairing import pair_rows
from groundbench.results.run import CategoryGain, GainRecord, NounGain
from groundbench.stats.significance import N_RESAMPLES, bootstrap_mean, clustered_interval, clustered_test, signflip_p

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GainItems:
    """A table reduced to its items, each array [V, K] in nats: one row for each noun, NaN where nothing was measured.

    Shared frames: column k is frame k. Per-noun frames (`nested`): column k is the noun's own k-th frame, so columns
    of different nouns have nothing in common and tests cluster by noun alone.

    Attributes:
        gain: mean over mismatches of the surprisal difference.
        same_category: the same over mismatches of the target's own CDI category.
        matched, mismatched: surprisal of the noun when its own, or another's, ENV form was shown.
    """

    gain: Floats
    same_category: Floats
    matched: Floats
    mismatched: Floats
    nested: bool


def item_gains(table: SurprisalTable) -> Floats:
    """Return D[v, k] in nats, [V, K]: see `GainItems.gain`. Clustered tests (and paired differences) take it."""
    return gain_items(table).gain


def noun_gains(table: SurprisalTable) -> Floats:
    """Return G(v) in nats, [V]; NaN for a noun without a valid item. Bootstraps over nouns take it."""
    return noun_means(item_gains(table))


def noun_means(items: Floats) -> Floats:
    """Return [V] from [V, K]: each noun's mean over its valid items, NaN if it has none."""
    valid = ~np.isnan(items)
    return _mean(np.where(valid, items, 0.0).sum(1), valid.sum(1))


def gain_items(table: SurprisalTable) -> GainItems:
    """Reduce a table to its items. Rows of a per-noun frame whose target is another noun are no items of it."""
    column, n_columns = item_columns(table)
    shape = (len(table.nouns), n_columns)
    own = table.frame_nouns[table.frame]
    is_item = (own < 0) | (own == table.target)
    item = table.target * n_columns + column[table.frame]

    matched = np.full(shape[0] * shape[1], np.nan)
    diagonal = is_item & (table.env == table.target)
    matched[item[diagonal]] = table.surprisal[diagonal]

    difference = table.surprisal - matched[item]
    usable = is_item & (table.env != table.target) & ~np.isnan(difference)
    category = np.unique(np.array(table.categories), return_inverse=True)[1].astype(np.int64)
    alike = usable & (category[table.env] == category[table.target])

    def mean(values: Floats, rows: Bools) -> Floats:
        total = np.bincount(item[rows], weights=values[rows], minlength=matched.size)
        return _mean(total, np.bincount(item[rows], minlength=matched.size)).reshape(shape)

    return GainItems(
        gain=mean(difference, usable),
        same_category=mean(difference, alike),
        matched=matched.reshape(shape),
        mismatched=mean(table.surprisal, usable),
        nested=table.frame_kind == "per-noun",
    )


def measure_gain(
    table: SurprisalTable,
    *,
    seed: int = 0,
    ideal: float | None = None,
    probe: SurprisalTable | None = None,
    n_resamples: int = N_RESAMPLES,
) -> GainRecord:
    """Return everything reported of a gain: overall, same-category, per noun and category, interval and tests.

    Args:
        table: the scored items of one ENV form.
        seed: of the bootstrap and the sign flips.
        ideal: the ideal observer's gain on the same testbed, in nats, where it is known.
        probe: the same items (or some of them) scored on the probe's numeric path; `probe_gap` is its gain minus
            this table's, over the rows both have.
        n_resamples: bootstrap resamples and sign flips.

    Returns:
        A record in which what cannot be estimated is None: the interval with one noun, the clustered test with one
        noun or one (shared) frame, the frames' standard deviation for per-noun frames, which no two nouns share.
    """
    items = gain_items(table)
    by_noun = noun_means(items.gain)
    overall = clustered_interval(items.gain, nested=items.nested)
    conditional = bootstrap_mean(by_noun, n_resamples=n_resamples, seed=seed)
    alike = clustered_interval(items.same_category, nested=items.nested)
    test = clustered_test(items.gain, nested=items.nested)
    matched, mismatched = noun_means(items.matched), noun_means(items.mismatched)
    return GainRecord(
        mean=overall.value,
        ci_low=overall.ci_low,
        ci_high=overall.ci_high,
        ci_nouns_low=conditional.ci_low,
        ci_nouns_high=conditional.ci_high,
        matched=mean_or_none(matched),
        mismatched=mean_or_none(mismatched),
        p_cluster=test.p,
        p_signflip=signflip_p(by_noun, n_flips=n_resamples, seed=seed),
        same_category=alike.value,
        same_category_ci_low=alike.ci_low,
        same_category_ci_high=alike.ci_high,
        per_frame_sd=None if items.nested else _sd_or_none(noun_means(items.gain.T)),
        probe_gap=None if probe is None else _probe_gap(table, probe),
        ideal=ideal,
        n_failed=table.n_failed,
        detectable=test.detectable,
        by_noun=_by_noun(table, by_noun, matched, mismatched),
        by_category=_by_category(table.categories, items),
    )


def item_columns(table: SurprisalTable) -> tuple[Ints, int]:
    """Return the column of `GainItems` of each frame, and their number: the frame itself, or its rank among its
    noun's."""
    n_frames = len(table.frames)
    if table.frame_kind == "shared":
        return np.arange(n_frames), n_frames
    order = np.argsort(table.frame_nouns, kind="stable")
    owners = table.frame_nouns[order]
    first = np.searchsorted(owners, owners, side="left")
    rank = np.empty(n_frames, dtype=np.int64)
    rank[order] = np.arange(n_frames) - first
    return rank, int(rank.max(initial=-1)) + 1


def _by_noun(table: SurprisalTable, gains: Floats, matched: Floats, mismatched: Floats) -> tuple[NounGain, ...]:
    columns = zip(table.nouns, table.categories, gains, matched, mismatched, strict=True)
    return tuple(
        NounGain(noun=n, category=c, gain=or_none(g), matched=or_none(m), mismatched=or_none(u))
        for n, c, g, m, u in columns
    )


def _by_category(categories: tuple[str, ...], items: GainItems) -> tuple[CategoryGain, ...]:
    """Summarise the gain of each category's nouns; no interval of a category with one noun."""
    own = np.array(categories)
    found = []
    for name in np.unique(own):
        gain = clustered_interval(items.gain[own == name], nested=items.nested)
        found.append(
            CategoryGain(category=str(name), n_nouns=gain.n, gain=gain.value, ci_low=gain.ci_low, ci_high=gain.ci_high)
        )
    return tuple(found)


def _probe_gap(table: SurprisalTable, probe: SurprisalTable) -> float | None:
    scored, probed = pair_rows(table, probe)
    return mean_or_none(noun_means(item_gains(probed) - item_gains(scored)))


def _mean(total: Floats | Ints, count: Ints) -> Floats:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def or_none(value: float) -> float | None:
    """Return None for what was not measured (NaN)."""
    return None if np.isnan(value) else float(value)


def mean_or_none(values: Floats) -> float | None:
    """Compute the mean of what was measured; None if nothing was."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None


def _sd_or_none(values: Floats) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.std(ddof=1)) if values.size > 1 else None
