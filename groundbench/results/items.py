"""items.parquet: the per-item table of a run (contract 2), and back to SurprisalTables without loss.

Columns: model, testbed, form, frame, env, target, condition (`matched` or `mismatched`), all dictionary-encoded
strings; step (int64, null where the model is no checkpoint); surprisal (float64, nats; null where the item failed).
What rows cannot tell (the order of nouns and frames, categories, whose frame it is) stands in the schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from groundbench.api.errors import BadInputError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.results.run import Result
from groundbench.util.atomic_files import write_whole

METADATA_KEY = b"groundbench.items"
ROWS_PER_GROUP = 1 << 20
CONDITIONS = ("mismatched", "matched")

_NAME = pa.dictionary(pa.int32(), pa.string())
_FIELDS = {
    "model": _NAME,
    "step": pa.int64(),
    "testbed": _NAME,
    "form": _NAME,
    "frame": _NAME,
    "env": _NAME,
    "target": _NAME,
    "condition": _NAME,
    "surprisal": pa.float64(),
}


def write_items(path: Path, tables: Sequence[SurprisalTable], result: Result) -> None:
    """Write a run's tables, one for each ENV form, whole or not at all; in row groups, so memory stays bounded.

    `result` says which model, step and testbed they belong to.
    """
    forms = {t.form: _describe(t) for t in tables}
    if len(forms) != len(tables):
        raise ValueError(f"two tables of one form among {[t.form for t in tables]}")
    schema = pa.schema(list(_FIELDS.items()), metadata={METADATA_KEY: json.dumps({"forms": forms}).encode()})
    with write_whole(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in tables:
            for batch in _batches(table, schema, result):
                writer.write_batch(batch)


def item_forms(path: Path) -> tuple[str, ...]:
    """List the ENV forms of an items.parquet, in the order written. Raises BadInputError."""
    return tuple(_metadata(path))


def read_items(path: Path, form: str | None = None) -> SurprisalTable:
    """Read the SurprisalTable of one form; `form` may be left out where the file holds only one.

    Raises:
        BadInputError: no such file or form, a file groundbench did not write, or rows that contradict each other.
    """
    forms = _metadata(path)
    if form is None and len(forms) != 1:
        raise BadInputError(f"{path}: holds the forms {', '.join(forms)}; expected one of them to be named")
    form = next(iter(forms)) if form is None else form
    if form not in forms:
        raise BadInputError(f"{path}: holds no items of the form {form!r}, only {', '.join(forms)}")
    about = forms[form]
    nouns, frames = tuple(about["nouns"]), tuple(about["frames"])
    columns = ["frame", "env", "target", "condition", "surprisal"]
    with path.open("rb") as file:
        rows = pq.read_table(file, columns=columns, filters=[("form", "==", form)])
    table = SurprisalTable(
        form=form,
        frame_kind=about["frame_kind"],
        nouns=nouns,
        categories=tuple(about["categories"]),
        frames=frames,
        frame_nouns=np.array(about["frame_nouns"], dtype=np.int64),
        frame=_indices(path, rows, "frame", frames),
        env=_indices(path, rows, "env", nouns),
        target=_indices(path, rows, "target", nouns),
        surprisal=rows["surprisal"].to_numpy().astype(np.float64),
    )
    _check_rows(path, table, _indices(path, rows, "condition", CONDITIONS))
    return table


def _describe(table: SurprisalTable) -> dict[str, Any]:
    return {
        "frame_kind": table.frame_kind,
        "nouns": table.nouns,
        "categories": table.categories,
        "frames": table.frames,
        "frame_nouns": table.frame_nouns.tolist(),
    }


def _batches(table: SurprisalTable, schema: pa.Schema, result: Result) -> Iterator[pa.RecordBatch]:
    names = {c: pa.array(v) for c, v in (("frame", table.frames), ("env", table.nouns), ("target", table.nouns))}
    for start in range(0, len(table.surprisal), ROWS_PER_GROUP):
        part = slice(start, start + ROWS_PER_GROUP)
        n = len(table.surprisal[part])
        step = result.model.step
        matched = (table.env[part] == table.target[part]).astype(np.int32)
        columns = {
            "model": _constant(result.model.name, n),
            "step": pa.array(np.full(n, -1 if step is None else step), mask=np.full(n, step is None)),
            "testbed": _constant(result.testbed.name, n),
            "form": _constant(table.form, n),
            **{c: _dictionary_array(getattr(table, c)[part], names[c]) for c in names},
            "condition": _dictionary_array(matched, pa.array(CONDITIONS)),
            "surprisal": pa.array(table.surprisal[part], from_pandas=True),  # NaN (failed) becomes null
        }
        yield pa.record_batch([columns[name] for name in schema.names], schema=schema)


def _dictionary_array(indices: Any, names: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indices, type=pa.int32()), names)


def _constant(value: str, n: int) -> pa.DictionaryArray:
    return _dictionary_array(np.zeros(n, dtype=np.int32), pa.array([value]))


def _metadata(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            schema = pq.read_schema(file)
    except FileNotFoundError:
        raise BadInputError(f"{path}: no such file; expected the items.parquet of a run directory") from None
    except pa.ArrowInvalid:
        raise BadInputError(f"{path}: not a Parquet file; expected the items.parquet of a run directory") from None
    written = (schema.metadata or {}).get(METADATA_KEY)
    missing = [c for c in _FIELDS if c not in schema.names]
    if written is None or missing:
        lack = f"the column {missing[0]!r}" if missing else f"the schema metadata {METADATA_KEY.decode()!r}"
        raise BadInputError(f"{path}: lacks {lack}; expected an items.parquet that groundbench wrote")
    return cast(dict[str, Any], json.loads(written)["forms"])


def _indices(path: Path, rows: pa.Table, column: str, names: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a string column as positions in `names`."""
    coded = rows[column].combine_chunks()
    coded = coded if pa.types.is_dictionary(coded.type) else coded.dictionary_encode()
    where = {name: i for i, name in enumerate(names)}
    found = coded.dictionary.to_pylist()
    position = np.array([where.get(name, -1) for name in found], dtype=np.int64)
    index = coded.indices.to_numpy(zero_copy_only=False)
    result = position[index] if len(index) else np.empty(0, dtype=np.int64)
    if result.size and result.min() < 0:
        row = int(np.argmin(result))
        raise BadInputError(f"{path}: row {row}, column {column}: {found[index[row]]!r} is not in the file's metadata")
    return result


def _check_rows(path: Path, table: SurprisalTable, condition: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    wrong = np.flatnonzero(condition != (table.env == table.target))
    if wrong.size:
        raise BadInputError(
            f"{path}: row {wrong[0]} of the form {table.form!r} is {CONDITIONS[condition[wrong[0]]]!r}, which its env "
            f"{table.nouns[table.env[wrong[0]]]!r} and target {table.nouns[table.target[wrong[0]]]!r} contradict"
        )
    n = len(table.nouns)
    key = (table.frame * n + table.env) * n + table.target
    if np.unique(key).size != key.size:
        raise BadInputError(f"{path}: some (frame, env, target) of the form {table.form!r} stands there twice")
