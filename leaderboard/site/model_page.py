"""A submission's page: its card, and for each run where it stands, the evidence, training and downloads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundbench.leaderboard.ranks import Rank
from groundbench.leaderboard.rows import Entry, Row, board_key, board_name
from groundbench.leaderboard.submission.submission import Run, Submission
from groundbench.report.elements import Facts, Section, Table
from groundbench.report.pages import run_facts, run_sections, run_stats, training_sections
from groundbench.report.sections import training_gain as curves
from groundbench.results.run import Result
from groundbench.results.text.numbers import count, decimals_for, interval, number
from groundbench.results.text.sentences import gain_sentence
from groundbench.results.trajectory import Trajectory, TrajectoryPoint

METHODS = {
    "paired": "by paired tests",
    "interval": "by intervals",
    "mixed": "by paired tests where items are at hand, else by intervals",
}


@dataclass(frozen=True)
class Places:
    """The rank of every entry, and how many stand on each board."""

    ranks: Mapping[str, Rank | None]
    peers: Mapping[tuple[str, ...], int]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Places:
        """Of all rows of the board."""
        peers = Counter(board_key(r.entry.result) for r in rows if r.entry.final)
        return cls({r.entry.id: r.rank for r in rows}, peers)

    def said(self, entry: Entry) -> str:
        """A rank in words."""
        rank, n = self.ranks[entry.id], self.peers[board_key(entry.result)]
        if rank is None:
            return "Not ranked."
        if n == 1:
            return "The only entry on this testbed and form."
        return f"Rank {rank.rank} of {n}, {METHODS[rank.method]}."

    def short(self, entry: Entry) -> str | None:
        """A rank in a table."""
        rank = self.ranks[entry.id]
        return None if rank is None else f"{rank.rank} of {self.peers[board_key(entry.result)]}"


def model_page(s: Submission, entries: Sequence[Entry], places: Places) -> dict[str, Any]:
    """What model.html.j2 shows; `entries` are the submission's own."""
    card = (
        ("Licence", s.card.licence),
        ("Hardware", s.card.hardware),
        ("Submitter", s.card.submitter),
        ("groundbench commit", s.card.commit),
    )
    return {
        "title": s.card.model,
        "root": "../",
        "nav": "",
        "card": Facts("Card", card),
        "weights": s.card.weights,
        "notes": s.card.notes,
        "runs": [_run(s, run, i, [e for e in entries if e.run == run.name], places) for i, run in enumerate(s.runs)],
    }


def _run(s: Submission, run: Run, i: int, entries: Sequence[Entry], places: Places) -> dict[str, Any]:
    last = run.last
    headline = next(e for e in entries if e.kind == "headline")
    curve = _curve(run.results, run.trajectory, s.card.model)
    *evidence, failures = run_sections(last)
    training = [] if curve is None else _training(curve)
    return {
        "id": headline.id,
        "title": board_name(last),
        "sentence": gain_sentence(last.gain, last.testbed.env_form),
        "place": places.said(headline),
        "forms": _forms([e for e in entries if e.final], places),
        "with_items": bool(run.forms),
        "stats": run_stats(last),
        "hero": None if curve is None else curves.hero([curve]),
        "sections": [*evidence, *training, failures],
        "facts": run_facts(last),
        "prefix": f"r{i}-",
    }


def _forms(entries: Sequence[Entry], places: Places) -> Table | None:
    """Gain and rank in each form; None where there is one form only."""
    rows = []
    for e in entries:
        g, bed = e.result.gain, e.result.testbed
        if g is not None:
            digits = decimals_for(g.mean, g.ci_low, g.ci_high)
            ends = interval(g.ci_low, g.ci_high, digits)
            rows.append((bed.env_form, count(bed.n_nouns), number(g.mean, digits), ends, places.short(e)))
    head = ("Form", "Nouns", "Gain (nats)", "95 % interval", "Rank")
    return Table("Where it stands, by the form in which a noun was shown", head, tuple(rows)) if len(rows) > 1 else None


def _curve(results: Sequence[Result], trajectory: Trajectory | None, name: str) -> Trajectory | None:
    """The checkpoints of a run that has several, under the card's name."""
    if len(results) < 2:
        return None
    if trajectory is None:
        points = tuple(TrajectoryPoint(step=r.model.step or 0, result=r) for r in results)
        trajectory = Trajectory(name=name, points=points)
    return trajectory.model_copy(update={"name": name})


def _training(curve: Trajectory) -> list[Section]:
    """What was measured of the run at its checkpoints."""
    table = Section("checkpoints", "Every checkpoint", tables=(curves.checkpoints_table(curve),))
    return [*(s for s in training_sections([curve]) if not s.missing), table]
