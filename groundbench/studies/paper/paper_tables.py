"""The paper's numbers with ours below them: surprisal, R², heads, ablation and lens along the training."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench.evaluation.seeds import over_some_seeds
from groundbench.report.elements import Table
from groundbench.report.sections.seeds import cell, cut_of, seeds_cut
from groundbench.results.text.numbers import count, number, p_value
from groundbench.results.trajectory import AblationSeedMean, MeanPoint, RegressionSeedMean
from groundbench.studies.paper import published_numbers as paper
from groundbench.studies.paper.measure import Measured

Row = tuple[str | None, ...]
PAPER = f"paper: {paper.LAYERS} layers"
UNPUBLISHED = "not published"


def matched_table(runs: Sequence[Measured]) -> Table:
    """Return matched surprisal along the training; the paper gives its standard deviation over seeds, we intervals."""
    rows: list[Row] = [
        (
            PAPER,
            count(step),
            f"{step / paper.STEPS:.0%}",
            f"{value:.2f} (sd {paper.MATCHED_SD[step]:.2f})",
            *(UNPUBLISHED,) * 2,
        )
        for step, value in paper.MATCHED.items()
    ]
    rows += [
        (*_place(m, p), cell(p.matched), cell(p.mismatched), cell(p.gain))
        for m in runs
        for p in m.mean.points
        if p.gain is not None
    ]
    head = ("Model", "Step", "Of training", "Matched", "Mismatched", "Gain")
    return Table("Surprisal along the training, nats", head, tuple(rows))


def regression_table(runs: Sequence[Measured]) -> Table:
    """Tabulate R² of the gain on co-occurrence beside var(G) (protocol §7): R² falls also where G saturates."""
    rows = [
        (*_place(m, p), *(_r2(p, window, unit) for window, unit in CELLS), cell(p.gain_variance))
        for m in runs
        for p in m.mean.points
        if p.regressions
    ]
    head = ("Model", "Step", "Of training", *(f"R², {w}, {u}s" for w, u in CELLS), "Variance of G over nouns")
    title = "Adjusted R² of the gain on log(1 + co-occurrence); over pairs, of the difference in surprisal"
    return Table(title, head, tuple(rows))


CELLS = (("chunk", "noun"), ("utterances", "noun"), ("chunk", "pair"), ("utterances", "pair"))


def _r2(point: MeanPoint, window: str, unit: str) -> str | None:
    def is_it(r: RegressionSeedMean) -> bool:
        return (r.window, r.statistic, r.unit) == (window, "log-count", unit)

    return cell(next((r.r2_adjusted for r in point.regressions if is_it(r)), None))


def heads_table(runs: Sequence[Measured]) -> Table:
    """Tabulate aggregate heads an item beside the two counts that say how specific they are (protocol §10)."""
    rows: list[Row] = [
        (
            PAPER,
            count(c.step),
            f"{c.step / paper.STEPS:.0%}",
            number(c.heads),
            *(UNPUBLISHED,) * 2,
            number(c.mean_layer),
        )
        for c in paper.CUTS
    ]
    rows += [
        (*_place(m, p), cell(p.heads), cell(p.null_heads), cell(p.untrained_heads), cell(p.mean_layer))
        for m in runs
        for p in m.mean.points
        if p.heads is not None
    ]
    head = ("Model", "Step", "Of training", "Heads", "For another span", "Untrained", "Mean layer")
    return Table("Aggregate heads an item", head, tuple(rows))


def paper_table(runs: Sequence[Measured]) -> Table:
    """Return the paper's table of ablations, with ours below it at each checkpoint that was cut."""
    rows: list[Row] = [
        (
            PAPER,
            count(c.step),
            f"{c.step / paper.STEPS:.0%}",
            UNPUBLISHED,
            str(paper.SEEDS),
            number(c.heads),
            number(c.mean_layer / paper.LAYERS),
            number(c.ablated),
            number(c.control),
            number(c.original),
            "***",
        )
        for c in paper.CUTS
    ]
    for m in runs:
        for point in m.mean.points:
            found = cut_of(point, "instance")
            if found is not None:
                rows.append(_own_row(m, point, found))
    head = (
        "Model",
        "Step",
        "Of training",
        "Share of",
        "Seeds",
        "Heads",
        "Depth",
        "Ablated",
        "Control",
        "Original",
        "p",
    )
    title = (
        "Heads detected in each item are cut for that item (as published; selection-biased): matched surprisal, nats; "
        "each row is of the seeds in which there were heads to cut"
    )
    return Table(title, head, tuple(rows), frozenset({0, 3}))


def _own_row(m: Measured, point: MeanPoint, found: AblationSeedMean) -> Row:
    heads, layer = (over_some_seeds(s, found.cut) if found.cut else s for s in (point.heads, point.mean_layer))
    return (
        *_place(m, point),
        found.denominator,
        seeds_cut(found),
        cell(heads),
        None if layer is None else number(layer.mean / m.run.layers),
        cell(found.ablated),
        cell(found.control_mean),
        cell(found.original),
        ", ".join(p_value(p) or "-" for p in found.p_cluster),
    )


def lens_table(runs: Sequence[Measured]) -> Table:
    """Tabulate the lens by layer: the paper's matched surprisal, ours, and the gain, which isolates grounding.

    Layers stand as a part of the depth, so that models of unlike depth can be laid side by side.
    """
    rows: list[Row] = [
        (PAPER, count(step), str(n), number(n / paper.LAYERS), number(value), UNPUBLISHED)
        for step, values in paper.LENS.items()
        for n, value in enumerate(values, 1)
    ]
    for m in runs:
        for p in m.mean.points:
            rows += [
                (m.run.name, count(p.step), str(r.layer), number(r.layer / m.run.layers), cell(r.matched), cell(r.gain))
                for r in p.lens
            ]
    head = ("Model", "Step", "Layer", "Depth", "Matched", "Gain")
    return Table("The tuned lens by layer, nats", head, tuple(rows))


def _place(m: Measured, point: MeanPoint) -> tuple[str, str | None, str]:
    return m.run.name, count(point.step), f"{point.step / m.run.steps:.0%}"
