"""Rows of a file by its kind."""

from __future__ import annotations

from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.tasks.questions.records.rows import Rows

SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")


def kind_of(path: Path) -> str:
    """`jsonl`, `csv` or `parquet` by the name, compression aside. Raises BadInputError for another."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".xz", ".bz2"):
        suffixes.pop()
    found = suffixes[-1] if suffixes else ""
    if found in (".jsonl", ".json", ".ndjson"):
        return "jsonl"
    if found in (".csv", ".tsv", ".txt"):
        return "csv"
    if found in (".parquet", ".pq"):
        return "parquet"
    if found in SPREADSHEETS:
        raise BadInputError(f"{path}: is a spreadsheet; save the sheet as CSV (any delimiter) and name that file")
    raise BadInputError(f"{path}: unknown kind of file; expected .jsonl, .json, .csv, .tsv, .parquet or .yaml")


def read_rows(path: Path, delimiter: str | None = None) -> Rows:
    """Read a file by its kind. Raises BadInputError where the file as a whole cannot be read."""
    kind = kind_of(path)
    if kind == "jsonl":
        from groundbench.tasks.questions.records.jsonl import read_jsonl

        return read_jsonl(path)
    if kind == "csv":
        from groundbench.tasks.questions.records.csv_file import read_csv

        return read_csv(path, delimiter)
    from groundbench.tasks.questions.records.parquet import read_parquet

    return read_parquet(path)
