"""items.parquet of a submission: read in small batches under limits, held against the testbed, reduced to gains.

What a footer says is not believed: rows and bytes are counted as they are read, and a reading process has little
memory (`isolated`). Only the columns that groundbench writes are known; others, and nested ones, are refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.leaderboard.submission.reference import FormReference, TestbedReference
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError, shorten
from groundbench.measures.gain.measure import gain_items

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TEXTS = ("form", "frame", "env", "target", "condition")
COLUMNS = (*TEXTS, "surprisal")
KNOWN = ("model", "step", "testbed", *COLUMNS)
MOST_ROWS = 2_000_000
MOST_NAMES = 20_000
LONGEST_NAME = 200
BATCH = 1 << 16
MOST_NATS = 200.0
"""No softmax of 32-bit numbers gives a word of any vocabulary less than exp(-200)."""


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
        """True if every frame holds one noun only (per-noun frames)."""
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


def cells_of(table: SurprisalTable) -> Cells:
    """Return the gains of a table. Frames of one noun each get columns of their own."""
    items = gain_items(table)
    if not items.nested:
        return Cells(table.nouns, table.frames, items.gain)
    gain = np.full((len(table.nouns), len(table.frames)), np.nan)
    column = np.zeros(len(table.nouns), dtype=np.int64)
    for frame, noun in enumerate(table.frame_nouns.tolist()):
        gain[noun, frame] = items.gain[noun, column[noun]]
        column[noun] += 1
    return Cells(table.nouns, table.frames, gain)


def read_tables(
    raw: bytes, where: str, bed: TestbedReference, forms: Mapping[str, Sequence[str]], mismatches: int | None = None
) -> dict[str, SurprisalTable]:
    """Return the surprisals of every form in the file.

    Args:
        raw: the file, already limited in size.
        forms: the forms that the result reports, each with its nouns in their order.
        mismatches: how many other nouns were drawn for each item; None where all were.

    Raises:
        RefusedError: not a flat Parquet file of our columns, too much of anything, a form, frame or noun that the
            testbed or the result does not have, a row twice or missing, a condition that contradicts its nouns, or a
            surprisal that cannot be.
    """
    kept = {name: bed.forms[name].restrict_to(nouns) for name, nouns in forms.items() if name in bed.forms}
    parts: dict[str, list[tuple[Ints, Ints, Ints, Floats]]] = {name: [] for name in kept}
    rows = 0
    try:
        _check_columns(pq.ParquetFile(io.BytesIO(raw)), where)
        file = pq.ParquetFile(io.BytesIO(raw), read_dictionary=list(TEXTS))
        for batch in file.iter_batches(batch_size=BATCH, columns=list(COLUMNS), use_threads=False):
            rows += len(batch)
            if rows > MOST_ROWS:
                raise RefusedError(f"{where}: holds more than {MOST_ROWS:,} rows")
            _take(batch, where, kept, parts)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise RefusedError(f"{where}: not a readable Parquet file ({shorten(str(error))})") from None
    found = {name: _table(name, kept[name], parts[name], bed, where) for name in kept if parts[name]}
    for table in found.values():
        _check_rows(table, kept[table.form], where, mismatches)
    return found


def _check_columns(file: pq.ParquetFile, where: str) -> None:
    """Refuse columns that are not ours, before a row is read."""
    if file.metadata.num_columns > len(KNOWN) or file.metadata.num_row_groups > 10_000:
        raise RefusedError(f"{where}: holds more columns or row groups than items have")
    schema = file.schema_arrow
    names = list(schema.names)
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if twice is not None:
        raise RefusedError(f"{where}: the column {shorten(twice)} stands there twice")
    stray = next((n for n in names if n not in KNOWN), None)
    if stray is not None:
        raise RefusedError(f"{where}: holds the column {shorten(stray)}; expected {', '.join(KNOWN)}")
    missing = next((c for c in COLUMNS if c not in names), None)
    if missing is not None:
        raise RefusedError(f"{where}: lacks the column {missing!r}; expected {', '.join(COLUMNS)}")
    for column in names:
        kind = schema.field(column).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        wanted, fits = (
            ("text", pa.types.is_string(plain) or pa.types.is_large_string(plain))
            if column in (*TEXTS, "model", "testbed")
            else ("a number", pa.types.is_floating(kind) if column == "surprisal" else pa.types.is_integer(kind))
        )
        if not fits:
            raise RefusedError(f"{where}: the column {column!r} is {shorten(str(kind))}, not {wanted}")


def _take(
    batch: pa.RecordBatch,
    where: str,
    forms: Mapping[str, FormReference],
    parts: dict[str, list[tuple[Ints, Ints, Ints, Floats]]],
) -> None:
    """Sort a batch's rows by form, its texts turned into places in the testbed's lists."""
    coded = {c: _dictionary_codes(batch.column(c), c, where) for c in TEXTS}
    surprisal: Floats = batch.column("surprisal").to_numpy(zero_copy_only=False).astype(np.float64)
    if bool(np.isinf(surprisal).any()) or bool((surprisal < 0).any()):
        raise RefusedError(f"{where}: holds a surprisal that is negative or infinite")
    if bool((surprisal > MOST_NATS).any()):
        raise RefusedError(f"{where}: holds a surprisal of {np.nanmax(surprisal):g} nats; none is above {MOST_NATS:g}")
    conditions, condition = coded["condition"]
    used = {conditions[i] for i in np.unique(condition).tolist()}
    if not used <= {"matched", "mismatched"}:
        raise RefusedError(f"{where}: the column 'condition' holds more than 'matched' and 'mismatched'")
    matched = np.array([c == "matched" for c in conditions], dtype=bool)[condition]
    names, form = coded["form"]
    for code in np.unique(form).tolist():
        name = names[code]
        if name not in forms:
            raise RefusedError(f"{where}: holds items of the form {shorten(name)}, which result.json does not report")
        keep = form == code
        about = forms[name]
        frame = _places(coded["frame"], keep, about.frames, "frame", where)
        env = _places(coded["env"], keep, about.nouns, "env", where)
        target = _places(coded["target"], keep, about.nouns, "target", where)
        wrong = np.flatnonzero(matched[keep] != (env == target))
        if wrong.size:
            said = "matched" if matched[keep][wrong[0]] else "mismatched"
            raise RefusedError(
                f"{where}: a row of the form {name!r} is called {said}, but {about.nouns[env[wrong[0]]]!r} was shown "
                f"and {about.nouns[target[wrong[0]]]!r} asked for"
            )
        parts[name].append((frame, env, target, surprisal[keep]))


Coded = tuple[list[str], Ints]
"""The distinct texts of a column, and each row's place among them."""


