"""The documented queries run, and give the numbers of result.json."""

from __future__ import annotations

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.fake_results import fake_result, write_run

from groundbench.api.adapter import Mixer
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads_table import write_heads

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, write_run(folder, 3, n_nouns=20)


def documented(root, language: str, name: str) -> str:
    text = (root / "docs" / "reference" / "result_files.md").read_text(encoding="utf-8")
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


def saliency() -> HeadSaliency:
    """Two items, two layers of two heads: head 0 of layer 1 holds 60 % of its row in the first, 20 % in the second."""
    share = np.array([[0.6, 0.1, 0.0, 0.4], [0.2, 0.1, 0.0, 0.4]], dtype=np.float32)
    ones, layers = np.ones_like(share), np.ones((2, 2), dtype=np.float32)
    return HeadSaliency(
        mixers=(Mixer(layer=1, kind="attention", n_heads=2, d_head=4), Mixer(2, "attention", 2, 4)),
        nouns=("ball", "cup"),
        frames=("f0", "f0"),
        length=np.array([5, 5], dtype=np.int32),
        span=np.ones((2, 2), dtype=np.int32),
        surprisal=np.ones(2, dtype=np.float32),
        edge=share,
        null_edge=0 * share,
        row_sum=ones,
        row_offdiagonal=ones,
        signed_edge=share,
        signed_row=ones,
        layer_edge=layers,
        layer_row=layers,
    )


def test_duckdb_head_query(tmp_path, root):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    write_heads(tmp_path / "heads.parquet", [("gloss", saliency()), ("word", saliency())], fake_result(1))
    query = documented(root, "sql", "detection").replace("'heads.parquet'", f"'{tmp_path}/heads.parquet'")
    expected = [(2, 1, 1.0, 0.4), (1, 0, 0.5, 0.4), (1, 1, 0.0, 0.1), (2, 0, 0.0, 0.0)]
    assert [r[1:4] for r in duckdb.sql(query).fetchall()] == [e[:3] for e in expected * 2]
    assert [r[4] for r in duckdb.sql(query).fetchall()] == pytest.approx([e[3] for e in expected * 2], abs=1e-6)


def test_the_documented_columns_are_the_written_ones(run, root, tmp_path):
    folder, result = run
    write_heads(tmp_path / "heads.parquet", [("word", saliency())], result)
    text = (root / "docs" / "reference" / "result_files.md").read_text(encoding="utf-8")
    of_items, of_heads = text.split("## heads.parquet")
    table = re.findall(r"^\| ([a-z, ]+) \| (?:text|integer|number) \|", of_items, re.M)
    assert set(", ".join(table).split(", ")) == set(pq.read_schema(folder / "items.parquet").names)
    prose = of_heads.split("How often")[0]
    named = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([a-z_, ]+)`", prose))))
    assert named == set(pq.read_schema(tmp_path / "heads.parquet").names)


def test_pandas_query(run, root, monkeypatch):
    pytest.importorskip("pandas", reason="pandas is not installed")
    folder, result = run
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(documented(root, "python", "gain"), names)
    assert names["gain"]["token"] == pytest.approx(result.gain.mean, abs=1e-9)
    expected = {n.noun: n.gain for n in result.gain.by_noun}
    assert names["by_noun"]["token"].to_dict() == pytest.approx(expected, abs=1e-9)
