"""heads.parquet: one row for each item and head, for those who want to look closer than the counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import HeadRule, detect_heads, shares
from groundbench.results.run import Result
from groundbench.util.atomic_files import write_whole


def write_heads(path: Path, measured: Sequence[tuple[str, HeadSaliency]], result: Result) -> None:
    """Write the saliency of every (form, saliency): columns model, step, testbed, form, frame, noun, layer, head,
    kind, edge (nats), share_row, share_total (null if unmeasured), lift, detected (row share >= 0.30)."""
    with write_whole(path) as file:
        pq.write_table(pa.concat_tables([_table(f, s, result) for f, s in measured]), file, compression="zstd")


def _table(form: str, saliency: HeadSaliency, result: Result) -> pa.Table:
    n, heads = saliency.edge.shape
    row = shares(saliency, HeadRule())
    total = None
    if saliency.total_sum is not None:
        total = shares(saliency, HeadRule(denominator="total")).share.ravel()
    constant = {"model": result.model.name, "testbed": result.testbed.name, "form": form}
    columns = {k: pa.array([v] * (n * heads)).dictionary_encode() for k, v in constant.items()}
    columns["step"] = pa.array([result.model.step] * (n * heads), pa.int64())
    for name, values in (("frame", saliency.frames), ("noun", saliency.nouns)):
        columns[name] = pa.array(np.repeat(np.array(values, dtype=object), heads)).dictionary_encode()
    columns["layer"] = pa.array(np.tile(saliency.head_layer, n))
    columns["head"] = pa.array(np.tile(saliency.head_number, n))
    columns["kind"] = pa.array(list(saliency.head_kind) * n).dictionary_encode()
    columns["edge"] = pa.array(saliency.edge.ravel())
    columns["share_row"] = _nullable(row.share.ravel())
    columns["share_total"] = pa.nulls(n * heads, pa.float64()) if total is None else _nullable(total)
    columns["lift"] = _nullable(row.lift.ravel())
    columns["detected"] = pa.array(detect_heads(saliency, HeadRule()).ravel())
    return pa.table(columns)


def _nullable(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
