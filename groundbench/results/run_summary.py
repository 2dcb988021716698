"""The summary of a result, with a line for each form, and of a trajectory, with a line for each checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundbench.results.summary import UNMEASURED, Summary, with_ends
from groundbench.results.text.numbers import number
from groundbench.results.text.sentences import headline

if TYPE_CHECKING:
    from groundbench.results.run import FormRecord, Result
    from groundbench.results.trajectory import Trajectory

FORM_HEAD = ("form", "nouns", "gain (nats)", "heads per item", "gain with heads off (control)")
ALWAYS = 3
"""The first columns of a result stand there also where nothing was measured; others only where something was."""


def of_result(result: Result) -> Summary:
    """Return the headline, the model, the testbed and a row for each form."""
    return Summary(headline(result), _title(result), *_forms(result), _failure_lines(result))


def _title(result: Result) -> str:
    model, bed = result.model, result.testbed
    return f"{model.name} ({model.parameters:,} parameters) on {bed.name} {bed.version}, {bed.n_items:,} items"


def _failure_lines(result: Result) -> list[str]:
    return [f"failed: {f.where}: {f.reason}" for f in result.failures]


def _forms(result: Result) -> tuple[list[str], list[list[str]]]:
    """Return the head and a row for each form, without columns that nothing was measured for."""
    rows = [_form(form) for form in result.forms]
    kept = [i for i in range(len(FORM_HEAD)) if i < ALWAYS or any(r[i] != UNMEASURED for r in rows)]
    return [FORM_HEAD[i] for i in kept], [[r[i] for i in kept] for r in rows]


def _form(form: FormRecord) -> tuple[str, ...]:
    heads, cut = form.heads, form.ablations
    found = UNMEASURED if not heads or heads[0].mean_count is None else f"{heads[0].mean_count:.1f}"
    left = UNMEASURED
    if cut and cut[0].gain_ablated is not None and cut[0].gain_control is not None:
        left = f"{number(cut[0].gain_ablated)} ({number(cut[0].gain_control)})"
    return (form.env_form, str(form.n_nouns), _gain(form), found, left)


def _gain(form: FormRecord) -> str:
    gain = form.gain
    if gain is None or gain.mean is None:
        return UNMEASURED
    return with_ends(gain.mean, gain.ci_low, gain.ci_high)


def of_trajectory(trajectory: Trajectory) -> Summary:
    """Return the headline of the last checkpoint and a row for each."""
    last, points = trajectory.points[-1], trajectory.points
    rows = [[f"{p.step:,}", *_form(p.result.headline)[2:4], number(p.heldout_loss) or UNMEASURED] for p in points]
    title = f"{trajectory.name} after step {last.step:,}, {len(points)} checkpoints on {last.result.testbed.name}"
    return Summary(headline(last.result), title, ("step", "gain (nats)", "heads per item", "held-out loss"), rows)