def _dictionary_codes(column: pa.Array, name: str, where: str) -> Coded:
    """Return a text column's distinct texts and codes; never unfolded: a small file can name a long text very often."""
    if column.null_count:
        raise RefusedError(f"{where}: the column {name!r} has empty places")
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = coded.dictionary
    if len(texts) > MOST_NAMES or (pc.max(pc.binary_length(texts)).as_py() or 0) > LONGEST_NAME:
        raise RefusedError(
            f"{where}: the column {name!r} holds more than {MOST_NAMES:,} names, or one of more than "
            f"{LONGEST_NAME} bytes"
        )
    if texts.null_count:
        raise RefusedError(f"{where}: the column {name!r} has empty places")
    return texts.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _places(coded: Coded, keep: npt.NDArray[np.bool_], known: Sequence[str], what: str, where: str) -> Ints:
    """Return the kept rows' places in the testbed's list of names."""
    names, codes = coded
    place = {name: i for i, name in enumerate(known)}
    found = np.array([place.get(name, -1) for name in names], dtype=np.int64)
    rows: Ints = found[codes[keep]] if len(names) else np.zeros(0, dtype=np.int64)
    if rows.size and rows.min() < 0:
        stray = names[int(codes[keep][np.argmin(rows)])]
        raise RefusedError(f"{where}: the {what} {shorten(stray)} is none of this testbed and form in result.json")
    return rows


