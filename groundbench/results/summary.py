"""A result as a few lines of text and as a small HTML table, for notebooks and `print`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

from groundbench.results.text.numbers import decimals_for, number
from groundbench.results.text.sentences import headline

if TYPE_CHECKING:
    from groundbench.results.run import FormRecord, Result
    from groundbench.results.trajectory import Trajectory

WIDTH = 80
"""Of the sentence: a terminal's usual columns."""
UNMEASURED = "-"
FORM_HEAD = ("form", "nouns", "gain (nats)", "heads per item", "gain with heads off (control)")
ALWAYS = 3
"""The first columns of a result stand there also where nothing was measured; others only where something was."""


def summarize(result: Result) -> str:
    """Write the sentence, the model, the testbed and one line a form; unmeasured is `-`, never 0."""
    return as_text(headline(result), _title(result), *_forms(result), _failed(result))


def as_html(result: Result) -> str:
    """Write the sentence, the model, the testbed and one table row a form."""
    return as_table(headline(result), _title(result), *_forms(result), _failed(result))


def summarize_trajectory(trajectory: Trajectory) -> str:
    """Write what the last checkpoint found and one line a checkpoint."""
    return as_text(*_of_trajectory(trajectory))


def trajectory_as_html(trajectory: Trajectory) -> str:
    """Write what the last checkpoint found and one table row a checkpoint."""
    return as_table(*_of_trajectory(trajectory))


def as_text(
    sentence: str, title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Iterable[str] = ()
) -> str:
    """Write a sentence in 80 columns, a title, and a table whose first column is text and the others numbers."""
    shown = [head, *rows]
    width = [max(len(r[i]) for r in shown) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in _cells(r, width)) for r in shown]
    below = [line for note in notes for line in wrap(note, WIDTH)]
    return "\n".join([*wrap(sentence, WIDTH), title, *(line.rstrip() for line in lines), *below])


def as_table(
    sentence: str, title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Iterable[str] = ()
) -> str:
    """Write the same as HTML: it takes the notebook's own style, and its text is no markup."""

    def line(tag: str, row: Sequence[str]) -> str:
        side = ("left", *("right" for _ in row[1:]))
        cells = zip(row, side, strict=True)
        return "<tr>" + "".join(f'<{tag} style="text-align:{s}">{escape(c)}</{tag}>' for c, s in cells) + "</tr>"

    table = line("th", head) + "".join(line("td", row) for row in rows)
    said = f"<p><b>{escape(sentence)}</b></p><p>{escape(title)}</p>"
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f'{said}<div style="overflow-x:auto"><table>{table}</table></div>{below}'


def _cells(row: Sequence[str], width: Sequence[int]) -> Iterable[tuple[int, tuple[str, int]]]:
    return enumerate(zip(row, width, strict=True))


def _title(result: Result) -> str:
    model, bed = result.model, result.testbed
    return f"{model.name} ({model.parameters:,} parameters) on {bed.name} {bed.version}, {bed.n_items:,} items"


def _failed(result: Result) -> list[str]:
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


def with_ends(value: float | None, low: float | None, high: float | None) -> str:
    """Return a number with its interval in brackets, in as many decimals as it needs; `-` for null."""
    if value is None:
        return UNMEASURED
    places = decimals_for(value, low, high)
    ends = "" if low is None or high is None else f" [{number(low, places)}, {number(high, places)}]"
    return f"{number(value, places)}{ends}"


def _of_trajectory(trajectory: Trajectory) -> tuple[str, str, list[str], list[list[str]]]:
    last, points = trajectory.points[-1], trajectory.points
    rows = [[f"{p.step:,}", *_form(p.result.headline)[2:4], number(p.heldout_loss) or UNMEASURED] for p in points]
    title = f"{trajectory.name} after step {last.step:,}, {len(points)} checkpoints on {last.result.testbed.name}"
    return headline(last.result), title, ["step", "gain (nats)", "heads per item", "held-out loss"], rows
