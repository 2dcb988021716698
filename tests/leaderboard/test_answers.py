"""A screening is submitted with its answers: what they give must be what the card says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.word_model import prior_only

from groundbench import screen
from groundbench.leaderboard.submission.answers_parquet import check_answers
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError
from groundbench.results.risk_card import RiskCard

COLOURS = ("red", "blue", "green", "white", "black", "pink", "grey", "gold")


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    rows = [
        {
            "question": f"what colour is thing {i} ?",
            "evidence": f"thing {i} is {COLOURS[i % 8]} .",
            "answer": f"it is {COLOURS[(i + i % 2) % 8]} .",
            "label": "unsupported" if i % 2 else "supported",
        }
        for i in range(60)
    ]
    (folder / "my.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    screen(prior_only(), [str(folder / "my.jsonl")], out=folder / "out")
    return folder / "out"


def test_a_screenings_own_files_are_admitted(screened: Path) -> None:
    card = RiskCard.load(screened)
    assert any(s.auroc is not None for s in card.signals)
    check_answers((screened / "answers.parquet").read_bytes(), "mine/answers.parquet", card)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("wrong", lambda c: [not c[0], *c[1:]], "its answers give an error rate of"),
        ("risk_perplexity", lambda c: [-x for x in c], "its answers give an AUROC of perplexity of"),
        ("risk_perplexity", lambda c: [None, *c[1:]][:0] + [None] * len(c), "0 answers have a perplexity"),
        ("split", lambda c: list(range(len(c))), "the column split is int64, expected string"),
    ],
)
def test_answers_that_give_other_numbers_are_refused(screened: Path, column, value, message) -> None:  # type: ignore[no-untyped-def]
    table = pq.read_table(screened / "answers.parquet")
    old = table[column]
    made = value(old.to_pylist())
    kind = None if column == "split" else old.type
    changed = table.set_column(table.schema.get_field_index(column), column, pa.array(made, kind))
    path = screened / "changed.parquet"
    pq.write_table(changed, path)
    with pytest.raises(RefusedError, match=message):
        check_answers(path.read_bytes(), "mine/answers.parquet", RiskCard.load(screened))


def test_what_is_no_parquet_or_of_another_card_is_refused(screened: Path) -> None:
    card = RiskCard.load(screened)
    with pytest.raises(RefusedError, match="not a readable Parquet file"):
        check_answers(b"PAR1" * 40, "mine/answers.parquet", card)
    fewer = card.model_copy(update={"questions": card.questions.model_copy(update={"n": 3})})
    with pytest.raises(RefusedError, match="holds 60 answers, but the card has 3"):
        check_answers((screened / "answers.parquet").read_bytes(), "mine/answers.parquet", fewer)


def test_a_submission_of_both_files_is_read_and_answers_alone_are_not(screened: Path, tmp_path: Path) -> None:
    from groundbench.leaderboard.submission.submission import _read_run

    run = tmp_path / "own"
    run.mkdir()
    shutil.copy(screened / "answers.parquet", run)
    with pytest.raises(RefusedError, match=r"answers.parquet: has no card.json beside it"):
        _read_run(run, "mine/own", ("answers.parquet",), lambda *_: None)  # type: ignore[arg-type,return-value]
    shutil.copy(screened / "card.json", run)
    found = _read_run(run, "mine/own", ("answers.parquet", "card.json"), lambda *_: None)  # type: ignore[arg-type,return-value]
    assert found.risk is not None


def columns_of_very_many(table: pa.Table) -> pa.Table:
    return pa.table({**{n: table[n] for n in table.column_names}, **{f"x{i}": table["wrong"] for i in range(600)}})


def a_column_twice(table: pa.Table) -> pa.Table:
    return pa.Table.from_arrays([*table.columns, table["wrong"]], names=[*table.column_names, "wrong"])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (columns_of_very_many, {}, "more columns or row groups than answers have"),
        (lambda t: pa.concat_tables([t] * 20), {"row_group_size": 1}, "more columns or row groups than answers have"),
        (a_column_twice, {}, "the column 'wrong' stands there twice"),
    ],
)
def test_answers_of_another_shape_are_refused(screened: Path, change, options, message) -> None:  # type: ignore[no-untyped-def]
    sink = pa.BufferOutputStream()
    pq.write_table(change(pq.read_table(screened / "answers.parquet")), sink, **options)
    with pytest.raises(RefusedError, match=message):
        check_answers(sink.getvalue().to_pybytes(), "mine/answers.parquet", RiskCard.load(screened))
