"""The reproduction as a page and as Markdown: verdicts first, then the evidence, then how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from groundbench.report.figure import Section, Table
from groundbench.report.markdown import table as as_markdown
from groundbench.report.seeds_page import render_seeds
from groundbench.reproduction import paper, tables
from groundbench.reproduction.measure import Measured
from groundbench.reproduction.verdict import Claim
from groundbench.tasks.importers import load_manifest, select_nouns

TITLE = "The paper's claims on this corpus"
VERDICTS = ("reproduced", "not reproduced", "not testable")


@dataclass(frozen=True)
class Study:
    """All that a page tells.

    Attributes:
        commands: what was run, line by line.
        at_least: how often the corpus shows and says a noun that is asked for.
    """

    measured: tuple[Measured, ...]
    claims: tuple[Claim, ...]
    corpus: Path
    commands: tuple[str, ...]
    at_least: int

    def sentence(self) -> str:
        """How many claims came out how."""
        counts = {v: sum(c.verdict == v for c in self.claims) for v in VERDICTS}
        told = ", ".join(f"{n} {v}{' at this size' if v == 'not testable' else ''}" for v, n in counts.items())
        return f"Of {len(self.claims)} claims, model by model: {told}."

    def evidence(self) -> list[Table]:
        """The tables behind the verdicts."""
        main = [m for m in self.measured if m.run.kind != "lstm" and not m.run.shuffled]
        found = [tables.paper_table(main), tables.crossfit_table(main), tables.lens_table()]
        lstms = tables.lstm_table(self.measured)
        return [*found, *([lstms] if lstms.rows else [])]

    def corpus_table(self) -> Table:
        """The corpus and its nouns."""
        kept = len(select_nouns(self.corpus, max(1, self.at_least)).kept) if self.at_least else 100
        return tables.corpus_table(load_manifest(self.corpus), kept, self.at_least)


def html(study: Study) -> str:
    """The study as one self-contained page."""
    sections = [
        Section("evidence", "Beside the paper's numbers", tables=tuple(study.evidence())),
        Section("made", "How it was made", tables=(study.corpus_table(),), notes=study.commands),
    ]
    first = [tables.verdict_table(study.claims), tables.models_table(study.measured)]
    return render_seeds([m.mean for m in study.measured], TITLE, study.sentence(), first, sections)


def markdown(study: Study, figures: dict[str, list[tuple[str, str]]], images: str) -> str:
    """The study as Markdown; `images` is where the plots lie, as seen from the document."""
    environment = study.measured[0].trajectories[0].last.environment
    parts = [
        "# Reproduction",
        f"{study.sentence()} Written by `scripts/reproduce`; every verdict is decided by code "
        "(`groundbench/reproduction/claims.py`) from the criterion beside it.",
        "Intervals are 95 % t-intervals over seeds; surprisals and gains are in nats. The paper's runs have "
        f"{paper.LAYERS} layers, {paper.STEPS:,} steps and {paper.SEEDS} seeds: the numbers to compare are orders and "
        "signs, not sizes.",
        "## Verdicts",
        *_verdicts(study.claims),
        "## Models",
        as_markdown(tables.models_table(study.measured)),
        *_images(figures.get("", []), images),
    ]
    for m in study.measured:
        if found := figures.get(m.run.name):
            parts += [f"## {m.run.name}", *_images(found, images)]
    parts += ["## Beside the paper's numbers", *map(as_markdown, study.evidence())]
    parts += ["## How it was made", as_markdown(study.corpus_table()), _commands(study), _how(study)]
    versions = ", ".join(f"{name} {v}" for name, v in sorted(environment.versions.items()))
    parts.append(f"Versions: {versions}; device {environment.device}; commit {environment.git or 'not known'}.")
    return "\n\n".join(parts) + "\n"


def _verdicts(claims: Sequence[Claim]) -> list[str]:
    models = list(dict.fromkeys(c.model for c in claims))
    by = {(c.claim, c.model): c.verdict for c in claims}
    rows = tuple(
        (claim, *(by.get((claim, m), "-") for m in models)) for claim in dict.fromkeys(c.claim for c in claims)
    )
    short = as_markdown(Table("Verdicts", ("Claim", *models), rows, frozenset(range(len(models) + 1))))
    return [short, as_markdown(tables.verdict_table(claims))]


def _images(found: Sequence[tuple[str, str]], folder: str) -> list[str]:
    return ["\n".join(f"![{title}]({folder}/{file})" for title, file in found)] if found else []


def _commands(study: Study) -> str:
    lines = "\n".join(study.commands)
    return f"```\n{lines}\n```"


def _how(study: Study) -> str:
    seconds = sum(p.result.environment.seconds or 0 for m in study.measured for t in m.trajectories for p in t.points)
    checkpoints = sum(len(t.points) for m in study.measured for t in m.trajectories)
    protocol = next((p.result.protocol for m in study.measured for p in m.trajectories[0].points), {})
    sample = protocol.get("mismatches", "all")
    unfinished = [f"{m.run.name} {', '.join(m.run.unfinished)}" for m in study.measured if m.run.unfinished]
    left = f" Still trained, so left out: {'; '.join(unfinished)}." if unfinished else ""
    return (
        f"{checkpoints} checkpoints were measured in {seconds / 3600:.1f} hours of one thread each, with "
        f"{sample} mismatches for each item drawn by a seed.{left} Hours of training are those that the logs' speed "
        "gives."
    )
