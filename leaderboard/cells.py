"""items.parquet of a submission: read under limits, reduced to one gain for each noun in each frame (protocol §5)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from groundbench.leaderboard.strict import RefusedError, shorten

Floats = npt.NDArray[np.float64]
COLUMNS = ("form", "frame", "env", "target", "condition", "surprisal")
MOST_ROWS = 5_000_000
MOST_UNPACKED = 512 << 20


@dataclass(frozen=True)
class Cells:
    """The gain of every noun in every frame (nats), [nouns, frames]; NaN where absent or failed.

    `nested`: each frame belongs to one noun, so that nouns are the only clusters.
    """

    nouns: tuple[str, ...]
    frames: tuple[str, ...]
    gain: Floats

    @property
    def nested(self) -> bool:
        """Whether every frame holds one noun only (per-noun frames)."""
        return bool((~np.isnan(self.gain)).sum(0).max(initial=0) <= 1)

    @property
    def mean(self) -> float | None:
        """The mean over nouns of each noun's mean over its frames; None where nothing is known."""
        means = self.by_noun[~np.isnan(self.by_noun)]
        return float(means.mean()) if means.size else None

    @property
    def by_noun(self) -> Floats:
        """Each noun's mean over its frames; NaN for a noun without any."""
        valid = ~np.isnan(self.gain)
        n = valid.sum(1)
        total = np.where(valid, self.gain, 0.0).sum(1)
        return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def read_cells(raw: bytes, where: str, form: str) -> Cells:
    """The gains of one ENV form.

    Args:
        raw: the file, already limited in size.

    Raises:
        RefusedError: not Parquet, a column is missing or of another type, more rows than a result has, a surprisal
            that is negative or infinite, or no rows of the form.
    """
    rows = _rows(raw, where, form)
    surprisal = rows["surprisal"].to_numpy(zero_copy_only=False).astype(np.float64)
    if np.isinf(surprisal).any() or (surprisal < 0).any():
        raise RefusedError(f"{where}: holds a surprisal that is negative or infinite")
    frames, frame = _codes(rows, "frame", where)
    targets, target = _codes(rows, "target", where)
    conditions, condition = _codes(rows, "condition", where)
    if not set(conditions) <= {"matched", "mismatched"}:
        raise RefusedError(f"{where}: the column 'condition' holds more than 'matched' and 'mismatched'")
    matched = np.array([c == "matched" for c in conditions])[condition]
    shape = (len(targets), len(frames))
    gain = _mean(surprisal, target, frame, ~matched, shape) - _mean(surprisal, target, frame, matched, shape)
    return Cells(tuple(targets), tuple(frames), gain)


class Item(NamedTuple):
    """One row: which noun's word was scored after which noun was shown in which frame, and its surprisal (nats)."""

    frame: str
    env: str
    target: str
    surprisal: float


def sample_items(raw: bytes, where: str, form: str, n: int, seed: int) -> list[Item]:
    """A seeded sample of the scored rows of one form, without repeats. Raises RefusedError as `read_cells` does."""
    rows = _rows(raw, where, form)
    known = np.flatnonzero(rows["surprisal"].is_valid().to_numpy(zero_copy_only=False))
    picked = np.sort(np.random.default_rng(seed).permutation(known)[:n])
    part = {c: (_text(rows, c, where) if c != "surprisal" else rows[c]).take(picked) for c in Item._fields}
    return [Item(*values) for values in zip(*(part[c].to_pylist() for c in Item._fields), strict=True)]


def _rows(raw: bytes, where: str, form: str) -> pa.Table:
    """The rows of one form."""
    try:
        file = pq.ParquetFile(io.BytesIO(raw))
        _check_shape(file, where)
        rows = file.read(columns=list(COLUMNS), use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RefusedError(f"{where}: not a readable Parquet file ({shorten(str(error))})") from None
    rows = rows.filter(pc.equal(_text(rows, "form", where), form))
    if not rows.num_rows:
        raise RefusedError(f"{where}: holds no items of the form {form!r} that result.json reports")
    return rows


def _check_shape(file: pq.ParquetFile, where: str) -> None:
    """Refuse a file that would unpack to more than a result can hold, before it is unpacked."""
    meta = file.metadata
    missing = [c for c in COLUMNS if c not in file.schema_arrow.names]
    if missing:
        raise RefusedError(f"{where}: lacks the column {missing[0]!r}; expected {', '.join(COLUMNS)}")
    if meta.num_rows > MOST_ROWS:
        raise RefusedError(f"{where}: holds {meta.num_rows:,} rows; expected at most {MOST_ROWS:,}")
    unpacked = sum(
        meta.row_group(g).column(c).total_uncompressed_size
        for g in range(meta.num_row_groups)
        for c in range(meta.num_columns)
    )
    if unpacked > MOST_UNPACKED:
        raise RefusedError(f"{where}: would unpack to more than {MOST_UNPACKED >> 20} MiB")
    if not pa.types.is_floating(file.schema_arrow.field("surprisal").type):
        raise RefusedError(
            f"{where}: the column 'surprisal' is {file.schema_arrow.field('surprisal').type}, not a number"
        )


def _text(rows: pa.Table, column: str, where: str) -> pa.ChunkedArray:
    kind = rows[column].type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise RefusedError(f"{where}: the column {column!r} is {kind}, not text")
    return rows[column].cast(pa.string())


def _codes(rows: pa.Table, column: str, where: str) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The sorted distinct texts of a column, and each row's place among them."""
    coded = _text(rows, column, where).combine_chunks().dictionary_encode()
    if coded.null_count:
        raise RefusedError(f"{where}: the column {column!r} has empty places")
    names = coded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return [names[i] for i in order], place[coded.indices.to_numpy(zero_copy_only=False)]


def _mean(
    value: Floats,
    row: npt.NDArray[np.int64],
    column: npt.NDArray[np.int64],
    keep: npt.NDArray[np.bool_],
    shape: tuple[int, int],
) -> Floats:
    """Means of the kept, known values by cell; NaN for an empty cell."""
    keep = keep & ~np.isnan(value)
    flat = row[keep] * shape[1] + column[keep]
    size = shape[0] * shape[1]
    n = np.bincount(flat, minlength=size)
    total = np.bincount(flat, weights=value[keep], minlength=size)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan).reshape(shape)
