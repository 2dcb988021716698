"""Tables of results: CSV, Markdown, LaTeX (booktabs), and the section of a model card."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from groundbench.export.metrics import metrics
from groundbench.results.run import Result

Value = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column: its name in files, its heading in print, its decimals (numbers only)."""

    key: str
    heading: str
    decimals: int | None = None


COLUMNS = (
    Column("model", "Model"),
    Column("step", "Step"),
    Column("testbed", "Testbed"),
    Column("env_form", "Form"),
    Column("n_nouns", "Nouns"),
    Column("grounding_gain", "Gain", 2),
    Column("ci_low", "CI low", 2),
    Column("ci_high", "CI high", 2),
    Column("p_cluster", "p", 4),
    Column("same_category_gain", "Same category", 2),
    Column("matched_surprisal", "Matched", 2),
    Column("mismatched_surprisal", "Mismatched", 2),
    Column("aggregate_heads", "Heads", 2),
    Column("gain_removed", "Removed", 2),
)


def table_rows(results: Sequence[Result]) -> list[dict[str, Value]]:
    """Return one row for each result and form; None where nothing was measured."""
    rows: list[dict[str, Value]] = []
    for r in results:
        found = metrics(r)
        for form in dict.fromkeys(m.form for m in found if m.id == "grounding_gain"):
            here = {m.id: m for m in found if m.form == form}
            gain = here["grounding_gain"]
            row: dict[str, Value] = {
                "model": r.model.name,
                "step": r.model.step,
                "testbed": f"{r.testbed.name} {r.testbed.version}",
                "env_form": form,
                "n_nouns": gain.n,
                "ci_low": gain.low,
                "ci_high": gain.high,
                "p_cluster": gain.p,
            }
            row |= {c.key: here[c.key].value for c in COLUMNS if c.key in here}
            rows.append(row)
    return rows


def to_csv(results: Sequence[Result]) -> str:
    """Write full precision, an empty field for the unmeasured, an apostrophe before text that looks like a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([c.key for c in COLUMNS])
    for row in table_rows(results):
        writer.writerow([_escape_formula(row.get(c.key)) for c in COLUMNS])
    return out.getvalue()


def _escape_formula(value: Value) -> Value:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t" else value


def to_markdown(results: Sequence[Result]) -> str:
    """Write a Markdown table of the columns that hold anything."""
    rows = table_rows(results)
    kept = _filled_columns(rows)
    lines = [_line(c.heading for c in kept), _line("---" if c.decimals is None else "---:" for c in kept)]
    lines += [_line(_markdown(_print(row.get(c.key), c)) for c in kept) for row in rows]
    return "\n".join(lines) + "\n"


def to_model_card(result: Result) -> str:
    """Write the section of a model card: the table, and an explanation of the number."""
    bed = result.testbed
    return (
        "## Symbol grounding\n\n"
        f"{to_markdown([result])}\n"
        "Grounding gain: how much more surprising, in nats, a noun's word is when another noun was shown instead of "
        f"its own (95% intervals clustered by noun and frame). Measured with groundbench on {_markdown(bed.name)} "
        f"{_markdown(bed.version)} (hash {_markdown(bed.hash)}), weights {_markdown(result.model.fingerprint)}.\n"
    )


def to_latex(results: Sequence[Result]) -> str:
    r"""Write a LaTeX table for \usepackage{booktabs}; a dash where nothing was measured."""
    rows = table_rows(results)
    kept = _filled_columns(rows)
    align = "".join("l" if c.decimals is None else "r" for c in kept)
    lines = [
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(_latex(c.heading) for c in kept) + r" \\",
        r"\midrule",
    ]
    lines += [" & ".join(_latex(_print(row.get(c.key), c)) for c in kept) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _filled_columns(rows: Sequence[dict[str, Value]]) -> list[Column]:
    return [c for c in COLUMNS if any(row.get(c.key) is not None for row in rows)]


def _print(value: Value, column: Column) -> str:
    if value is None:
        return "\u2013"
    if column.decimals is None:
        return str(value)
    if column.key == "p_cluster" and float(value) < 0.0001:
        return "<0.0001"
    return f"{float(value):.{column.decimals}f}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown(text: str) -> str:
    """Escape a text for a Markdown table: one line, no cell end, no markup, no HTML."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\|*_`[]" else c for c in text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "\u2013": "--",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in " ".join(text.split()))
