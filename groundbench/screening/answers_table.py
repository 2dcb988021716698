"""answers.parquet: one row for each question, for those who want to look closer than the rates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from groundbench.screening.answering import Answers
from groundbench.screening.splits import Splits
from groundbench.util.atomic_files import written_whole

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
    columns["usual"] = pa.array([None if q.usual is None else q.answers[q.usual] for q in questions], pa.string())
    columns["given"] = pa.array([q.answers[g] for q, g in zip(questions, given, strict=True)])
    columns["error"] = pa.array(answers.errors)
    columns["surprisal"] = pa.array(answers.shown[np.arange(len(given)), given])
    columns["candidates"] = pa.array([q.answers for q in questions], pa.list_(pa.string()))
    columns["surprisals"] = pa.array(
        [row[: len(q.answers)] for row, q in zip(answers.shown, questions, strict=True)], pa.list_(pa.float64())
    )
    for name, values in risks.items():
        columns[f"risk_{name}"] = pa.array(values, mask=np.isnan(values))
    with written_whole(path) as file:
        pq.write_table(pa.table(columns), file, compression="zstd")
