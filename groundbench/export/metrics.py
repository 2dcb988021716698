"""The numbers of a result that other formats carry, with their intervals and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

from groundbench.results.run import GainRecord, Result


@dataclass(frozen=True)
class Metric:
    """One measured number; `low` and `high` are its 95 % interval where there is one.

    `better` is `higher`, `lower`, or None for a number that describes and does not rank; `method` made the interval.
    """

    id: str
    name: str
    form: str
    value: float
    unit: str
    better: str | None = "higher"
    low: float | None = None
    high: float | None = None
    n: int | None = None
    p: float | None = None
    method: str = "t, clustered by noun and frame"


def metrics(result: Result) -> list[Metric]:
    """List every measured number of a result, headline form first; the unmeasured are left out, never 0."""
    first, *others = result.forms
    found = _gain(first.env_form, first.gain, first.n_nouns) + _mechanism(result)
    for form in others:
        found += _gain(form.env_form, form.gain, form.n_nouns)
    copy = result.copy_corrected
    if copy is not None and copy.ratio is not None:
        name = "Copy-corrected gain"
        found.append(
            Metric("copy_corrected_gain", name, "gloss", copy.ratio, "ratio", "higher", copy.ci_low, copy.ci_high)
        )
    ladder = result.ladder_score
    if ladder is not None and ladder.score is not None:
        shared = "+".join(f.env_form for f in ladder.forms)
        found.append(
            Metric(
                "ladder_score",
                "Ladder score",
                shared,
                ladder.score,
                "ratio",
                "higher",
                ladder.ci_low,
                ladder.ci_high,
                method="paired bootstrap over nouns and frames",
            )
        )
    return found


def _gain(form: str, g: GainRecord | None, n: int) -> list[Metric]:
    if g is None:
        return []
    rows = (
        ("grounding_gain", "Grounding gain", g.mean, "higher", g.ci_low, g.ci_high, g.p_cluster),
        (
            "same_category_gain",
            "Gain within the category",
            g.same_category,
            "higher",
            g.same_category_ci_low,
            g.same_category_ci_high,
            None,
        ),
        ("matched_surprisal", "Surprisal, own noun shown", g.matched, "lower", None, None, None),
        ("mismatched_surprisal", "Surprisal, another noun shown", g.mismatched, None, None, None, None),
    )
    return [
        Metric(id_, name, form, value, "nats", better, low, high, n, p)
        for id_, name, value, better, low, high, p in rows
        if value is not None
    ]


def _mechanism(result: Result) -> list[Metric]:
    form = result.testbed.env_form
    out = []
    if result.heads and (h := result.heads[0]).mean_count is not None:
        out.append(
            Metric(
                "aggregate_heads", "Aggregate heads", form, h.mean_count, "heads", None, h.ci_low, h.ci_high, h.n_items
            )
        )
    if result.ablations and (a := result.ablations[0]).gain_removed is not None:
        ends = (a.gain_removed_ci_low, a.gain_removed_ci_high)
        name = "Share of the gain removed by cutting the heads"
        out.append(Metric("gain_removed", name, form, a.gain_removed, "share", None, *ends, p=a.p_cluster))
    return out


def task_name(result: Result, form: str) -> str:
    """Return a task's name in other harnesses' formats."""
    return f"groundbench_{result.testbed.name}_{form}"


def forms(result: Result) -> list[tuple[str, int, int | None]]:
    """List the forms with anything measured: name, nouns, items."""
    return [(f.env_form, f.n_nouns, f.n_items) for f in result.forms]
