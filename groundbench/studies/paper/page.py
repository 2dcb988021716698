"""The reproduction as a page and as Markdown: verdicts first, then the evidence, then how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundbench.report.elements import Section, Table
from groundbench.report.markdown import table as as_markdown
from groundbench.report.pages import render_seeds
from groundbench.studies.children.run_order import TITLE as ORDER_TITLE
from groundbench.studies.children.run_order import RunOrder, order_figures, order_table, orders_text
from groundbench.studies.paper import cause_tables, image_page, paper_tables, tables
from groundbench.studies.paper import findings as read
from groundbench.studies.paper import published_numbers as paper
from groundbench.studies.paper.figures import Drawn
from groundbench.studies.paper.measure import Measured
from groundbench.studies.paper.verdict import Claim, count_verdicts
from groundbench.tasks.corpora import load_manifest, select_nouns

TITLE = "The paper's claims on this corpus"
IMAGES = "pictures/"
"""The plots of models that see images; no run's name has a slash."""
CHILDREN = "children/"
"""The plots of the order of grounding beside children's ages."""
RULES = (
    "Where a criterion asks for an interval above a bound, a claim is not reproduced if none of the interval lies "
    "above it, and not testable if only a part does. What is claimed of heads, layers or co-occurrence is not "
    "testable on a model whose gain has no interval above 0 at its last checkpoint. Intervals of one seed are over "
    "nouns."
)


@dataclass(frozen=True)
class Study:
    """All that a page tells.

    Attributes:
        commands: what was run, line by line.
        at_least: how often the corpus shows and says a noun that is asked for.
        corpus: None where only models that see images were measured.
        pictures, claims_on_images: models that see images, and what was claimed of them.
        notes: what else is to be known of how it was made.
        orders: the order in which each model's nouns ground, the nulls' among them.
    """

    measured: tuple[Measured, ...]
    claims: tuple[Claim, ...]
    corpus: Path | None
    commands: tuple[str, ...]
    at_least: int
    image_runs: tuple[Measured, ...] = ()
    claims_on_images: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()
    orders: tuple[RunOrder, ...] = ()

    def sentence(self) -> str:
        """Count the claims by verdict."""
        counts = f"Of {len(self.claims)} claims, model by model: {count_verdicts(self.claims)}."
        return " ".join(
            [
                *([counts] if self.measured else []),
                *([image_page.sentence(self.claims_on_images)] if self.image_runs else []),
            ]
        )

    @property
    def every(self) -> tuple[Measured, ...]:
        """All that was measured."""
        return (*self.measured, *self.image_runs)

    def evidence(self) -> list[Table]:
        """Return the tables behind the verdicts."""
        own = [m for m in self.measured if not m.run.shuffled]
        main = [m for m in own if m.run.kind != "lstm"]
        found = [
            paper_tables.matched_table(main),
            paper_tables.heads_table(main),
            paper_tables.paper_table(main),
            tables.crossfit_table(main),
            cause_tables.carriers_table(main),
            cause_tables.knockout_table(main),
            paper_tables.regression_table(own),
            paper_tables.lens_table(main),
            tables.lstm_table(self.measured),
        ]
        return [table for table in found if table.rows]

    def recipe_tables(self) -> list[Table]:
        """Return the recipes, and the corpus with its nouns, if there is one."""
        recipes = tables.recipes_table(self.every)
        if self.corpus is None:
            return [recipes]
        kept = len(select_nouns(self.corpus, max(1, self.at_least)).kept) if self.at_least else 100
        return [recipes, tables.corpus_table(load_manifest(self.corpus), kept, self.at_least)]


def html(study: Study) -> str:
    """Return the study as one self-contained page."""
    made = Section(
        "made", "How it was made", tables=tuple(study.recipe_tables()), notes=(RULES, *study.notes, *study.commands)
    )
    seen = [image_page.section(study.image_runs, study.claims_on_images)] if study.image_runs else []
    if not study.measured:
        return render_seeds([m.mean for m in study.image_runs], image_page.TITLE, "", [], [*seen, made])
    sections = [
        Section("evidence", "Evidence, beside the paper's numbers where it gives them", tables=tuple(study.evidence())),
        *_order_section(study),
        *seen,
        made,
    ]
    told = read.findings_table(read.findings(study.claims, ()))
    first = [told, tables.verdict_table(study.claims), tables.models_table(study.measured)]
    return render_seeds([m.mean for m in study.measured], TITLE, study.sentence(), first, sections)


def _order_section(study: Study) -> list[Section]:
    """Return the part on children's order; empty where no model has one."""
    if not study.orders:
        return []
    lead = orders_text(study.orders)
    figures, tables = tuple(order_figures(study.orders)), (order_table(study.orders),)
    return [Section("children", ORDER_TITLE, lead=lead, figures=figures, tables=tables)]


