"""A result as a few lines of text and as a small HTML table, for notebooks and `print`."""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

from groundbench.results.text.sentences import headline

if TYPE_CHECKING:
    from groundbench.results.run import FormRecord, Result

Row = tuple[str, str, str, str, str]
WIDTH = 80
"""Of the sentence: a terminal's usual columns."""
HEADER: Row = ("form", "nouns", "gain (nats)", "heads per item", "gain with heads off (control)")


def summarize(result: Result) -> str:
    """Write the sentence, the model, the testbed and one line a form; unmeasured is `-`, never 0."""
    rows = [HEADER, *_rows(result)]
    width = [max(len(r[i]) for r in rows) for i in range(len(HEADER))]
    used = [i for i in range(len(HEADER)) if i < 3 or any(r[i] != "-" for r in rows[1:])]
    lines = ["  ".join(r[i].ljust(width[i]) if i == 0 else r[i].rjust(width[i]) for i in used).rstrip() for r in rows]
    failed = [f"failed: {f.where}: {f.reason}" for f in result.failures]
    return "\n".join([*wrap(headline(result), WIDTH), _title(result), *lines, *failed])


def as_html(result: Result) -> str:
    """Write the sentence, the model, the testbed and one table row a form."""
    cells = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in _rows(result))
    head = "".join(f"<th>{escape(h)}</th>" for h in HEADER)
    failed = "".join(f"<p>failed: {escape(f.where)}: {escape(f.reason)}</p>" for f in result.failures)
    said = f"<p><b>{escape(headline(result))}</b></p><p>{escape(_title(result))}</p>"
    return f"{said}<table><tr>{head}</tr>{cells}</table>{failed}"


def _title(result: Result) -> str:
    model, bed = result.model, result.testbed
    return f"{model.name} ({model.parameters:,} parameters) on {bed.name} {bed.version}, {bed.n_items:,} items"


def _rows(result: Result) -> list[Row]:
    return [_row(form) for form in result.forms]


def _row(form: FormRecord) -> Row:
    gain, heads, cut = form.gain, form.heads, form.ablations
    found = "-" if not heads or heads[0].mean_count is None else f"{heads[0].mean_count:.1f}"
    left = "-"
    if cut and cut[0].gain_ablated is not None and cut[0].gain_control is not None:
        left = f"{cut[0].gain_ablated:.2f} ({cut[0].gain_control:.2f})"
    shown = "-"
    if gain is not None and gain.mean is not None:
        shown = f"{gain.mean:.2f}"
        if gain.ci_low is not None and gain.ci_high is not None:
            shown += f" [{gain.ci_low:.2f}, {gain.ci_high:.2f}]"
    return (form.env_form, str(form.n_nouns), shown, found, left)
