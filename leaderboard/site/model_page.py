"""A submission's page: its card, and for each run its rank, the evidence, training and downloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from groundbench.leaderboard.rows import ResultRow
from groundbench.leaderboard.submission.submission import Run, Submission
from groundbench.measures.gain.measure import gain_items
from groundbench.report.elements import Facts, Section, Stat, Table
from groundbench.report.pages import run_facts, run_sections, run_stats, training_sections
from groundbench.report.sections import training_gain
from groundbench.report.sections.risk_card import card_facts, card_sections, card_stats
from groundbench.results.run import Result
from groundbench.results.text.card_sentences import headline as risk_headline
from groundbench.results.text.numbers import count, decimals_for, interval, number, with_interval
from groundbench.results.text.sentences import gain_sentence
from groundbench.results.trajectory import Trajectory, TrajectoryPoint

MOST_ITEMS = 5


def mark(line_id: str) -> str:
    """Return the comment in a page where the board writes the rank when all entries are known."""
    return f"<!--rank:{line_id}-->"


def model_page(s: Submission, rows: Sequence[ResultRow], own: bool) -> dict[str, Any]:
    """Return the values of model.html.j2; `rows` are the submission's own."""
    card = (
        ("Licence", s.card.licence),
        ("Hardware", s.card.hardware),
        ("Submitter", s.card.submitter),
        ("Folder", s.slug),
        ("Measured", s.card.measured),
        ("Weights released", s.card.released),
        ("groundbench commit", s.card.commit),
    )
    return {
        "title": s.card.model,
        "root": "../",
        "nav": "",
        "own": own,
        "card": Facts("Card", tuple((k, v) for k, v in card if v is not None)),
        "weights": s.card.weights,
        "notes": s.card.notes,
        "runs": [
            _run(s, run, i, [e for e in rows if e.run == run.name]) for i, run in enumerate(s.runs) if run.results
        ],
        "risks": [_risk(s, run, i) for i, run in enumerate(s.runs) if run.risk is not None],
    }


def _risk(s: Submission, run: Run, i: int) -> dict[str, Any]:
    card = run.risk
    if card is None:
        raise ValueError(f"{run.name} has no risk card")
    return {
        "id": f"{s.slug}~{run.name}~card",
        "title": f"Risk card: {', '.join(card.questions.sets)}",
        "sentence": risk_headline(card),
        "stats": card_stats(card),
        "sections": card_sections(card),
        "facts": [card_facts(card)],
        "prefix": f"k{i}-",
    }


def _run(s: Submission, run: Run, i: int, rows: Sequence[ResultRow]) -> dict[str, Any]:
    last = run.last
    headline = next(e for e in rows if e.kind == "headline")
    curve = _curve(run.results, run.trajectory, s.card.model)
    *evidence, failures = run_sections(last)
    training = [] if curve is None else _training(curve)
    items = _items(run)
    return {
        "id": headline.id,
        "title": f"{headline.board} · {headline.form} · {headline.n_nouns} nouns",
        "sentence": gain_sentence(last.gain, last.testbed.env_form),
        "place": Markup(mark(headline.id)),
        "forms": _forms([e for e in rows if e.kind != "checkpoint"]),
        "with_items": bool(run.tables),
        "trajectory": run.trajectory is not None,
        "stats": [*_score(headline), *run_stats(last)],
        "hero": None if curve is None else training_gain.hero([curve]),
        "sections": [*evidence, *([items] if items else ()), *training, failures],
        "facts": run_facts(last),
        "prefix": f"r{i}-",
    }


def _score(row: ResultRow) -> list[Stat]:
    """Return the ladder score as the first number of the page."""
    s = row.ladder
    if s is None:
        return []
    ends = interval(s.ci_low, s.ci_high)
    missing = "; ".join(f"{u.env_form}: {u.reason}" for u in s.unscored)
    detail = " · ".join(
        t for t in (f"95 % interval {ends}" if ends else "", f"without {missing}" if missing else "") if t
    )
    return [Stat("Ladder score", number(s.score), "", detail)]


def _forms(rows: Sequence[ResultRow]) -> Table | None:
    """Return gain and rank in each form; None where there is one form only."""
    cells = []
    ladder = next((e.ladder for e in rows if e.ladder is not None), None)
    shares = {f.env_form: with_interval(f.ratio, f.ci_low, f.ci_high) for f in ladder.forms} if ladder else {}
    for e in rows:
        digits = decimals_for(e.gain, e.low, e.high)
        ends = interval(e.low, e.high, digits)
        share = (shares.get(e.form),) if shares else ()
        cells.append((e.form, count(e.n_nouns), number(e.gain, digits), ends, *share, Markup(mark(e.id))))
    head = ("Form", "Nouns", "Gain (nats)", "95 % interval", *(("Share of the word’s",) if shares else ()), "Rank")
    caption = "Where it stands, by the form in which a noun was shown"
    return Table(caption, head, tuple(cells), text=frozenset({0, len(head) - 1})) if len(cells) > 1 else None


def _items(run: Run) -> Section | None:
    """Return the items with the largest and the smallest gain, each with both of its surprisals."""
    table = run.tables.get(run.last.testbed.env_form)
    if table is None:
        return None
    items = gain_items(table)
    if items.nested:
        return None
    order = np.argsort(np.where(np.isnan(items.gain), np.inf, items.gain), axis=None)
    known = order[: int((~np.isnan(items.gain)).sum())].tolist()
    tables = []
    for caption, chosen in (("Largest gains", known[::-1][:MOST_ITEMS]), ("Smallest gains", known[:MOST_ITEMS])):
        rows = []
        for flat in chosen:
            v, k = divmod(flat, items.gain.shape[1])
            values = (items.matched[v, k], items.mismatched[v, k], items.gain[v, k])
            rows.append((table.nouns[v], table.frames[k], *(number(float(x)) for x in values)))
        head = ("Noun", "Frame", "Own noun shown", "Another shown", "Gain")
        tables.append(Table(f"{caption} (nats)", head, tuple(rows), text=frozenset({0, 1})))
    lead = "Single items, at the two ends: surprisal of the noun when it was shown, and when others were (mean)."
    return Section("items", "Best and worst items", lead, tables=tuple(tables))


def _curve(results: Sequence[Result], trajectory: Trajectory | None, name: str) -> Trajectory | None:
    """Return the checkpoints of a run that has several, under the card's name."""
    if len(results) < 2:
        return None
    if trajectory is None:
        points = tuple(TrajectoryPoint(step=r.model.step or 0, result=r) for r in results)
        trajectory = Trajectory(name=name, points=points)
    return trajectory.model_copy(update={"name": name})


def _training(curve: Trajectory) -> list[Section]:
    """Return the measurements of the run at its checkpoints."""
    table = Section("checkpoints", "Every checkpoint", tables=(training_gain.checkpoints_table(curve),))
    return [*(s for s in training_sections([curve]) if not s.missing), table]
