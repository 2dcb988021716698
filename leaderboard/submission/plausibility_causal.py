"""Can this record of causes have been measured? Its heads, forms and counts are those of the model and the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from groundbench.leaderboard.submission.bounds import is_near
from groundbench.leaderboard.submission.form_views import FormView
from groundbench.leaderboard.submission.strict_json_yaml import shorten
from groundbench.measures.causal.curve import areas, heads_for_half
from groundbench.results.causal import (
    CausalRecord,
    CurveRecord,
    HeadIdentity,
    HeadPlace,
    HeadScore,
    InterchangeRecord,
    Interval,
)

Faults = Iterator[str]


def causal_faults(record: CausalRecord, sizes: Counter[int], views: Mapping[str, FormView]) -> Faults:
    """Yield what cannot be so, as clauses.

    Args:
        sizes: how many heads each layer of the model has; `views`: the result's forms by name.
    """
    total = sum(sizes.values())
    view = views.get(record.env_form)
    if view is None:
        yield f"env_form is {shorten(record.env_form)}, no form of the result"
        return
    if record.n_heads > total:
        yield f"n_heads is {record.n_heads}; the model has {total} heads"
    yield from _places(record, sizes)
    pairs = record.pairs
    if pairs.n_nouns > view.n_nouns or (view.n_items is not None and pairs.n > view.n_items):
        yield f"pairs are {pairs.n} of {pairs.n_nouns} nouns; the form has {view.n_items} items of {view.n_nouns}"
    for name in ("clean", "corrupt"):
        if getattr(pairs, name) < 0:
            yield f"pairs.{name} is {getattr(pairs, name):g}; a surprisal is never negative"
    yield from _ends("pairs.gain", pairs.gain)
    for i, found in enumerate(record.interchange):
        yield from (f"interchange[{i}].{f}" for f in _interchange(found, record.n_heads))
    for i, curve in enumerate(record.curves):
        yield from (f"curves[{i}].{f}" for f in _curve(curve, record.n_heads))
    stray = next((c.donor_form for c in record.matrix if c.donor_form not in views), None)
    if stray is not None:
        yield f"matrix names {shorten(stray)}, no form of the result"
    if len({c.donor_form for c in record.matrix}) != len(record.matrix):
        yield "matrix names a form twice"
    for i, cell in enumerate(record.matrix):
        yield from _ends(f"matrix[{i}].recovered", cell.recovered)
    for i, cut in enumerate(record.knockout):
        if not cut.first_layer <= cut.last_layer <= max(sizes, default=0):
            yield f"knockout[{i}] is of the layers {cut.first_layer} to {cut.last_layer}, not all the model's"
        yield from _ends(f"knockout[{i}].lost", cut.lost)


def _places(record: CausalRecord, sizes: Counter[int]) -> Faults:
    """Yield heads that the model does not have, and heads named twice."""
    named: dict[str, Sequence[HeadScore | HeadIdentity | HeadPlace]] = {
        "scores": record.scores,
        "identity": record.identity,
        "opposed": record.opposed,
        **{f"interchange[{i}].heads": found.heads for i, found in enumerate(record.interchange)},
    }
    for name, heads in named.items():
        stray = next((h for h in heads if h.head >= sizes.get(h.layer, 0)), None)
        if stray is not None:
            yield f"{name} names head {stray.head} of layer {stray.layer}, which the model does not have"
        if len({(h.layer, h.head) for h in heads}) != len(heads):
            yield f"{name} names a head twice"


def _interchange(found: InterchangeRecord, n_heads: int) -> Faults:
    if found.k > n_heads:
        yield f"k is {found.k}, of {n_heads} heads"
    for name in ("recovered", "lost", "transfer", "same_answer", "same_category"):
        yield from _ends(name, getattr(found, name))
    for name in ("random_recovered", "random_lost"):
        if len(getattr(found, name)) > found.n_draws:
            yield f"{name} has {len(getattr(found, name))} draws, n_draws is {found.n_draws}"


def _curve(curve: CurveRecord, n_heads: int) -> Faults:
    sizes = [p.k for p in curve.points]
    if sizes != sorted(set(sizes)) or (sizes and sizes[-1] > n_heads):
        yield f"points are not of growing numbers of the {n_heads} heads"
        return
    half = curve.heads_for_half
    for end in (half.value, half.ci_low, half.ci_high):
        if end is not None and not 0 <= end <= n_heads:
            yield f"heads_for_half is {end:g}, of {n_heads} heads"
    yield from _ends("heads_for_half", half)
    if curve.ranking != "random":  # there the numbers are means over orders, each with points of its own
        yield from _curve_faults(curve, n_heads)


def _curve_faults(curve: CurveRecord, n_heads: int) -> Faults:
    """Yield numbers of a curve that its points do not give."""
    known = [(p.k, p.f) for p in curve.points if p.f is not None]
    sizes = np.array([k for k, _ in known], dtype=np.int64)
    f = np.array([v for _, v in known], dtype=np.float64)
    half = heads_for_half(sizes, f)
    said = curve.heads_for_half.value
    if said is not None and not is_near(said, half):
        yield f"heads_for_half is {said:g}, but its points give {half:g}"
    if len(sizes) > 1 and sizes.size == len(curve.points):
        for i, name in enumerate(("cpr", "cmd")):
            stated, found = getattr(curve, name), areas(sizes / n_heads, f)[i]
            if stated is not None and not is_near(stated, found):
                yield f"{name} is {stated:g}, but its points give {found:g}"


def _ends(name: str, found: Interval) -> Faults:
    """Yield an interval with one end, or whose ends are reversed; a bootstrap's may leave the value itself out."""
    low, high = found.ci_low, found.ci_high
    if (low is None) != (high is None):
        yield f"{name}: one end of its interval is missing"
    elif low is not None and high is not None and low > high:
        yield f"{name}: its interval is from {low:g} to {high:g}"
