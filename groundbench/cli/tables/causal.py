"""Causes as a table in the terminal: what few heads carry, beside random ones (protocol §15)."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench.cli import console
from groundbench.cli.console import nats, p_value
from groundbench.results.causal import CausalRecord, Interval
from groundbench.results.text.sentences import carried_sentence


def show_causal(records: Sequence[CausalRecord]) -> None:
    """Return the headline's sentence of the first form, a row for each form, and the cross-form matrix."""
    if not records:
        return
    numbers = ("pairs", "gain", "heads", "recovered", "random", "p rank", "p draws", "lost", "same answer", "for half")
    rows = []
    for r in records:
        i = r.headline
        curve = r.headline_curve
        half = None if curve is None else curve.heads_for_half.value
        if i is None:
            continue
        rows.append(
            (
                r.env_form,
                str(r.pairs.n),
                nats(r.pairs.gain.value, 2),
                f"{i.k} of {r.n_heads}",
                _share(i.recovered.value),
                _ends(i.recovered),
                _share(i.random_mean),
                p_value(i.p_rank),
                p_value(i.p_draws),
                _share(i.lost.value),
                _share(i.same_answer.value),
                "–" if half is None else f"{half:.1f}",
            )
        )
    columns = ("form", *numbers[:4], "95 %", *numbers[4:])
    console.show_table(columns, rows, title="What the first heads by contrast carry, cross-fitted", right=numbers)
    _show_matrix(records)
    console.out().print(carried_sentence(records[0]), markup=False)


def _show_matrix(records: Sequence[CausalRecord]) -> None:
    kept = [r for r in records if r.matrix]
    if not kept:
        return
    donors = [c.donor_form for c in kept[0].matrix]
    rows = [(r.env_form, *(_share(c.recovered.value) for c in r.matrix)) for r in kept]
    title = "Recovered by each form's heads with outputs from another form (columns)"
    console.show_table(("heads of", *donors), rows, title=title, right=tuple(donors))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _ends(value: Interval) -> str:
    return "" if value.ci_low is None or value.ci_high is None else f"[{value.ci_low:.0%}, {value.ci_high:.0%}]"
