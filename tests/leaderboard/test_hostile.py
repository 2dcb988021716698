"""Each attack that a public board must bear: refused in one sentence, or shown and inert."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from helpers.pages import Page, assert_inert
from helpers.submissions import CARD, board_at, edit, reference, references, write_submission

from groundbench.leaderboard import RefusedError, Submission, build_site, read_submission
from groundbench.leaderboard.site.publish import Publisher
from groundbench.leaderboard.submission import plausibility
from groundbench.leaderboard.submission.items_parquet import MOST_ROWS, read_tables

EVIL = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}${1}`javascript:alert(1)"


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every string in a document, as value or as key of a free mapping."""
    if isinstance(value, str):
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from strings(inner, (*path, key))


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def accepted(folder, document) -> bool:
    """Return True if a result is accepted; else check that it is refused in one short sentence."""
    (folder / "run" / "result.json").write_text(json.dumps(document))
    try:
        read_submission(folder, references)
    except RefusedError as error:
        said = str(error)
        assert "\n" not in said
        assert len(said) < 600
        return False
    return True


def complete(folder) -> dict[str, Any]:
    """A result in which every optional text is there."""
    document = json.loads((folder / "run" / "result.json").read_text())
    document["failures"] = [{"where": "a", "reason": "b"}]
    document["testbed"]["excluded"] = [{"noun": "window", "reason": "b"}]
    document["forms"][1]["excluded"] = [{"noun": "window", "reason": "b"}]
    first = document["forms"][0]
    first["excluded"] = document["testbed"]["excluded"]
    first["ablations"][0]["note"] = first["lens"][0]["note"] = "n"
    document["model"]["checkpoint"] = "c"
    document["protocol"] = {"seed": 0, EVIL: EVIL, "nested": {"list": ["x"]}}
    document["environment"]["versions"][EVIL] = "1"
    first["image"] = {
        "env_form": document["testbed"]["env_form"],
        "hash": "0" * 16,
        "reading": [{"heads": "all", "n_items": 1}],
    }
    return document


def test_a_script_in_every_text_of_a_result_and_card_is_refused_or_inert(tmp_path):
    board = board_at(tmp_path)
    folder = write_submission(board.entries, "evil", 1, n_nouns=4)
    document = complete(folder)
    assert accepted(folder, document)
    taken = []
    for path in strings(document):
        tried = json.loads(json.dumps(document))
        put(tried, path, EVIL)
        if accepted(folder, tried):
            taken.append(path)
    fields = {tuple(k for k in path if isinstance(k, str))[-1] for path in taken}
    assert {"name", "family", "architecture", "reason", "note", "where", "checkpoint"} <= fields
    assert not fields & {"schema_version", "hash", "selection", "kind", "control", "noun", "category", "env_form"}
    for path in taken:  # all at once
        tried = json.loads(json.dumps(document))
        put(tried, path, EVIL)
        document = tried if accepted(folder, tried) else document
    assert accepted(folder, document)
    card = yaml.safe_load(CARD.format(name="x")) | {"notes": "n"}
    texts = [k for k in card if k not in ("commit", "weights")]
    (folder / "card.yaml").write_text(json.dumps(card | dict.fromkeys(texts, EVIL)))
    assert build_site(board, tmp_path / "site") == []
    assert_inert(tmp_path / "site")
    for page in ("index.html", "models/evil.html"):
        assert "alert(1)" in Page((tmp_path / "site" / page).read_text()).text


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 40])
def test_a_number_that_is_none_is_refused_wherever_it_stands(tmp_path, text):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=4)
    kept = (folder / "run" / "result.json").read_text()
    for field in ('"ci_low": ', '"gain_removed": ', '"layer": ', '"parameters": ', '"seconds": '):
        at = kept.index(field) + len(field)
        (folder / "run" / "result.json").write_text(kept[:at] + text + kept[kept.index(",", at) :])
        with pytest.raises(RefusedError, match=r"^mine/run/result\.json: "):
            read_submission(folder, references)


def test_a_file_of_very_many_numbers_is_refused_before_it_is_built(tmp_path, monkeypatch):
    folder = write_submission(tmp_path, "mine")
    (folder / "run" / "result.json").write_bytes(b"[" + b"1," * 700_000 + b"1]")
    monkeypatch.setattr("json.loads", lambda *a, **k: pytest.fail("parsed"))
    with pytest.raises(RefusedError, match="more than 600,000 values"):
        read_submission(folder, references)


