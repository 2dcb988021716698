"""Tables of the cause beside the published share: how few heads carry the gain, in which layers, and through which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from groundbench.report.elements import Table
from groundbench.results.causal import CausalRecord, HeadScore, Interval, KnockoutRecord
from groundbench.results.text.numbers import count, number, p_value, with_interval
from groundbench.studies.paper import evidence as ev
from groundbench.studies.paper.measure import Measured

PATHS: dict[Literal["direct", "read", "write"], str] = {
    "direct": "prediction position from ENV",
    "read": "prediction position from tokens after ENV",
    "write": "tokens after ENV from ENV",
}


def carriers_table(runs: Sequence[Measured]) -> Table:
    """Tabulate the first heads by contrast when they are interchanged (protocol §15), and the layers they sit in."""
    rows = []
    for m, seed, step, record in _last(runs):
        head, curve = record.headline, record.headline_curve
        if head is None:
            continue
        rows.append(
            (
                m.run.name,
                seed,
                count(step),
                _with_ends(record.pairs.gain),
                f"{head.k} of {record.n_heads}",
                _with_ends(head.recovered),
                number(head.random_mean),
                p_value(head.p_draws),
                _with_ends(head.lost),
                None if curve is None else _with_ends(curve.heads_for_half, 1),
                *(number(first_layer_mean(record, by, head.k), 1) for by in ("contrast", "share")),
                str(m.run.layers),
            )
        )
    head_row = (
        "Model",
        "Seed",
        "Step",
        "Gain of the pairs",
        "Heads",
        "Recovered",
        "Random heads",
        "p draws",
        "Lost",
        "Heads for half",
        "Mean layer, by contrast",
        "Mean layer, by share",
        "Layers",
    )
    title = (
        "The first heads by contrast, cross-fitted, interchanged between prompts: shares of the gain, nats; intervals "
        "over nouns; the mean layer of as many heads ranked by contrast and by the published share"
    )
    return Table(title, head_row, tuple(rows), frozenset({0}))


def knockout_table(runs: Sequence[Measured]) -> Table:
    """Tabulate the window of layers in which cutting edges between tokens costs most of the gain (protocol §15)."""
    rows = []
    for m, seed, step, record in _last(runs):
        for path, words in PATHS.items():
            most = costliest_cut(record, path)
            if most is not None:
                rows.append(
                    (
                        m.run.name,
                        seed,
                        count(step),
                        words,
                        f"{most.first_layer}-{most.last_layer} of {m.run.layers}",
                        _with_ends(most.lost),
                    )
                )
    head = ("Model", "Seed", "Step", "Edges cut", "Layers", "Lost")
    title = "The layers in which cutting edges between tokens, in all heads, costs most: share of the gain, over nouns"
    return Table(title, head, tuple(rows), frozenset({0, 3, 4}))


def first_layer_mean(record: CausalRecord, by: Literal["contrast", "share"], k: int) -> float | None:
    """Return the mean layer of the first k heads by a score; None where fewer have one."""
    known = [(value, s) for s in record.scores if (value := getattr(s, by)) is not None]
    first: list[HeadScore] = [s for _, s in sorted(known, key=lambda pair: -pair[0])[:k]]
    return sum(s.layer for s in first) / k if len(first) == k else None


def costliest_cut(record: CausalRecord, path: Literal["direct", "read", "write"]) -> KnockoutRecord | None:
    """Return the window of layers in which cutting the edges of one path, in all heads, loses most; None if not cut."""
    found = [
        (lost, k) for k in record.knockout if (k.step, k.heads) == (path, "all") and (lost := k.lost.value) is not None
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _last(runs: Sequence[Measured]) -> Iterator[tuple[Measured, str, int, CausalRecord]]:
    """Yield, of each seed, the record of the last checkpoint at which cause was measured in any seed."""
    for m in runs:
        step = ev.last_with(m, ev.causes_of)
        for folder, trajectory in zip(m.run.seeds, m.trajectories, strict=True):
            for point in trajectory.points:
                record = ev.causes_of(point)
                if point.step == step and record is not None:
                    yield m, folder.name.removeprefix("seed-"), point.step, record


def _with_ends(found: Interval, decimals: int = 2) -> str | None:
    return with_interval(found.value, found.ci_low, found.ci_high, decimals)
