"""`groundbench compare A B`: the paired, clustered difference of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundbench.cli import console
from groundbench.cli.completion import complete_form, complete_run
from groundbench.cli.help_examples import examples
from groundbench.cli.options import Explain

if TYPE_CHECKING:
    from groundbench.measures.gain.compare import Comparison

EPILOG = examples(
    ("two models on one testbed", "groundbench compare runs/mine runs/other"),
    ("two training runs at their last checkpoints", "groundbench compare runs/demo/gpt2-mini runs/demo/lstm-mini"),
    ("a run and its null control", "groundbench compare runs/mine runs/mine-shuffled"),
    ("noun by noun", "groundbench compare runs/mine runs/other --by-noun"),
    ("one form of the ladder, for a script", "groundbench compare runs/a runs/b --env-form gloss --json"),
)


def compare(
    a: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="A run directory, its result.json, or a trajectory: its last checkpoint.",
            show_default=False,
            autocompletion=complete_run,
        ),
    ],
    b: Annotated[
        Path,
        typer.Argument(
            metavar="B", help="Another, on the same testbed.", show_default=False, autocompletion=complete_run
        ),
    ],
    env_form: Annotated[
        str | None,
        typer.Option(
            help="The form to compare.",
            autocompletion=complete_form,
            show_default="the first form of both runs",
            metavar="FORM",
        ),
    ] = None,
    by_noun: Annotated[
        bool, typer.Option("--by-noun", help="Also print every noun, largest difference first.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and the sign flips.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples, and sign flips.")] = 10_000,
    explain: Explain = False,
    json: Annotated[bool, typer.Option("--json", help="Print the whole comparison as JSON.")] = False,
) -> None:
    """Compare two runs: the difference in grounding gain, A - B, in nats, over the items both hold.

    Paired by item; 95 % interval and p are clustered by noun and frame. Runs on different testbeds
    are refused.
    """
    from groundbench.measures.gain.compare import compare_runs, last_checkpoint

    for run in (a, b):
        if last_checkpoint(run) != run:
            console.note(f"{run}: the last checkpoint of the trajectory, {last_checkpoint(run).name}")
    comparison = compare_runs(a, b, form=env_form, seed=seed, n_resamples=resamples)
    if json:
        typer.echo(comparison.model_dump_json(indent=1))
        return
    _print(comparison, by_noun, explain)


def _print(c: Comparison, by_noun: bool, explain: bool) -> None:
    from groundbench.cli.console import interval, nats
    from groundbench.measures.gain.comparison_text import compared_on, control_sentence, finding

    console.say(console.bold(finding(c)))
    if control := control_sentence(c):
        console.say(control)
    console.say(compared_on(c))
    rows = [
        (name, side.model, "" if side.step is None else str(side.step), nats(side.gain), "")
        for name, side in (("A", c.a), ("B", c.b))
    ]
    rows.append(("A - B", "", "", nats(c.difference), interval(c.ci_low, c.ci_high)))
    stepped = any(row[2] for row in rows)
    columns = ("run", "model", "step", "gain (nats)", "95 %")
    kept = [i for i, name in enumerate(columns) if name != "step" or stepped]
    console.show_table(
        [columns[i] for i in kept],
        [[row[i] for i in kept] for row in rows],
        right=("step", "gain (nats)"),
        legend=LEGEND if explain else None,
    )
    console.say(f"clustered by noun and frame: {_p_text(c.p_cluster)}; sign flips over nouns: {_p_text(c.p_signflip)}")
    if c.detectable is not None:
        console.say(f"smallest detectable difference: {nats(c.detectable)} nats (5 %, 80 % power)")
    for count, what in (
        (c.n_unpaired, "rows only one run holds were left out"),
        (c.a.n_failed, "surprisals of A could not be measured and were left out"),
        (c.b.n_failed, "surprisals of B could not be measured and were left out"),
    ):
        if count:
            console.say(f"{count} {what}")
    if by_noun:
        _show_nouns(c)
    else:
        console.note(f"next: groundbench compare {c.a.run} {c.b.run} --by-noun")


LEGEND = {
    "gain (nats)": "mean surprisal of a noun after another noun was shown, minus after it was shown itself",
    "95 %": "interval of the paired difference, clustered by noun and frame",
}


def _show_nouns(c: Comparison) -> None:
    from groundbench.cli.console import nats

    paired = [(n, n.difference) for n in c.by_noun if n.difference is not None]
    rows = [
        (noun.noun, noun.category, nats(noun.a), nats(noun.b), nats(difference))
        for noun, difference in sorted(paired, key=lambda pair: -abs(pair[1]))
    ]
    columns = ("noun", "category", "A", "B", "A - B")
    console.show_table(columns, rows, title="By noun (nats)", right=columns[2:])


def _p_text(value: float | None) -> str:
    from groundbench.results.text.numbers import p_phrase

    return p_phrase(value) or "p not testable"
