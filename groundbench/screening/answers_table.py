"""answers.parquet: one row for each question, for those who want to look closer than the rates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from groundbench.results.risk_card import OperatingPoint, RiskCard
from groundbench.screening.answering import Answers
from groundbench.screening.splits import Splits
from groundbench.util.atomic_files import write_text, write_whole

if TYPE_CHECKING:
    from groundbench.screening.screen_answers import AnswerScreen

Floats = npt.NDArray[np.float64]


def write_answers(path: Path, answers: Answers, splits: Splits, risks: Mapping[str, Floats]) -> None:
    """Write columns id, kind, form, group, split, truth, also, usual, given (words), error, surprisal (nats, of the
    given answer), candidates with their surprisals (lists of one order), and one of each signal's risk; null where
    unmeasured. `also` lists further right answers, where any of several things may be mentioned."""
    part = np.full(len(answers.questions), "", dtype=object)
    for name in ("detect", "fit", "test"):
        part[getattr(splits, name)] = name
    questions, given = answers.questions, answers.given
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(q, name) for q in questions]) for name in ("id", "kind", "form", "group")
    }
    columns["split"] = pa.array(part.tolist())
    columns["truth"] = pa.array([q.right for q in questions])
    columns["also"] = pa.array([q.rights[1:] for q in questions], pa.list_(pa.string()))
    columns["usual"] = pa.array(
        [None if q.prior_answer is None else q.choices[q.prior_answer] for q in questions], pa.string()
    )
    columns["given"] = pa.array([q.choices[g] for q, g in zip(questions, given, strict=True)])
    columns["error"] = pa.array(answers.errors)
    columns["surprisal"] = pa.array(answers.shown[np.arange(len(given)), given])
    columns["candidates"] = pa.array([q.choices for q in questions], pa.list_(pa.string()))
    columns["surprisals"] = pa.array(
        [row[: len(q.choices)] for row, q in zip(answers.shown, questions, strict=True)], pa.list_(pa.float64())
    )
    for name, values in risks.items():
        columns[f"risk_{name}"] = pa.array(values, mask=np.isnan(values))
    _write(path, columns)


def write_given(path: Path, made: AnswerScreen) -> None:
    """Write columns id, where, kind, group, split, question, answer, wrong (null without labels), tokens, and one of
    each signal's risk (the mean over tokens), null where unmeasured."""
    records, part = made.given.records, np.full(len(made.given.records), "", dtype=object)
    for name in ("detect", "fit", "test"):
        part[getattr(made.splits, name)] = name
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(r, name) for r in records], pa.string())
        for name in ("id", "where", "kind", "group", "question", "answer")
    }
    columns["split"] = pa.array(part.tolist(), pa.string())
    columns["wrong"] = pa.array([r.wrong for r in records], pa.bool_())
    columns["tokens"] = pa.array(made.given.counts, pa.int32())
    for name, values in made.risks.risks.items():
        columns[f"risk_{name}"] = pa.array(values, mask=np.isnan(values))
    _write(path, columns)


def write_flagged(path: Path, made: AnswerScreen) -> None:
    """Write one JSON line for each given answer, riskiest first: id, where, group, kind, split, signal, risk, wrong
    (null without labels), and (with a policy's operating point) whether it is flagged."""
    signal = str(made.card.protocol.get("ranked by"))
    rows: list[dict[str, object]] = [
        {"id": r.id, "where": r.where, "group": r.group, "kind": r.kind, "wrong": r.wrong} for r in made.given.records
    ]
    _write_ranked(path, rows, signal, made.risks.risks.get(signal), made.splits, made.card.operating)


def write_flagged_questions(
    path: Path, answers: Answers, splits: Splits, risks: Mapping[str, Floats], card: RiskCard
) -> None:
    """Return the same for questions that were answered by likelihood, with the answer.

    Ranked by the card's best signal.
    """
    signal = card.predictors.best
    rows: list[dict[str, object]] = [
        {
            "id": q.id,
            "where": q.prompt.frame,
            "group": q.group,
            "kind": q.kind,
            "answer": q.choices[g],
            "wrong": bool(e),
        }
        for q, g, e in zip(answers.questions, answers.given.tolist(), answers.errors.tolist(), strict=True)
    ]
    _write_ranked(path, rows, str(signal), None if signal is None else risks.get(signal), splits, card.operating)


def _write_ranked(
    path: Path,
    rows: Sequence[dict[str, object]],
    signal: str,
    values: Floats | None,
    splits: Splits,
    point: OperatingPoint | None,
) -> None:
    """Return rows with a risk first, riskiest first; nothing where no signal ranks them."""
    lines: list[str] = []
    if values is not None:
        threshold = None if point is None or point.signal != signal else point.threshold
        part = {int(i): name for name in ("detect", "fit", "test") for i in getattr(splits, name)}
        for i in np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable").tolist():
            risk = None if np.isnan(values[i]) else float(values[i])
            flagged = None if threshold is None or risk is None else risk > threshold
            said = {"split": part[i], "signal": signal, "risk": risk, "flagged": flagged}
            lines.append(json.dumps({**rows[i], **said}, ensure_ascii=False))
    write_text(path, "".join(line + "\n" for line in lines))


def _write(path: Path, columns: Mapping[str, pa.Array]) -> None:
    with write_whole(path) as file:
        pq.write_table(pa.table(dict(columns)), file, compression="zstd")
