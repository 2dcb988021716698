"""Can these rates of a screening have been measured? Answers stay at home, so only what must hold is checked."""

from __future__ import annotations

from collections.abc import Iterator

from groundbench.leaderboard.submission.bounds import interval_faults
from groundbench.results.risk_card import Estimated, RiskCard


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
        for name in ("chance", "constant", "yes_true"):
            value = getattr(e, name)
            if value is not None and not 0 <= value <= 1:
                yield f"errors[{i}].{name} is {value:g}; a share is between 0 and 1"
    for i, s in enumerate(card.signals):
        for name in ("auroc", "auroc_within", "auroc_test"):
            found = getattr(s, name)
            if found is not None:
                yield from _share(f"signals[{i}].{name}", found, q.n)


def _share(name: str, found: Estimated, most: int) -> Iterator[str]:
    """Yield what of a share's estimate cannot be so: its range, its interval, how many it is of."""
    for end in (found.value, found.low, found.high):
        if end is not None and not 0 <= end <= 1:
            yield f"{name} is {end:g}; a share is between 0 and 1"
            return
    if found.n > most:
        yield f"{name} is of {found.n} answers, but there are {most} questions"
    yield from interval_faults(name, found.value, found.low, found.high)