def packed(n: int, **names: str) -> bytes:
    """Items in which every text is one name, n times: a few kilobytes whatever n is."""
    code = pa.nulls(n, pa.int32()).fill_null(0)
    texts = {"form": "token", "frame": "f0", "env": "apple", "target": "apple", "condition": "matched"} | names
    columns = {k: pa.DictionaryArray.from_arrays(code, pa.array([v])) for k, v in texts.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table({**columns, "surprisal": pa.nulls(n, pa.float64()).fill_null(1.0)}), sink)
    return sink.getvalue()


def read_items(raw: bytes) -> None:
    bed = reference(4)
    read_tables(raw, "f", bed, {"token": bed.forms["token"].nouns})


def test_a_long_text_named_by_very_many_rows_is_not_unpacked():
    """64 kB that would unfold to 10^12 bytes of text."""
    raw = packed(1_000_000, frame="x" * 1_000_000)
    assert len(raw) < 200_000
    with pytest.raises(RefusedError, match="of more than 200 bytes"):
        read_items(raw)


def test_more_rows_than_any_result_has_are_refused():
    raw = packed(MOST_ROWS + 1)
    assert len(raw) < 100_000
    with pytest.raises(RefusedError, match="more than 2,000,000 rows"):
        read_items(raw)


def test_one_hostile_submission_does_not_keep_the_others_off_the_board(tmp_path):
    board = board_at(tmp_path)
    write_submission(board.entries, "good", 1, n_nouns=4)
    for slug, content in (
        ("nan", b'{"gain": NaN}'),
        ("deep", b"[" * 90_000),
        ("bytes", b"\xff\x00"),
        ("zip", b"PK\3\4"),
    ):
        (write_submission(board.entries, slug, 1, n_nouns=4) / "run" / "result.json").write_bytes(content)
    (board.entries / "..hidden").mkdir()
    (board.entries / "<b>").mkdir()
    read = list(board.read())
    assert [s.slug for s in read if isinstance(s, Submission)] == ["good"]
    refused = build_site(board, tmp_path / "site")
    assert len(refused) == 5
    assert_inert(tmp_path / "site")


def test_files_that_are_small_each_are_limited_together(tmp_path, monkeypatch):
    monkeypatch.setattr("groundbench.leaderboard.submission.submission.MOST_VALUES", 5_000)
    folder = write_submission(tmp_path, "mine", 1, n_nouns=4)
    read_submission(folder, references)
    for i in range(9):
        shutil.copytree(folder / "run", folder / f"run-{i}")
    with pytest.raises(RefusedError, match=r"^mine: its runs hold [0-9,]+ values together; expected at most 5,000$"):
        read_submission(folder, references)


def test_a_page_of_very_many_rows_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("groundbench.leaderboard.site.publish.MOST_OF_A_PAGE", 20_000)
    board = board_at(tmp_path)
    write_submission(board.entries, "mine", 1, n_nouns=4)
    (tmp_path / "site").mkdir()
    with pytest.raises(RefusedError, match="its page would have"):
        Publisher(board, tmp_path / "site")(board.entries / "mine")
    assert list((tmp_path / "site").iterdir()) == []


@pytest.mark.parametrize("field", ["measured", "released"])
def test_a_day_to_come_is_refused(tmp_path, field):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=4)
    with (folder / "card.yaml").open("a") as card:
        card.write(f"{field}: 2099-01-01\n")
    with pytest.raises(RefusedError, match="is a day to come"):
        read_submission(folder, references)


@pytest.mark.parametrize(("layer", "n_heads"), [(1, 2**53), (2**50, 1), (1, 10**6)])
def test_a_model_of_more_heads_than_a_page_can_draw_is_refused(tmp_path, layer, n_heads):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=4)
    edit(folder, "model.mixers.0.layer", layer)
    edit(folder, "model.mixers.0.n_heads", n_heads)
    with pytest.raises(RefusedError, match="expected 50,000 at most"):
        read_submission(folder, references)


def test_the_heads_of_a_model_are_counted_once_however_many_records_it_has(tmp_path, monkeypatch):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=4)
    document = json.loads((folder / "run" / "result.json").read_text())
    cut = {"selection": "crossfit", "control": "layer", "mode": "zero", "positions": "all", "n_draws": 1}
    document["forms"][0]["ablations"] = [cut] * 500
    document["forms"][0]["heads"] *= 50
    (folder / "run" / "result.json").write_text(json.dumps(document))
    counted = []
    original = plausibility._heads_by_layer
    monkeypatch.setattr(plausibility, "_heads_by_layer", lambda model: counted.append(1) or original(model))
    read_submission(folder, references)
    assert len(counted) == 1