def markdown(study: Study, figures: dict[str, list[Drawn]], images: str) -> str:
    """Return the study as Markdown; `images` is the folder of the plots, relative to the document.

    Args:
        figures: as `write_figures` returns them; those of models that see images under `IMAGES`.
    """
    parts = [
        "# Reproduction",
        f"{study.sentence()} Written by `groundbench reproduce`; every verdict is decided by code "
        f"(`groundbench/studies/paper/`) from the criterion beside it. {RULES}",
        *(_of_text(study, figures, images) if study.measured else []),
    ]
    if study.image_runs:
        drawn = _images(figures.get(IMAGES, []), images)
        parts += image_page.markdown(study.image_runs, study.claims_on_images, drawn)
    parts += [
        "## How it was made",
        *map(as_markdown, study.recipe_tables()),
        *study.notes,
        _commands(study),
        _measurement_note(study),
    ]
    parts.append(_environment_note(study))
    return "\n\n".join(parts) + "\n"


def _of_text(study: Study, figures: dict[str, list[Drawn]], images: str) -> list[str]:
    """Write the part on models that read text only."""
    parts = [
        "Intervals are 95 % t-intervals over seeds, of fewer than three seeds over nouns where that is said, and "
        "otherwise left out, as they are where all seeds have the same value, as of one untrained model for all; "
        "surprisals and gains are in nats. The paper's runs have "
        f"{paper.LAYERS} layers, {paper.STEPS:,} steps and {paper.SEEDS} seeds: the numbers to compare are orders and "
        "signs, not sizes.",
        *(early_end_note(m) for m in study.measured if m.run.stopped),
        "## Findings",
        read.markdown(read.findings(study.claims, {d.file for drawn in figures.values() for d in drawn}), f"{images}/"),
        "## Verdicts",
        as_markdown(tables.short_table(study.claims)),
        as_markdown(tables.verdict_table(study.claims)),
        "## Models",
        as_markdown(tables.models_table(study.measured)),
        *_images(figures.get("", []), images),
    ]
    for m in study.measured:
        if found := figures.get(m.run.name):
            parts += [f"## {m.run.name}", *_images(found, images)]
    if study.orders:
        parts += [f"## {ORDER_TITLE}", orders_text(study.orders)]
        parts += [*_images(figures.get(CHILDREN, []), images), as_markdown(order_table(study.orders))]
    return [*parts, "## Evidence, beside the paper's numbers where it gives them", *map(as_markdown, study.evidence())]


def _images(found: Sequence[Drawn], folder: str) -> list[str]:
    """Return the plots in order; one with a caption of its own is a paragraph of its own."""
    parts, row = [], []
    for title, file, caption in found:
        row.append(f"![{title}]({folder}/{file})")
        if caption:
            parts += ["\n".join(row[:-1]), f"{row[-1]}\n\n*{title}.* {caption}"]
            row = []
    return [part for part in (*parts, "\n".join(row)) if part]


def _commands(study: Study) -> str:
    lines = "\n".join(study.commands)
    return f"```\n{lines}\n```"


def _measurement_note(study: Study) -> str:
    points = [p for m in study.every for t in m.trajectories for p in t.points]
    seconds = sum(p.result.environment.seconds or 0 for p in points)
    protocol = study.measured[0].trajectories[0].points[0].result.protocol if study.measured else {}
    of_text = ", of models that read text only" if study.image_runs else ""
    drawn = f", with {protocol.get('mismatches', 'all')} mismatches for each item{of_text}, drawn by a seed"
    sample = drawn if protocol else ""
    unfinished = [f"{m.run.name} {', '.join(m.run.unfinished)}" for m in study.every if m.run.unfinished]
    left = f" Still trained, so left out: {'; '.join(unfinished)}." if unfinished else ""
    left += "".join(f" {early_end_note(m)}" for m in study.every if m.run.stopped)
    return (
        f"{len(points)} checkpoints were measured in {seconds / 3600:.1f} hours, with one thread each where several "
        f"ran side by side{sample}.{_unknown_note(protocol)}{left} Minutes of training are those that the "
        "logs' speed gives."
    )


def early_end_note(measured: Measured) -> str:
    """Say how far a training came that ended early."""
    run = measured.run
    seeds = ", ".join(f"{name.replace('-', ' ')} at step {step:,}" for name, step in run.stopped.items())
    return f"The training of {run.name} ended before its {run.steps:,} steps: {seeds}."


def _environment_note(study: Study) -> str:
    """List the hardware and software of the measurements; several values where runs differ, as after a pause."""
    found = [p.result.environment for m in study.every for t in m.trajectories for p in t.points]
    versions = dict.fromkeys(", ".join(f"{n} {v}" for n, v in sorted(e.versions.items())) for e in found)
    devices = dict.fromkeys(e.device for e in found)
    commits = dict.fromkeys(e.git or "not known" for e in found)
    return f"Versions: {'; or '.join(versions)}; device {', '.join(devices)}; commit {', '.join(commits)}."


def _unknown_note(protocol: Mapping[str, Any]) -> str:
    """Count context words the models do not know; nothing where all are known, or it was not counted."""
    rows = [row for row in (protocol.get("unknown_words") or {}).values() if row["words"]]
    return "".join(
        f" In {row['prompts']} of {row['of_prompts']} prompts a context word is not in the vocabulary "
        f"({row['words']} of {row['of_words']} words)."
        for row in rows
    )
