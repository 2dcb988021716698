"""Aggregate and gather heads (protocol §10): detected in each instance, counted with the three references beside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.results.run import Denominator, HeadCount, HeadsRecord, Stability
from groundbench.stats.significance import clustered_interval, clustered_ratio, items_table

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
HeadKind = Literal["aggregate", "gather"]
Ranking = Literal["share", "magnitude"]

THRESHOLD = 0.30
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
MIN_RATE = 0.5
"""A head is in a list if it is detected in at least this share of the items."""
MIN_LIFT = 2.0
MIN_MAGNITUDE = 0.005
FLOOR = 1e-4
"""Least part of the whole model's saliency that an edge must carry under a bare share: below it a share is of noise."""


@dataclass(frozen=True)
class HeadRule:
    """The definition of an aggregate or a gather head in one instance (protocol §10).

    Attributes:
        kind: `aggregate`: ENV form -> prediction position; `gather`: into the ENV form from tokens outside it.
        denominator: the edge's share is taken of the prediction position's `row`, or of the head's `total` saliency.
        threshold: the least share.
        diagonal: whether flow of a position to itself is part of the denominator.
        ranking: `share` (the paper's), or `magnitude`: also lift >= 2 and >= 0.5 % of the model's saliency.
        floor: the least part of the whole model's saliency under `share`, since a share is without scale; by default
            1e-4 for aggregate and 0.5 % for gather heads, which are noise below it. 0: the share alone, as published.
    """

    kind: HeadKind = "aggregate"
    denominator: Denominator = "row"
    threshold: float = THRESHOLD
    diagonal: bool = True
    ranking: Ranking = "share"
    floor: float | None = None

    @property
    def least(self) -> float:
        """The least part of the model's saliency."""
        if self.ranking == "magnitude":
            return MIN_MAGNITUDE
        return self.floor if self.floor is not None else MIN_MAGNITUDE if self.kind == "gather" else FLOOR

    def __post_init__(self) -> None:
        if self.kind == "gather" and self.denominator != "total":
            raise BadInputError("gather heads need the denominator 'total': their edge is not in the prediction row")


@dataclass(frozen=True)
class Shares:
    """[items, heads], NaN where undefined (a head with no saliency at all, a prompt with no room for a null span).

    Attributes:
        share: the edge's part of the head's denominator.
        lift: share over the ENV form's part of the prompt's tokens.
        magnitude: the edge's part of the whole model's denominator.
    """

    share: Floats
    lift: Floats
    magnitude: Floats


def shares(saliency: HeadSaliency, rule: HeadRule, *, null: bool = False) -> Shares:
    """Share, lift and magnitude of every head's edge; of the equally long span of other words if `null`.

    Raises:
        BadInputError: the rule needs `total` saliency and only rows were measured.
    """
    edge, below = _edge(saliency, rule, null).astype(float), _denominator(saliency, rule)
    share = np.divide(edge, below, out=np.full_like(edge, np.nan), where=below > 0)
    model = below.sum(1, keepdims=True)
    magnitude = np.divide(edge, model, out=np.full_like(edge, np.nan), where=model > 0)
    return Shares(share, share / saliency.expected_share, magnitude)


def detect_heads(saliency: HeadSaliency, rule: HeadRule, *, null: bool = False) -> Bools:
    """[items, heads]: whether each head is an aggregate (or gather) head in each item. Raises as `shares` does."""
    return _passes(shares(saliency, rule, null=null), rule)


def headline_rule(saliency: HeadSaliency) -> HeadRule:
    """`row` shares; where ENV forms have several tokens, which a bare share does not tell apart, with magnitude."""
    several = bool((saliency.span.min(1) > 1).any())
    return HeadRule(ranking="magnitude" if several else "share")


def standard_rules(saliency: HeadSaliency) -> tuple[HeadRule, ...]:
    """Return the headline, then every other definition that was measured: both denominators, rankings, kinds."""
    rankings: tuple[Ranking, ...] = ("share", "magnitude")
    rules = [headline_rule(saliency)]
    for denominator, ranking in product(saliency.denominators, rankings):
        rules += [HeadRule("aggregate", denominator, THRESHOLD, diagonal, ranking) for diagonal in (True, False)]
    if "total" in saliency.denominators:
        rules += [HeadRule("gather", "total", THRESHOLD, diagonal) for diagonal in (True, False)]
        rules.append(HeadRule("gather", "total", floor=0.0))
    rules += [HeadRule(denominator=denominator, floor=0.0) for denominator in saliency.denominators]
    return tuple(dict.fromkeys(rules))