def _table(
    name: str,
    form: FormReference,
    parts: Sequence[tuple[Ints, Ints, Ints, Floats]],
    bed: TestbedReference,
    where: str,
) -> SurprisalTable:
    frame, env, target = (np.concatenate([p[i] for p in parts]) for i in range(3))
    owner = {n: i for i, n in enumerate(form.nouns)}
    owners = np.array([-1 if o is None else owner[o] for o in form.owners], dtype=np.int64)
    return SurprisalTable(
        form=name,
        frame_kind=bed.frames,
        nouns=form.nouns,
        categories=form.categories,
        frames=form.frames,
        frame_nouns=owners,
        frame=frame,
        env=env,
        target=target,
        surprisal=np.concatenate([p[3] for p in parts]),
    )


def _check_rows(table: SurprisalTable, form: FormReference, where: str, mismatches: int | None) -> None:
    """Refuse a row twice, and a table in which an item, or a mismatch of one, is missing."""
    n, k = len(table.nouns), len(table.frames)
    key = (table.frame * n + table.env) * n + table.target
    if np.unique(key).size != key.size:
        raise RefusedError(f"{where}: some (frame, env, target) of the form {table.form!r} stands there twice")
    own = table.frame_nouns[table.frame]
    counted = (own < 0) | (own == table.target)
    item = table.frame * n + table.target
    matched = np.bincount(item[counted & (table.env == table.target)], minlength=k * n).reshape(k, n)
    others = np.bincount(item[counted & (table.env != table.target)], minlength=k * n).reshape(k, n)
    wanted = np.ones((k, n), dtype=bool)
    owned = table.frame_nouns >= 0
    wanted[owned] = np.arange(n)[None, :] == table.frame_nouns[owned][:, None]
    if not (matched[wanted] == 1).all():
        raise RefusedError(
            f"{where}: holds {int(matched[wanted].sum()):,} of the {int(wanted.sum()):,} matched items of the form "
            f"{table.form!r}"
        )
    place = {noun: i for i, noun in enumerate(table.nouns)}
    left_out = np.zeros(n, dtype=np.int64)
    for shown, asked in form.excluded_pairs:
        if shown in place and asked in place and shown != asked:
            left_out[place[asked]] += 1
    full = np.broadcast_to(n - 1 - left_out, (k, n))
    least = full if mismatches is None else np.minimum(full, mismatches)
    if mismatches is not None and (others[wanted] > mismatches).any():
        raise RefusedError(
            f"{where}: holds {int(others[wanted].max())} mismatched items beside one matched item of the form "
            f"{table.form!r}, but result.json says that {mismatches} were drawn"
        )
    if (others[wanted] < least[wanted]).any():
        raise RefusedError(
            f"{where}: lacks mismatched items of the form {table.form!r}: {int(others[wanted].min())} beside one "
            f"matched item, expected {int(least[wanted].max())}"
        )


class Item(NamedTuple):
    """One row: which noun's word was scored after which noun was shown in which frame, and its surprisal (nats)."""

    frame: str
    env: str
    target: str
    surprisal: float


def sample_items(table: SurprisalTable, n: int, seed: int) -> list[Item]:
    """Return a seeded sample of a table's scored rows, without repeats."""
    known = np.flatnonzero(~np.isnan(table.surprisal))
    picked = np.sort(np.random.default_rng(seed).permutation(known)[:n])
    return list(_items(table, picked))


def _items(table: SurprisalTable, rows: Ints) -> Iterator[Item]:
    for frame, env, target, s in zip(
        table.frame[rows].tolist(),
        table.env[rows].tolist(),
        table.target[rows].tolist(),
        table.surprisal[rows].tolist(),
        strict=True,
    ):
        yield Item(table.frames[frame], table.nouns[env], table.nouns[target], s)
