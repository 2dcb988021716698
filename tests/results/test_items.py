"""items.parquet: lossless round trip, readable by anybody, faults named."""

import os
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.simulated_tables import per_noun_table, random_surprisals, result_of, shared_table
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.results import items as items_module
from groundbench.results.items import item_forms, read_items, write_items


def same(one: SurprisalTable, two: SurprisalTable) -> bool:
    return all(
        np.array_equal(a, b, equal_nan=f.name == "surprisal")
        if isinstance(a := getattr(one, f.name), np.ndarray)
        else a == getattr(two, f.name)
        for f in fields(one)
        for b in [getattr(two, f.name)]
    )


@pytest.fixture
def shared() -> SurprisalTable:
    s = random_surprisals(np.random.default_rng(0), 3, 5)
    s[0, 1, 2] = np.nan
    return shared_table(s, ("animal", "food", 'ünïcode, "quoted"', "food", ""))


@pytest.fixture
def per_noun() -> SurprisalTable:
    return per_noun_table(np.random.default_rng(1).normal(8, 1, (6, 3)), np.array([2, 0, 1, 0, 2, 1]))


def test_round_trip_of_both_frame_kinds(tmp_path, shared, per_noun) -> None:
    for table in (shared, per_noun):
        write_items(tmp_path / "run" / "items.parquet", [table], result_of(table))
        assert same(read_items(tmp_path / "run" / "items.parquet"), table)
    assert os.listdir(tmp_path / "run") == ["items.parquet"]  # nothing temporary is left


@settings(max_examples=25)
@given(
    names=st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=2, max_size=5, unique=True),
    values=st.lists(st.one_of(st.floats(0, 1e300), st.just(float("nan"))), min_size=1, max_size=40),
    data=st.data(),
)
def test_round_trip_of_anything(tmp_path_factory, names, values, data) -> None:
    n = len(names)
    cells = data.draw(st.lists(st.integers(0, n**3 - 1), min_size=len(values), max_size=len(values), unique=False))
    cells = np.array(sorted(set(cells)), dtype=np.int64)
    frame, env, target = np.unravel_index(cells, (n, n, n))
    table = SurprisalTable(
        form="word",
        frame_kind="shared",
        nouns=tuple(names),
        categories=tuple(reversed(names)),
        frames=tuple(names),
        frame_nouns=np.full(n, -1),
        frame=frame,
        env=env,
        target=target,
        surprisal=np.array(values[: len(cells)]),
    )
    path = tmp_path_factory.mktemp("items") / "items.parquet"
    write_items(path, [table], result_of(table))
    assert same(read_items(path), table)


def test_several_forms_and_many_row_groups(tmp_path, shared, monkeypatch) -> None:
    monkeypatch.setattr(items_module, "ROWS_PER_GROUP", 16)
    gloss = replace(shared, form="gloss", nouns=tuple(reversed(shared.nouns)), surprisal=shared.surprisal + 1)
    path = tmp_path / "items.parquet"
    write_items(path, [shared, gloss], result_of(shared))
    assert pq.ParquetFile(path).num_row_groups > 8
    assert item_forms(path) == ("word", "gloss")
    assert same(read_items(path, "word"), shared)
    assert same(read_items(path, "gloss"), gloss)
    with pytest.raises(BadInputError, match=r"holds the forms word, gloss; expected one of them to be named"):
        read_items(path)
    with pytest.raises(BadInputError, match=r"no items of the form 'emoji', only word, gloss"):
        read_items(path, "emoji")


def test_columns_are_the_contract_and_readable_without_us(tmp_path, shared) -> None:
    path = tmp_path / "items.parquet"
    write_items(path, [shared], result_of(shared, step=None))
    rows = pq.read_table(path).to_pylist()
    columns = ["model", "step", "testbed", "form", "frame", "env", "target", "condition", "surprisal"]
    assert list(rows[0]) == columns
    assert rows[0] | {"surprisal": None} == {
        "model": "planted",
        "step": None,
        "testbed": "planted",
        "form": "word",
        "frame": "frame0",
        "env": "noun0",
        "target": "noun0",
        "condition": "matched",
        "surprisal": None,
    }
    assert sum(r["condition"] == "matched" for r in rows) == 15
    assert [r["surprisal"] for r in rows].count(None) == 1  # the failed item is null, not NaN and not 0


def test_a_failed_write_leaves_the_old_file(tmp_path, shared, monkeypatch) -> None:
    path = tmp_path / "items.parquet"
    write_items(path, [shared], result_of(shared))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", full)
    with pytest.raises(OSError, match="No space left"):
        write_items(path, [replace(shared, surprisal=shared.surprisal * 2)], result_of(shared))
    assert os.listdir(tmp_path) == ["items.parquet"]
    assert same(read_items(path), shared)


def test_files_that_are_not_ours_are_refused(tmp_path, shared) -> None:
    path = tmp_path / "items.parquet"
    with pytest.raises(BadInputError, match=r"items\.parquet: no such file"):
        read_items(path)
    path.write_text("frame,env\n")
    with pytest.raises(BadInputError, match="not a Parquet file"):
        read_items(path)
    write_items(path, [shared], result_of(shared))
    rows = pq.read_table(path)
    pq.write_table(rows.drop_columns(["env"]), path)
    with pytest.raises(BadInputError, match="lacks the column 'env'"):
        read_items(path)
    pq.write_table(rows.replace_schema_metadata(None), path)
    with pytest.raises(BadInputError, match=r"lacks the schema metadata 'groundbench\.items'"):
        read_items(path)


def test_rows_that_contradict_each_other_are_refused(tmp_path, shared) -> None:
    path = tmp_path / "items.parquet"
    write_items(path, [shared], result_of(shared))
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows, rows.slice(7, 1)]), path)
    with pytest.raises(BadInputError, match="stands there twice"):
        read_items(path)

    def with_first(column: str, value: str) -> None:
        values = rows[column].to_pylist()
        changed = pa.array([value, *values[1:]]).dictionary_encode()
        pq.write_table(rows.set_column(rows.schema.get_field_index(column), column, changed), path)

    with_first("condition", "mismatched")
    with pytest.raises(BadInputError, match=r"row 0 of the form 'word' is 'mismatched', which its env 'noun0'"):
        read_items(path)
    with_first("env", "unicorn")
    with pytest.raises(BadInputError, match=r"row 0, column env: 'unicorn' is not in the file's metadata"):
        read_items(path)
