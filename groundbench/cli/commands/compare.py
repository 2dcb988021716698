"""`groundbench compare A B`: the paired, clustered difference of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundbench.cli.options import examples

if TYPE_CHECKING:
    from groundbench.measures.gain.compare import Comparison

EPILOG = examples(
    ("two models on one testbed", "groundbench compare runs/gpt2-mini runs/lstm-4l-mini"),
    ("two checkpoints, noun by noun", "groundbench compare runs/step-2000 runs/step-500 --by-noun"),
    ("one rung of the ladder, for a script", "groundbench compare runs/a runs/b --env-form gloss --json"),
)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run directory, or its result.json.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another, on the same testbed.", show_default=False)],
    env_form: Annotated[
        str | None, typer.Option(help="ENV form to compare; the form both runs headline if left out.")
    ] = None,
    by_noun: Annotated[
        bool, typer.Option("--by-noun", help="Also print every noun, largest difference first.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and the sign flips.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples, and sign flips.")] = 10_000,
    json: Annotated[bool, typer.Option("--json", help="Print the whole comparison as JSON.")] = False,
) -> None:
    """Difference in grounding gain, A - B, in nats, over the items both runs hold.

    Paired by item; 95 % interval and p are clustered by noun and frame. Runs on different testbeds
    are refused.
    """
    from groundbench.measures.gain.compare import compare_runs

    comparison = compare_runs(a, b, form=env_form, seed=seed, n_resamples=resamples)
    if json:
        typer.echo(comparison.model_dump_json(indent=1))
        return
    _print(comparison, by_noun)


def _print(c: Comparison, by_noun: bool) -> None:
    from rich.table import Table

    from groundbench.cli.console import out

    console = out()
    table = Table(title=f"{c.testbed} · {c.env_form} · {c.n_nouns} nouns, {c.n_items} items", title_justify="left")
    for column, justify in (("", "left"), ("model", "left"), ("step", "right"), ("gain (nats)", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for name, side in (("A", c.a), ("B", c.b)):
        table.add_row(name, side.model, "" if side.step is None else str(side.step), _nats(side.gain))
    interval = "" if c.ci_low is None else f" [{_nats(c.ci_low)}, {_nats(c.ci_high)}]"
    table.add_section()
    table.add_row("A - B", "", "", _nats(c.difference) + interval)
    console.print(table)
    console.print(f"p = {_p(c.p_cluster)} (clustered by noun and frame), {_p(c.p_signflip)} (sign flips over nouns)")
    console.print(f"smallest detectable difference: {_nats(c.detectable)} nats (5 %, 80 % power)")
    for count, what in (
        (c.n_unpaired, "rows only one run holds were left out"),
        (c.a.n_failed, "surprisals of A could not be measured and were left out"),
        (c.b.n_failed, "surprisals of B could not be measured and were left out"),
    ):
        if count:
            console.print(f"{count} {what}")
    if by_noun:
        console.print(_noun_table(c))


def _noun_table(c: Comparison) -> object:
    from rich.table import Table

    table = Table("noun", "category", title="By noun (nats)", title_justify="left")
    for column in ("A", "B", "A - B"):
        table.add_column(column, justify="right")
    paired = [(n, n.difference) for n in c.by_noun if n.difference is not None]
    for noun, difference in sorted(paired, key=lambda pair: -abs(pair[1])):
        table.add_row(noun.noun, noun.category, _nats(noun.a), _nats(noun.b), _nats(difference))
    return table


def _nats(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _p(value: float | None) -> str:
    return "not testable" if value is None else "< 0.0001" if value < 1e-4 else f"{value:.4f}"
