"""Can these rates of a screening have been measured? Answers stay at home, so only what must hold is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from groundbench.leaderboard.submission.bounds import ROUNDING, interval_faults
from groundbench.results.base import Record
from groundbench.results.risk_card import Estimated, RiskCard

DIFFERENCES = frozenset({"lowered", "change", "gap", "within", "prr"})
"""Estimates that can be negative."""


def card_fault(card: RiskCard) -> str | None:
    """Return the first thing in a risk card that cannot be so, as a clause; None if nothing is found."""
    return next(_faults(card), None)


def _faults(card: RiskCard) -> Iterator[str]:
    q = card.questions
    if card.model.parameters is None:
        yield "the model's size is unknown: a model behind an API has no weights that could be checked"
    if not card.model.fingerprint:
        yield "the weights have no fingerprint"
    if not card.errors or card.errors[0].kind is not None or card.errors[0].form is not None:
        yield "errors[0] is not over all questions"
    if q.n_groups > q.n:
        yield f"questions.n_groups is {q.n_groups}, of {q.n} questions"
    for i, e in enumerate(card.errors):
        yield from _share(f"errors[{i}].error", e.error, q.n)
    if len({(e.kind, e.form) for e in card.errors}) != len(card.errors):
        yield "errors are given twice for a kind and form"
    if len({s.name for s in card.signals}) != len(card.signals):
        yield "signals names a signal twice"
    for i, s in enumerate(card.signals):
        for name in ("auroc", "auroc_within", "auroc_test"):
            found = getattr(s, name)
            if found is not None:
                yield from _share(f"signals[{i}].{name}", found, q.n)
    yield from _every_estimate(card)
    yield from _heads(card)


def _every_estimate(card: RiskCard) -> Iterator[str]:
    """Yield estimates outside what their kind can be: shares and their differences, but for gains in nats."""
    todo: list[tuple[str, str, object]] = [("", "", card)]
    while todo:
        at, name, value = todo.pop()
        if isinstance(value, Estimated):
            low = -1.0 if name in DIFFERENCES else 0.0
            ends = [e for e in (value.value, value.low, value.high) if e is not None]
            if name != "gain" and not all(low - ROUNDING <= e <= 1 + ROUNDING for e in ends):
                yield f"{at} is {max(ends, key=abs):g}; expected a number from {low:g} to 1"
            if value.low is not None and value.high is not None and value.low > value.high:
                yield f"{at}: its interval is from {value.low:g} to {value.high:g}"
        elif isinstance(value, Record):
            inner = ((k, getattr(value, k)) for k in type(value).model_fields)
            todo += [(f"{at}.{k}" if at else k, k, v) for k, v in inner if isinstance(v, Record | tuple)]
        elif isinstance(value, tuple):
            todo += [(f"{at}[{i}]", name, v) for i, v in enumerate(value) if isinstance(v, Record | tuple)]


def _heads(card: RiskCard) -> Iterator[str]:
    """Yield heads that the model does not have."""
    sizes = Counter[int]()
    for mixer in card.model.mixers:
        sizes[mixer.layer] += mixer.n_heads
    for name in ("heads", "carriers"):
        used = getattr(card, name)
        stray = (
            next((h for h in used.heads if h[1] >= sizes.get(h[0], 0)), None) if used is not None and sizes else None
        )
        if stray is not None:
            yield f"{name} names head {stray[1]} of layer {stray[0]}, which the model does not have"


def _share(name: str, found: Estimated, most: int) -> Iterator[str]:
    """Yield what of a share's estimate cannot be so: its range, its interval, how many it is of."""
    for end in (found.value, found.low, found.high):
        if end is not None and not 0 <= end <= 1:
            yield f"{name} is {end:g}; a share lies between 0 and 1"
            return
    if found.n > most:
        yield f"{name} is of {found.n} answers, but there are {most} questions"
    yield from interval_faults(name, found.value, found.low, found.high)
