"""The reproduction as findings: each claim with its verdicts, one number and one plot, for people who read one page."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from groundbench.report.elements import Table
from groundbench.studies.paper.verdict import VERDICTS, Claim, Verdict

NUMBER = r"([−-]?\d[\d.]*(?: \[[^\]]*\])?)"
CLAIM_OF_ALL = "all"
"""The model of a claim about all architectures together."""


class Shown(NamedTuple):
    """The number and the plot of a claim.

    Attributes:
        quantity: names the number, with its unit.
        pattern: finds the number in a claim's `because`.
        plot: the end of its file's name, after the model's name or, with `of_all`, after `all`.
    """

    quantity: str
    pattern: str
    plot: str | None = None
    of_all: bool = False


SHOWN: Mapping[str, Shown] = {
    "emerges": Shown("gain at the end (nats)", rf"{NUMBER} at step \d+$", "gain", of_all=True),
    "grows": Shown("growth of the gain in the second half (nats)", f"G grew by {NUMBER}", "surprisal"),
    "cooccurrence": Shown("fall of R² from its peak to the end", f"falls by {NUMBER}", "r2", of_all=True),
    "heads-rise": Shown("more heads at the end than at first", f"^{NUMBER} more heads", "heads", of_all=True),
    "middle": Shown("part of the detections in the middle half of the layers", f"^{NUMBER} of the detections"),
    "ablation-item": Shown("surprisal added beyond random heads (nats)", f"adds {NUMBER} nats more", "ablation-item"),
    "ablation": Shown("surprisal added beyond random heads (nats)", f"adds {NUMBER} nats more", "ablation"),
    "few-heads": Shown("share of the gain recovered beyond random heads", f"recover {NUMBER} of the gain more"),
    "ablation-grows": Shown("growth of the gap (nats)", f": {NUMBER} more", "ablation-item-gain"),
    "gather": Shown("part of the gain lost beyond random heads", f"takes {NUMBER} of the gain more"),
    "lens": Shown("part of the gain's rise in the middle half of the layers", f"^{NUMBER} of the gain's rise", "lens"),
    "null": Shown("gain at the end (nats)", f"^G {NUMBER}", "surprisal"),
    "architectures": Shown("highest gain of an LSTM (nats)", rf"lstm[^:;]*: G {NUMBER}", "loss", of_all=True),
    "reads-object": Shown("saliency of a patch of the object over one outside it", f"has {NUMBER} times"),
    "goes-with-patches": Shown("part of the gain left after the exchange", f"changed places, {NUMBER} of what"),
}


class Finding(NamedTuple):
    """One claim for a reader.

    Attributes:
        verdicts: the models of each verdict that any has.
        numbers: of each model that has one, with its interval.
        plot: the file's name; None where none was drawn.
    """

    claim: str
    verdicts: Mapping[Verdict, tuple[str, ...]]
    quantity: str
    numbers: Mapping[str, str]
    plot: str | None


def findings(claims: Sequence[Claim], plots: Collection[str]) -> list[Finding]:
    """Return one finding for each claim, in order.

    Args:
        plots: the names of the files that were drawn.
    """
    by_claim: dict[str, list[Claim]] = {}
    for claim in claims:
        by_claim.setdefault(claim.id, []).append(claim)
    return [_finding(of_one, plots) for of_one in by_claim.values()]


def number_of(claim: Claim) -> str | None:
    """Return the number that a verdict rests on, with its interval; of several that fit, the largest."""
    shown = SHOWN.get(claim.id)
    found = re.findall(shown.pattern, _without_seeds(claim.because)) if shown else []
    return max(found, key=_value, default=None)


def findings_table(found: Sequence[Finding]) -> Table:
    """Tabulate findings: claim, verdicts, number."""
    rows = tuple((f.claim, verdict_text(f), _numbers_text(f)) for f in found)
    return Table("Findings", ("Claim", "Verdict", "Number"), rows, frozenset(range(3)))


def markdown(found: Sequence[Finding], images: str) -> str:
    """Write findings as Markdown, each with its plot.

    Args:
        images: what the plots' addresses begin with, as seen from the document.
    """
    parts: list[str] = []
    for f in found:
        numbers = _numbers_text(f)
        parts.append(f"**{f.claim}.** {verdict_text(f)}.{'' if numbers is None else f' {numbers}.'}")
        if f.plot is not None:
            parts.append(f"![{f.claim}]({images}{f.plot})")
    return "\n\n".join(parts)


def verdict_text(found: Finding) -> str:
    """Return the verdicts with the models that have them; without names for a claim about all."""
    told = []
    for verdict, models in found.verdicts.items():
        named = "" if models == (CLAIM_OF_ALL,) else f" ({', '.join(models)})"
        told.append(f"{verdict}{' at this size' if verdict == 'not testable' else ''}{named}")
    text = "; ".join(told)
    return text[:1].upper() + text[1:]


def _numbers_text(found: Finding) -> str | None:
    each = [n if model == CLAIM_OF_ALL else f"{model} {n}" for model, n in found.numbers.items()]
    return f"{found.quantity[:1].upper()}{found.quantity[1:]}: {', '.join(each)}" if each else None


def _finding(claims: Sequence[Claim], plots: Collection[str]) -> Finding:
    of_verdict = {v: tuple(c.model for c in claims if c.verdict == v) for v in VERDICTS}
    numbers = {c.model: n for c in claims if (n := number_of(c)) is not None}
    shown = SHOWN.get(claims[0].id)
    decided = [c for c in claims if c.verdict != "not testable" and c.model in numbers]
    first = sorted(decided, key=lambda c: _value(numbers[c.model]), reverse=True)
    return Finding(
        claims[0].claim,
        {v: models for v, models in of_verdict.items() if models},
        shown.quantity if shown else "",
        numbers,
        _plot(shown, [*first, *reversed(claims)], plots),
    )


def _plot(shown: Shown | None, claims: Sequence[Claim], plots: Collection[str]) -> str | None:
    """Return the first plot that was drawn: of all models, or of one of the claims' models, in their order."""
    if shown is None or shown.plot is None:
        return None
    names = [CLAIM_OF_ALL] if shown.of_all else [c.model for c in claims]
    return next((file for name in names if (file := f"{name}-{shown.plot}.svg") in plots), None)


def _without_seeds(because: str) -> str:
    """Return a claim's reason without its remark on few seeds."""
    return re.sub(r" \(\d+ seeds?: [^)]*\)", "", because)


def _value(number: str) -> float:
    return float(number.partition(" ")[0].replace("−", "-"))
