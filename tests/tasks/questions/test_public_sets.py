"""Public sets in their makers' schema: rows of our own making, and the real files where they are at hand."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from helpers.public_sets import ROWS, folder_of
from PIL import Image

from groundbench.api.errors import BadInputError
from groundbench.tasks.questions.records import ReadOptions, load_records
from groundbench.tasks.questions.sets import ALL, SETS

DATA = Path(os.environ.get("GROUNDBENCH_DATA", Path(__file__).parents[4] / "shared" / "data")) / "evidence"

BY_NAME = {s.name for s in ALL if not s.automatic}


def test_every_set_has_rows_here_and_says_where_it_comes_from() -> None:
    assert set(ROWS) == set(SETS)
    for shape in ALL:
        assert shape.source
        assert shape.licence
        assert shape.size
        assert shape.kinds


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_set_is_read_in_its_makers_schema(tmp_path: Path, name: str) -> None:
    rows, mode, evidence = ROWS[name]
    path = folder_of(tmp_path, rows)
    options = ReadOptions(public_set=name if name in BY_NAME else None)
    found = load_records(path, options)
    assert found.mode == mode
    assert [r.evidence for r in found.records] == evidence
    assert any(name.removesuffix("-flat") in note for note in found.notes)
    for record in found.records:
        assert record.mode == mode
        if record.evidence:
            assert record.evidence in record.prompt().text
        else:
            assert record.image is not None
    if mode == "B":
        wrongs = [r.wrong for r in found.records]
        assert wrongs == {1: wrongs, 2: [False, True]}[len(wrongs)]
    kinds = [r.kind for r in found.records]
    if kinds == ["conflict", "agreement"]:
        assert [(r.truth, r.usual) for r in found.records] == [(0, 1), (1, 1)]
        assert len({r.group for r in found.records}) == 1


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_that_lacks_a_field_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    rows, _, _ = ROWS[name]
    needed = SETS[name].needs[0]
    broken = {k: v for k, v in rows[0].items() if k != needed}
    path = folder_of(tmp_path, [rows[0], broken])
    with pytest.raises(BadInputError, match=rf"line 2: .*{needed}|line 2: the id"):
        load_records(path, ReadOptions(public_set=name))


@pytest.mark.parametrize(
    ("file", "mode", "n", "faults"),
    [
        ("memotrap-1-proverb-ending.csv", "A", 860, 0),
        ("memotrap-2-proverb-translation.csv", "A", 843, 0),
        ("memotrap-3-hate-speech-ending.csv", "A", 100, 0),
        ("memotrap-4-history-of-science-qa.csv", "A", 736, 0),
        ("halueval-qa-500.jsonl", "B", 1000, 0),
    ],
)
def test_the_real_files(file: str, mode: str, n: int, faults: int) -> None:
    if not (DATA / file).exists():
        pytest.skip(f"{file} is not at hand")
    found = load_records(DATA / file, ReadOptions(keep_going=True))
    assert (found.mode, len(found.records), len(found.faults)) == (mode, n, faults)
    assert len(found.other) == n
    if mode == "A":
        with (DATA / file).open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        assert [r.truth for r in found.records] == [int(row["answer_index"]) for row in rows]
        texts = [r.before + r.evidence + r.after for r in found.records]
        assert texts == [row["prompt"].rstrip() for row in rows]


@pytest.mark.parametrize("kind", ["random", "popular", "adversarial"])
def test_repope_is_read_where_its_pictures_are(tmp_path: Path, kind: str) -> None:
    path = DATA / f"coco_repope_{kind}.json.xz"
    if not path.exists():
        pytest.skip("RePOPE is not at hand")
    with pytest.raises(BadInputError, match=r"line 1: the image 'COCO_val2014_\d+\.jpg' is not in"):
        load_records(path, ReadOptions(images=tmp_path))
    Image.new("RGB", (8, 8)).save(tmp_path / "COCO_val2014_000000310196.jpg")
    found = load_records(path, ReadOptions(images=tmp_path, keep_going=True))
    assert {r.kind for r in found.records} == {f"presence-{kind}"}
    assert len(found.records) + len(found.faults) in (2774, 2727, 2684)
