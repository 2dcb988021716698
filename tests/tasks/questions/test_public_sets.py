"""Public sets in their makers' schema: rows of our own making, and the real files where they are at hand."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from groundbench.api.errors import BadInputError
from groundbench.tasks.questions.records import ReadOptions, load_records
from groundbench.tasks.questions.sets import ALL, SETS

DATA = Path(os.environ.get("GROUNDBENCH_DATA", Path(__file__).parents[4] / "shared" / "data")) / "evidence"

CONFLICT = {"question": "Where is the fair?"}
ROWS: dict[str, tuple[list[dict[str, Any]], str, list[str]]] = {
    "memotrap": (
        [
            {"prompt": 'Write a quote that ends in the word "soup": Too many cooks spoil the',
             "classes": "[' soup.', ' broth.']", "answer_index": 0},
            {"prompt": "Translate the following sentence from German into English.\nViele Suppen.\nto:\nMany",
             "classes": "[' soups.', ' cooks.']", "answer_index": 0},
            {"prompt": "What was the common belief before the following event: Bo saw it.\nA. No.\nB. Yes.\nAnswer:",
             "classes": '[" A", " B"]', "answer_index": 1},
        ],
        "A",
        ['Write a quote that ends in the word "soup":', "Viele Suppen.", "Bo saw it."],
    ),
    "halueval-qa": (
        [{"knowledge": "Bo lives in Ghent.", "question": "Where?", "right_answer": "Ghent",
          "hallucinated_answer": "Ulm"}],
        "B",
        ["Bo lives in Ghent."] * 2,
    ),
    "halueval-dialogue": (
        [{"knowledge": "Bo sings.", "dialogue_history": "[Human]: Hi", "right_response": "Bo sings.",
          "hallucinated_response": "Bo paints."}],
        "B",
        ["Bo sings."] * 2,
    ),
    "halueval-summarization": (
        [{"document": "Bo sold two cats.", "right_summary": "Bo sold cats.", "hallucinated_summary": "Bo sold dogs."}],
        "B",
        ["Bo sold two cats."] * 2,
    ),
    "halueval-general": (
        [{"ID": "1", "user_query": "Name a cat.", "chatgpt_response": "Bo.", "hallucination": "no"}],
        "B",
        ["Name a cat."],
    ),
    "faitheval-counterfactual": (
        [{"id": "x", "question": "What floats?", "context": "Iron floats.", "answerKey": "B",
          "choices": {"label": ["A", "B"], "text": ["cork", "iron"]}}],
        "A",
        ["Iron floats."],
    ),
    "faitheval-unanswerable": (
        [{"qid": "x", "question": "Who?", "context": "Somebody did.", "answers": ["unknown"], "old_answers": ["Bo"]}],
        "A",
        ["Somebody did."],
    ),
    "faitheval-inconsistent": (
        [{"qid": "x", "question": "Who?", "context": "Bo did. Al did.", "answers": ["Bo", "Al"]}],
        "A",
        ["Bo did. Al did."],
    ),
    "nq-swap": (
        [{**CONFLICT, "org_context": "It is in Ulm.", "org_answer": ["Ulm"], "sub_context": "It is in Bonn.",
          "sub_answer": ["Bonn"]}],
        "A",
        ["It is in Bonn.", "It is in Ulm."],
    ),
    "conflictqa": (
        [{**CONFLICT, "memory_answer": "Ulm.", "counter_answer": "Bonn.", "parametric_memory": "Ulm it is.",
          "counter_memory": "Bonn it is.", "parametric_memory_aligned_evidence": "Papers say Ulm.",
          "counter_memory_aligned_evidence": "Papers say Bonn."}],
        "A",
        ["Papers say Bonn.", "Papers say Ulm."],
    ),
    "confiqa": (
        [{**CONFLICT, "orig_context": "In Ulm.", "orig_answer": "Ulm", "cf_context": "In Bonn.", "cf_answer": "Bonn"}],
        "A",
        ["In Bonn.", "In Ulm."],
    ),
    "squad-v2": (
        [{"title": "Bo", "paragraphs": [{"context": "Bo was six.", "qas": [
            {"id": "1", "question": "How old?", "answers": [{"text": "six"}], "is_impossible": False},
            {"id": "2", "question": "Which town?", "answers": [], "plausible_answers": [{"text": "six"}],
             "is_impossible": True}]}]}],
        "B",
        ["Bo was six."] * 2,
    ),
    "squad-v2-flat": (
        [{"id": "1", "title": "Bo", "context": "Bo was six.", "question": "How old?",
          "answers": {"text": ["six"], "answer_start": [7]}}],
        "B",
        ["Bo was six."],
    ),
    "ragtruth": (
        [{"id": "1", "source_id": "s", "model": "m", "response": "Bo is seven.", "quality": "good",
          "labels": [{"start": 6, "end": 11, "text": "seven", "label_type": "Evident Conflict"}]}],
        "B",
        ["passage 1: Bo is six."],
    ),
    "pope-records": (
        [{"question_id": 1, "image": "a.png", "text": "Is there a cat in the image?", "label": "no"}], "A", [""]
    ),
    "amber": ([{"id": 7, "image": "a.png", "query": "Is the sky green?"}], "A", [""]),
    "naturalbench": (
        [{"Index": 3, "Question_0": "Is it red?", "Question_1": "Is it blue?", "Image_0": "a.png", "Image_1": "b.png",
          "Image_0_Question_0": "Yes", "Image_1_Question_0": "No", "Image_0_Question_1": "No",
          "Image_1_Question_1": "Yes", "Question_Type": "yes_no"}],
        "A",
        [""] * 4,
    ),
}  # fmt: skip
BY_NAME = {s.name for s in ALL if not s.automatic}


def folder_of(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of these rows with what some sets keep beside it."""
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
    (tmp_path / "annotations.json").write_text(json.dumps([{"id": 7, "type": "attribute", "truth": "no"}]))
    prompt = "Answer:\npassages:\npassage 1: Bo is six.\n\nIn case the passages do not contain it, say so.\noutput:"
    source = {"source_id": "s", "task_type": "QA", "prompt": prompt, "source_info": {"question": "q", "passages": "p"}}
    (tmp_path / "source_info.jsonl").write_text(json.dumps(source) + "\n")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


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
