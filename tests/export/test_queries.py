"""The documented queries run, and give the numbers of result.json."""

from __future__ import annotations

import re

import pytest
from fake_results import write_run

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, write_run(folder, 3, n_nouns=20)


def documented(root, language: str, name: str) -> str:
    text = (root / "docs" / "results.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.S)
    return next(b for b in blocks if re.match(rf"(--|#) name: {name}\n", b))


def test_duckdb_queries(run, root):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    folder, result = run

    def ask(name: str):
        query = documented(root, "sql", name).replace("'items.parquet'", f"'{folder}/items.parquet'")
        return duckdb.sql(query).fetchall()

    ((form, gain, nouns),) = ask("gain")
    assert (form, nouns) == ("token", 20)
    assert gain == pytest.approx(result.gain.mean, abs=1e-9)
    by_noun = {noun: g for _, noun, g in ask("gain_by_noun")}
    assert by_noun == pytest.approx({n.noun: n.gain for n in result.gain.by_noun}, abs=1e-9)
    assert len(ask("confusions")) == 20


def test_duckdb_head_query(tmp_path, root):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"layer": [1, 1, 2], "head": [0, 0, 1], "detected": [True, False, False], "share_row": [0.5, 0.1, 0.2]}
    pq.write_table(pa.table(columns), tmp_path / "heads.parquet")
    query = documented(root, "sql", "detection").replace("'heads.parquet'", f"'{tmp_path}/heads.parquet'")
    assert duckdb.sql(query).fetchall() == [(1, 0, 0.5, pytest.approx(0.3)), (2, 1, 0.0, 0.2)]


def test_pandas_query(run, root, monkeypatch):
    pytest.importorskip("pandas", reason="pandas is not installed")
    folder, result = run
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(documented(root, "python", "gain"), names)
    assert names["gain"]["token"] == pytest.approx(result.gain.mean, abs=1e-9)
    expected = {n.noun: n.gain for n in result.gain.by_noun}
    assert names["by_noun"]["token"].to_dict() == pytest.approx(expected, abs=1e-9)
