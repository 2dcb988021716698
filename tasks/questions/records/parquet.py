"""Parquet tables, one record a row."""

from __future__ import annotations

from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.tasks.questions.records.rows import Rows

MOST_ROWS = 5_000_000


def read_parquet(path: Path) -> Rows:
    """Return rows by the columns' names; nulls are absent fields. Raises BadInputError for a damaged or absent file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise BadInputError(f"{path}: no such file; expected records as JSON lines, CSV, Parquet or YAML")
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise BadInputError(f"{path}: {file.metadata.num_rows:,} rows, expected at most {MOST_ROWS:,}")
            rows = file.read().to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise BadInputError(f"{path}: not a Parquet file: {' '.join(str(error).split())[:200]}") from None
    kept = ({k: v for k, v in row.items() if v is not None} for row in rows)
    return Rows([(f"{path}, row {i}", row) for i, row in enumerate(kept, 1)])