def describe_heads(saliency: HeadSaliency, rule: HeadRule, *, untrained: HeadSaliency | None = None) -> HeadsRecord:
    """Return counts under one definition, with their references (protocol §10).

    Counts are averaged over instances; intervals are two-way clustered by noun and frame.

    Args:
        untrained: the same prompts in the same architecture untrained; without it `untrained_count` is None.
    """
    found = shares(saliency, rule)
    passed = _passes(found, rule)
    counts, layers = (
        items_table(values.sum(1).astype(float), saliency.nouns, saliency.frames)
        for values in (passed, passed * saliency.head_layer)
    )
    count, layer = clustered_interval(counts), clustered_ratio(layers, counts)
    return HeadsRecord(
        kind=rule.kind,
        denominator=rule.denominator,
        threshold=rule.threshold,
        selection=rule.ranking,
        floor=rule.least,
        diagonal=rule.diagonal,
        n_items=len(saliency),
        mean_count=count.value,
        ci_low=count.ci_low,
        ci_high=count.ci_high,
        null_count=_null_count(saliency, rule),
        even_count=_even_count(saliency, rule),
        untrained_count=None if untrained is None else float(detect_heads(untrained, rule).sum(1).mean()),
        mean_layer=float((passed * saliency.head_layer).sum() / passed.sum()) if passed.any() else None,
        mean_layer_ci_low=layer.ci_low,
        mean_layer_ci_high=layer.ci_high,
        by_head=_by_head(saliency, found, passed, aggregate=rule.kind == "aggregate"),
        stability=tuple(
            Stability(threshold=t, mean_count=float(_passes(found, replace(rule, threshold=t)).sum(1).mean()))
            for t in THRESHOLDS
        ),
    )


def all_head_records(saliency: HeadSaliency, untrained: HeadSaliency | None = None) -> tuple[HeadsRecord, ...]:
    """Return every standard definition's record, the headline first."""
    return tuple(describe_heads(saliency, rule, untrained=untrained) for rule in standard_rules(saliency))


def _edge(saliency: HeadSaliency, rule: HeadRule, null: bool) -> npt.NDArray[np.float32]:
    if rule.kind == "aggregate":
        return saliency.null_edge if null else saliency.edge
    edge = saliency.null_gathered if null else saliency.gathered
    if edge is None:
        raise BadInputError("gather heads need 'total' saliency; only the prediction rows were measured")
    return edge


def _denominator(saliency: HeadSaliency, rule: HeadRule) -> Floats:
    chosen: npt.NDArray[np.float32] | None
    if rule.denominator == "row":
        chosen = saliency.row_sum if rule.diagonal else saliency.row_offdiagonal
    else:
        chosen = saliency.total_sum if rule.diagonal else saliency.total_offdiagonal
    if chosen is None:
        raise BadInputError("the denominator 'total' was not measured; only the prediction rows were")
    return chosen.astype(float)


def _passes(found: Shares, rule: HeadRule) -> Bools:
    passed: Bools = found.share >= rule.threshold  # False where undefined
    if rule.ranking == "magnitude":
        passed = passed & (found.lift >= MIN_LIFT)
    return passed & (found.magnitude >= rule.least)


def _null_count(saliency: HeadSaliency, rule: HeadRule) -> float | None:
    """Compute the mean count for the null span over the items that have room for one; None if none has."""
    edge = _edge(saliency, rule, null=True)
    room = ~np.isnan(edge).all(1)
    return float(detect_heads(saliency, rule, null=True)[room].sum(1).mean()) if room.any() else None


def _even_count(saliency: HeadSaliency, rule: HeadRule) -> float | None:
    """Mean count of gather heads if the ENV form attended evenly: what passes without a pattern of attention.

    Only what stands later reads the ENV form, so the gradients of every earlier head sit there, and a bare share
    counts heads of noise; an equally long span of other words, which nothing reads, does not show them.
    """
    if rule.kind != "gather" or not rule.diagonal or saliency.even_gathered is None or saliency.even_total is None:
        return None
    even = replace(saliency, gathered=saliency.even_gathered, total_sum=saliency.even_total)
    return float(detect_heads(even, rule).sum(1).mean())


def _by_head(saliency: HeadSaliency, found: Shares, passed: Bools, *, aggregate: bool) -> tuple[HeadCount, ...]:
    """Return one entry for each head whose share is defined in some item."""
    counts = []
    layers, numbers, kinds = saliency.head_layer, saliency.head_number, saliency.head_kind
    for column in np.flatnonzero(~np.isnan(found.share).all(0)):
        share, lift, magnitude = (float(np.nanmean(x[:, column])) for x in (found.share, found.lift, found.magnitude))
        counts.append(
            HeadCount(
                layer=int(layers[column]),
                head=int(numbers[column]),
                kind=kinds[column],
                signed=float(saliency.signed_edge[:, column].mean()) if aggregate else None,
                rate=float(passed[:, column].mean()),
                share=share,
                lift=lift,
                magnitude=magnitude,
            )
        )
    return tuple(counts)
