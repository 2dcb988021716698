"""The demonstration in the terminal: a first sentence while it runs, and a few lines for a newcomer at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groundbench.cli import console
from groundbench.results.text.numbers import number
from groundbench.results.text.sentences import headline
from groundbench.results.trajectory import Trajectory

WORLD = (
    "Three small models were trained on a made-up world, in which a thing is first shown (a token of its own) and "
    "then often named. Does seeing it change what the model says?"
)


def show_first(trajectory: Trajectory, page: Path) -> None:
    """Print what the first checkpoints say, while the others are still measured."""
    last = trajectory.points[-1]
    console.note(f"{trajectory.name} after {last.step:,} steps: {headline(last.result)}")
    console.note(f"a first page: {page}   (reload it; the rest is still trained and measured)")


def show_demo(trajectories: Sequence[Trajectory]) -> None:
    """Print what was found: a sentence for each model, and what is left of the gain without its heads."""
    console.say(WORLD)
    for trajectory in trajectories:
        last = trajectory.points[-1]
        console.say(console.bold(f"{trajectory.name}: "), headline(last.result))
        if (cut := _cut_sentence(trajectory)) is not None:
            console.say(cut)


def _cut_sentence(trajectory: Trajectory) -> str | None:
    """Return what cutting the detected heads does to a gain that was found; None where there is none to lose."""
    last = trajectory.points[-1].result
    cut = next((a for a in last.ablations if a.selection == "crossfit" and a.kind == "aggregate"), None)
    found = last.gain is not None and last.gain.ci_low is not None and last.gain.ci_low > 0
    if not found or cut is None or cut.gain_original is None or cut.gain_ablated is None:
        return None
    left = "" if cut.gain_control is None else f"; with as many others cut it is {number(cut.gain_control)}"
    return (
        f"  Without the heads that carry it ({number(cut.n_heads)} on average), the gain falls from "
        f"{number(cut.gain_original)} to {number(cut.gain_ablated)} nats{left}."
    )
