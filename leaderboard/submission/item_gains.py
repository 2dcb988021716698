"""items.parquet of a submission: read under limits, reduced to one gain for each noun in each frame (protocol §5)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from groundbench.leaderboard.submission.strict_parsing import RefusedError, shorten

Floats = npt.NDArray[np.float64]
TEXTS = ("form", "frame", "env", "target", "condition")
COLUMNS = (*TEXTS, "surprisal")
MOST_ROWS = 5_000_000
MOST_UNPACKED = 256 << 20


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
    """The gains of one ENV form. Raises RefusedError as `read_forms` does."""
    return read_forms(raw, where, form)[form]


def read_forms(raw: bytes, where: str, form: str, others: Sequence[str] = ()) -> dict[str, Cells]:
    """The gains of a form, and of those of the others that the file holds.

    Args:
        raw: the file, already limited in size.

    Raises:
        RefusedError: not Parquet, a column is missing or of another type, more rows than a result has, a surprisal
            that is negative or infinite, or no rows of `form`.
    """
    table = _open(raw, where)
    found = {f: rows for f in (form, *others) if (rows := _of_form(table, where, f)) is not None}
    if form not in found:
        raise _no_items(where, form)
    return {f: _cells(rows, where) for f, rows in found.items()}


def _cells(rows: _Rows, where: str) -> Cells:
    if np.isinf(rows.surprisal).any() or (rows.surprisal < 0).any():
        raise RefusedError(f"{where}: holds a surprisal that is negative or infinite")
    (frames, frame), (targets, target) = _ordered(rows.frame), _ordered(rows.target)
    conditions, condition = rows.condition
    if not {conditions[i] for i in np.unique(condition)} <= {"matched", "mismatched"}:
        raise RefusedError(f"{where}: the column 'condition' holds more than 'matched' and 'mismatched'")
    matched = np.array([c == "matched" for c in conditions], dtype=bool)[condition]
    shape = (len(targets), len(frames))
    if len(targets) * len(frames) > MOST_ROWS:
        raise RefusedError(f"{where}: names {len(targets):,} nouns in {len(frames):,} frames, more than it has rows")
    means = [_mean(rows.surprisal, target, frame, keep, shape) for keep in (~matched, matched)]
    return Cells(tuple(targets), tuple(frames), means[0] - means[1])


class Item(NamedTuple):
    """One row: which noun's word was scored after which noun was shown in which frame, and its surprisal (nats)."""

    frame: str
    env: str
    target: str
    surprisal: float


def sample_items(raw: bytes, where: str, form: str, n: int, seed: int) -> list[Item]:
    """A seeded sample of the scored rows of one form, without repeats. Raises RefusedError as `read_cells` does."""
    rows = _of_form(_open(raw, where), where, form)
    if rows is None:
        raise _no_items(where, form)
    known = np.flatnonzero(~np.isnan(rows.surprisal))
    picked = np.sort(np.random.default_rng(seed).permutation(known)[:n])
    texts = ([names[i] for i in codes[picked]] for names, codes in (rows.frame, rows.env, rows.target))
    return [Item(*values) for values in zip(*texts, rows.surprisal[picked].tolist(), strict=True)]


Coded = tuple[list[str], npt.NDArray[np.int64]]
"""The distinct texts of a column, and each row's place among them."""


class _Rows(NamedTuple):
    """The rows of one form. Texts stay coded: a small file can name one long text in each of millions of rows."""

    frame: Coded
    env: Coded
    target: Coded
    condition: Coded
    surprisal: Floats


def _open(raw: bytes, where: str) -> pa.Table:
    """The columns of a file that is small enough, its texts coded."""
    try:
        file = pq.ParquetFile(io.BytesIO(raw), read_dictionary=list(TEXTS))
        _check_shape(file, where)
        return file.read(columns=list(COLUMNS), use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RefusedError(f"{where}: not a readable Parquet file ({shorten(str(error))})") from None


def _of_form(table: pa.Table, where: str, form: str) -> _Rows | None:
    """The rows of one form, if there are any."""
    names, codes = _codes(table, "form", where)
    keep = codes == (names.index(form) if form in names else -1)
    if not keep.any():
        return None
    kept: dict[str, Coded] = {}
    for column in TEXTS:
        names, codes = _codes(table, column, where)
        kept[column] = names, codes[keep]
    surprisal: Floats = table["surprisal"].to_numpy().astype(np.float64)[keep]
    return _Rows(kept["frame"], kept["env"], kept["target"], kept["condition"], surprisal)


def _no_items(where: str, form: str) -> RefusedError:
    return RefusedError(f"{where}: holds no items of the form {form!r} that result.json reports")


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
    for column in COLUMNS:
        kind = file.schema_arrow.field(column).type
        if column in TEXTS and not (
            pa.types.is_dictionary(kind) and kind.value_type in (pa.string(), pa.large_string())
        ):
            raise RefusedError(f"{where}: the column {column!r} is {kind}, not text")
        if column not in TEXTS and not pa.types.is_floating(kind):
            raise RefusedError(f"{where}: the column {column!r} is {kind}, not a number")


def _codes(table: pa.Table, column: str, where: str) -> Coded:
    """The distinct texts of a column, and each row's place among them."""
    coded = table[column].unify_dictionaries().combine_chunks()
    if coded.null_count:
        raise RefusedError(f"{where}: the column {column!r} has empty places")
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _ordered(coded: Coded) -> Coded:
    """The texts that occur, in order of their letters."""
    names, codes = coded
    used = sorted(np.unique(codes).tolist(), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[used] = np.arange(len(used))
    return [names[i] for i in used], place[codes]


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
