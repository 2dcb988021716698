"""Users' own files of records: what is recognised, and one sentence with a line for everything that is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import EvidenceRecord, evidence_group
from groundbench.tasks.questions.records import ReadOptions, as_questions, is_records, load_records
from groundbench.tasks.questions.records.other_evidence import draw_others

GOOD = {"question": "Who?", "evidence": "It was Ann. She said so.", "answer": "Ann", "label": "supported"}


def lines(folder: Path, *rows: dict[str, Any] | str, name: str = "my.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "mode"),
    [
        ({"question": "q", "evidence": "e", "answer": "a", "label": "supported"}, "B"),
        ({"question": "q", "evidence": ["e", "f"], "answer": "a"}, "C"),
        ({"question": "q", "evidence": "e", "candidates": ["a", "b"], "truth": "b"}, "A"),
        ({"user_input": "q", "retrieved_contexts": ["e"], "response": "a", "reference": "r"}, "C"),
        ({"user_input": "q", "retrieved_contexts": ["e"], "response": "a", "hallucinated": True}, "B"),
        ({"question": "q", "contexts": ["e"], "answer": "a", "ground_truth": "r"}, "C"),
        ({"input": "q", "actual_output": "a", "expected_output": "r", "retrieval_context": ["e"]}, "C"),
        ({"input": "q", "target": "B", "choices": ["a", "b"], "evidence": "e"}, "A"),
        ({"query": "q", "passages": ["e"], "model_output": "a", "verdict": "hallucinated"}, "B"),
        ({"instruction": "q", "documents": [{"title": "t", "text": "e"}], "generation": "a"}, "C"),
        ({"question": "q", "context": "e", "options": ["a", "b"], "correct_answer": "b"}, "A"),
        ({"prompt": "Say. passages:\nThe e.\n\noutput:", "answer": "abc", "labels": [{"start": 0, "end": 1}]}, "B"),
    ],
)
def test_names_of_other_tools_are_recognised(tmp_path: Path, row: dict[str, Any], mode: str) -> None:
    found = load_records(lines(tmp_path, row))
    assert found.mode == mode
    (record,) = found.records
    assert record.evidence in ("e", "e\n\nf", "The e.")
    assert record.evidence in record.prompt().text
    assert record.evidence not in record.prompt("").text or record.evidence == "e"
    assert record.group == evidence_group(record.evidence)


def test_of_two_common_names_none_is_taken(tmp_path: Path) -> None:
    """The field of the evidence is not guessed among two: the sentence says what is missing."""
    row = {"query": "q", "context": "e", "documents": ["f"], "response": "a"}
    with pytest.raises(BadInputError, match=r"no field evidence; found context, documents, query, response"):
        load_records(lines(tmp_path, row))
    (note,) = list(load_records(lines(tmp_path, {"query": "q", "docs": "e", "response": "a"})).notes)
    assert "query as question, docs as evidence, response as answer" in note


def test_the_right_answer_of_a_choice_is_found_by_number_letter_or_text(tmp_path: Path) -> None:
    base = {"question": "q", "evidence": "e", "candidates": ["red", "blue", "2"]}
    truths = [load_records(lines(tmp_path, {**base, "truth": t})).records[0].truth for t in (1, "1", "B", "blue", "2")]
    assert truths == [1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('{"question": ', "not JSON"),
        ("[1, 2]", "found list|found int"),
        ('{"question": "q", "evidence": "e", "evidence": "f", "answer": "a"}', "'evidence' comes twice"),
        ('{"question": "q", "evidence": "e", "answer": NaN}', "'answer' is nan"),
        ('{"question": "q", "evidence": "e \\ud800", "answer": "a"}', "half a character"),
        ({**GOOD, "id": ["a"]}, "'id' is list"),
        ({**GOOD, "group": {"a": 1}}, "'group' is dict"),
        ({**GOOD, "spans": [[0.5, 2]]}, "no start and end"),
        ({"question": "q", "answer": "a", "label": "supported"}, "no field 'evidence'"),
        ({"question": "q", "evidence": "", "answer": "a"}, "evidence is empty"),
        ({"question": "q", "evidence": [], "answer": "a"}, "evidence is empty"),
        ({"question": "q", "evidence": [1], "answer": "a"}, "holds int"),
        ({"question": "q", "evidence": {"a": 1}, "answer": "a"}, "is dict"),
        ({"evidence": "e", "answer": "a"}, "neither 'question' nor 'prompt'"),
        ({"question": "q", "evidence": "e"}, "neither 'candidates' nor 'answer'"),
        ({"question": "q", "evidence": "e", "answer": ""}, "'answer' is empty"),
        ({"question": "q", "evidence": "e", "answer": "a", "candidates": ["a", "b"]}, "both candidates and an answer"),
        ({"question": "q", "evidence": "e", "candidates": ["a"], "truth": 0}, "1 candidate"),
        ({"question": "q", "evidence": "e", "candidates": ["a", "a "], "truth": 0}, "different texts"),
        ({"question": "q", "evidence": "e", "candidates": ["a", "b"]}, "no 'truth'"),
        ({"question": "q", "evidence": "e", "candidates": ["a", "b"], "truth": ["a", "b"]}, "2 truths"),
        ({"question": "q", "evidence": "e", "candidates": ["a", "b"], "truth": 2}, "'truth' is '2'"),
        ({"question": "q", "evidence": "e", "candidates": ["a", "b"], "truth": "c"}, "'truth' is 'c'"),
        ({**GOOD, "label": "perhaps"}, "'label' is 'perhaps'"),
        ({**GOOD, "label": 1}, "does not say which"),
        ({**GOOD, "spans": [[0, 2]]}, "two truths"),
        ({**GOOD, "supported": False}, "two truths"),
        ({"question": "q", "evidence": "e", "answer": "ab", "spans": [[1, 3]]}, "outside the answer of 2"),
        ({"question": "q", "evidence": "e", "answer": "ab", "spans": [[1, 1]]}, "outside the answer"),
        ({"question": "q", "evidence": "e", "answer": "ab", "spans": [{"start": 0}]}, "no start and end"),
        ({"prompt": "no such text", "evidence": "e e e", "answer": "a"}, "stands 0 times"),
        ({"prompt": "red and red", "evidence": "red", "answer": "a"}, "stands 2 times"),
        ({"question": "q", "image": "none.jpg", "candidates": ["yes", "no"], "truth": "no"}, "image 'none.jpg' is not"),
    ],
)
def test_every_fault_is_named_with_its_line_and_the_good_records_are_kept(
    tmp_path: Path, row: dict[str, Any] | str, why: str
) -> None:
    """Good records stand before and after; the line is the faulty one's."""
    good: list[dict[str, Any]] = [{**GOOD, "evidence": f"{GOOD['evidence']} {i}"} for i in range(3)]
    if isinstance(row, dict) and "candidates" in row and "answer" not in row:
        good = [{"question": "q", "evidence": f"e{i}", "candidates": ["x", "y"], "truth": 0} for i in range(3)]
    path = lines(tmp_path, good[0], row, *good[1:])
    with pytest.raises(BadInputError, match=rf"my\.jsonl, line 2: .*(?:{why})"):
        load_records(path)
    kept = load_records(path, ReadOptions(keep_going=True))
    assert len(kept.records) == 3
    (fault,) = kept.faults
    assert fault.where.endswith("line 2")


def test_mixed_modes_and_repeated_ids_are_refused(tmp_path: Path) -> None:
    mixed = lines(tmp_path, GOOD, GOOD, {"question": "q", "evidence": "e", "answer": "a"})
    with pytest.raises(BadInputError, match=r"line 3: holds given answers without labels, but .*line 1 holds"):
        load_records(mixed)
    assert len(load_records(mixed, ReadOptions(keep_going=True)).records) == 2
    with pytest.raises(BadInputError, match=r"line 2: the id 'x' comes twice, first in .*line 1"):
        load_records(lines(tmp_path, {**GOOD, "id": "x"}, {**GOOD, "id": "x"}))


def test_a_faulty_first_record_does_not_decide_what_a_file_is(tmp_path: Path) -> None:
    """Its own line is blamed, and the others are read, by whatever names."""
    ragas = {"user_input": "q", "retrieved_contexts": ["e"], "response": "a"}
    common = {"query": "q", "docs": "e", "response": "a"}
    for good, lacking in ((GOOD, "evidence"), (ragas, "retrieved_contexts"), (common, "docs"), (common, "query")):
        bad = {name: value for name, value in good.items() if name != lacking}
        path = lines(tmp_path, bad, *[good] * 3)
        with pytest.raises(BadInputError, match="line 1: has"):
            load_records(path)
        assert len(load_records(path, ReadOptions(keep_going=True)).records) == 3
    path = lines(tmp_path, *[GOOD] * 3, ragas)  # nor does a stray one of another tool
    with pytest.raises(BadInputError, match="line 4: has"):
        load_records(path)


def test_a_broken_array_keeps_the_records_before_the_break(tmp_path: Path) -> None:
    path = tmp_path / "my.json"
    whole = json.dumps([{**GOOD, "evidence": f"e{i}"} for i in range(3)], indent=0)
    path.write_text(whole)
    assert len(load_records(path).records) == 3
    path.write_text(whole[:-9])
    last = whole[:-9].count("\n") + 1
    with pytest.raises(BadInputError, match=rf"my\.json, line {last}: not JSON"):
        load_records(path)
    assert len(load_records(path, ReadOptions(keep_going=True)).records) == 2


def test_a_template_or_field_names_that_do_not_fit_are_said_once(tmp_path: Path) -> None:
    path = lines(tmp_path, *[GOOD] * 3)
    for template in ("{evidence} {evidence}", "{evidence} {question} {question}", "{context}", "{evidence} {frage}"):
        with pytest.raises(BadInputError, match="the template has") as said:
            load_records(path, ReadOptions(template=template))
        assert "line" not in str(said.value)
    with pytest.raises(BadInputError, match=r"line 1: the template has 0 slots \{evidence\}, expected exactly one"):
        load_records(path, ReadOptions(template="{question}"))  # of images it would be right
    with pytest.raises(BadInputError, match=r"no field 'frage', which fields gives for question; found .*question"):
        load_records(path, ReadOptions(fields={"question": "frage"}))


def test_braces_of_a_prompt_that_are_no_slots_are_text(tmp_path: Path) -> None:
    path = lines(tmp_path, GOOD)
    template = 'Reply {"say": {"it": 1}} and {{name}}. {evidence} {question}'
    (record,) = load_records(path, ReadOptions(template=template)).records
    assert record.prompt().text.startswith('Reply {"say": {"it": 1}} and {name}. ')
    with pytest.raises(BadInputError, match=r"the slot \{name\}, expected only .* written \{\{name\}\}"):
        load_records(path, ReadOptions(template=template.replace("{{name}}", "{name}")))


def test_fields_name_what_they_name_and_the_rest_stays_recognised(tmp_path: Path) -> None:
    row = {"input": "Who?", "context": ["It was Ann."], "output": "Ann", "grounded": "supported", "ok": "wrong"}
    path = lines(tmp_path, row)
    (record,) = load_records(path).records
    assert (record.question, record.evidence, record.answer, record.wrong) == ("Who?", "It was Ann.", "Ann", False)
    for label, wrong in (("grounded", False), ("ok", True)):
        rows = {k: v for k, v in row.items() if k in ("input", "context", "output", label)}
        (record,) = load_records(lines(tmp_path, rows), ReadOptions(fields={"label": label})).records
        assert (record.question, record.evidence, record.answer, record.wrong) == ("Who?", "It was Ann.", "Ann", wrong)


def test_a_file_without_the_fields_says_which_and_how_to_name_them(tmp_path: Path) -> None:
    path = lines(tmp_path, {"frage": "q", "text": "e", "antwort": "a"})
    with pytest.raises(
        BadInputError, match=r"no field evidence, no field question .*found antwort, frage, text.*fields:"
    ):
        load_records(path)
    pointer = tmp_path / "my.yaml"
    pointer.write_text(
        "records: my.jsonl\nfields: {question: frage, evidence: text, answer: antwort}\n"
        "template: 'Text: {evidence} Frage: {question}'\n"
    )
    assert is_records(str(pointer))
    (record,) = load_records(pointer).records
    assert record.prompt().text == "Text: e Frage: q"
    assert record.prompt("").text == "Text:  Frage: q"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_are_read_whatever_their_delimiter_marks_and_line_ends(
    tmp_path: Path, mark: str, encoding: str, end: str
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark, lineterminator=end)
    writer.writerow(["question", "evidence", "answer", "label"])
    writer.writerow(["Où?", f"Le café, là{mark} {end}deux lignes.", "là", "supported"])
    path = tmp_path / "my.csv"
    path.write_bytes(out.getvalue().encode(encoding))
    (record,) = load_records(path).records
    assert (record.question, record.answer) == ("Où?", "là")
    assert record.evidence == f"Le café, là{mark} \ndeux lignes."


def test_tables_faults_have_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text('question,evidence,answer\nq,"two\nlines",a\nq,e\nq,e,a\n')
    with pytest.raises(BadInputError, match="line 4: has 2 fields, expected the header's 3"):
        load_records(path)
    path.write_text("question,question,answer\nq,e,a\n")
    with pytest.raises(BadInputError, match="'question' comes twice"):
        load_records(path)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("sep=;\r\nquestion;evidence;answer\r\n", "q;e;a\r\n"),
        ("question;evidence, from, a, wiki, or, not;answer\n", "q;e;a\n"),
        ("question;evidence;answer;;\n", "q;e;a;;\n"),
        ("\n\nquestion;evidence;answer\n", "q;e;a\n"),
        ('"question";"evidence";"answer"\n', '"q, q, q";"e, e, e, e";"a"\n'),
    ],
)
def test_tables_as_spreadsheets_save_them(tmp_path: Path, head: str, row: str) -> None:
    """A line that names the delimiter, commas within, columns without a name, blank lines."""
    path = tmp_path / "my.csv"
    path.write_bytes((head + row * 3).encode())
    named = "evidence, from, a, wiki, or, not" if "wiki" in head else "evidence"
    found = load_records(path, ReadOptions(fields={"question": "question", "evidence": named, "answer": "answer"}))
    assert [r.answer for r in found.records] == ["a"] * 3
    with pytest.raises(BadInputError, match="is a spreadsheet; save the sheet as CSV"):
        load_records(tmp_path / "my.xlsx")


def test_a_quotation_mark_that_nothing_closes_takes_its_own_line_only(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    good = 'q,"two\nlines",a\n'
    path.write_text("question,evidence,answer\n" + good + 'q,"open,a\n' + good * 5)
    with pytest.raises(BadInputError, match="line 4: not CSV"):
        load_records(path)
    found = load_records(path, ReadOptions(keep_going=True))
    assert len(found.faults) == 1
    assert [r.evidence for r in found.records] == ["two\nlines"] * 6


def test_parquet_and_compressed_files(tmp_path: Path) -> None:
    table = {"user_input": ["q"], "retrieved_contexts": [["e", "f"]], "response": ["a"]}
    pq.write_table(pa.table(table), tmp_path / "my.parquet")
    assert load_records(tmp_path / "my.parquet").records[0].evidence == "e\n\nf"
    packed = tmp_path / "my.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert load_records(packed).records[0].answer == "Ann"
    packed.write_bytes(b"no gzip")
    with pytest.raises(BadInputError, match=r"damaged \.gz file"):
        load_records(packed)
    (tmp_path / "my.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BadInputError, match="not a Parquet file"):
        load_records(tmp_path / "my.parquet")


def test_evidence_is_cut_at_sentence_borders_only_and_it_is_said(tmp_path: Path) -> None:
    path = lines(tmp_path, {**GOOD, "evidence": "One is here. Two is there! Three goes on and on."})
    found = load_records(path, ReadOptions(max_evidence=30))
    assert found.records[0].evidence == "One is here. Two is there!"
    assert found.records[0].cut > 0
    assert any("cut to 30 characters" in n for n in found.notes)
    with pytest.raises(BadInputError, match="first sentence is longer than --max-evidence 5"):
        load_records(path, ReadOptions(max_evidence=5))


def test_other_evidence_is_of_another_group_nearest_in_length_whatever_the_labels() -> None:
    def record(i: int, words: int, group: str, wrong: bool) -> EvidenceRecord:
        evidence = " ".join([f"w{i}"] * words)
        return EvidenceRecord(f"{i}", "q", evidence, "", " q", " ", group, "k", "w", answer="a", wrong=wrong)

    found = [record(i, 10 + 3 * i, f"g{i // 2}", i % 3 == 0) for i in range(20)]
    others = draw_others(found)
    for i, r in enumerate(found):
        gap = abs(len(found[others[r.id]].evidence) - len(r.evidence))
        assert found[others[r.id]].group != r.group
        assert gap == min(abs(len(o.evidence) - len(r.evidence)) for o in found if o.group != r.group), i
    flipped = [record(i, 10 + 3 * i, f"g{i // 2}", i % 3 != 0) for i in range(20)]
    assert draw_others(flipped) == others
    assert draw_others(found[:2]) == {}


def test_candidates_become_questions_with_blank_and_other_evidence(tmp_path: Path) -> None:
    rows = [
        {"question": f"q{i}", "evidence": f"say {i}", "candidates": ["a", "b"], "truth": i % 2, "usual": 0}
        for i in range(4)
    ]
    questions = as_questions(load_records(lines(tmp_path, *rows)))
    assert [q.target for q in questions] == [0, 1, 0, 1]
    assert [q.conflicts for q in questions] == [False, True, False, True]
    for i, q in enumerate(questions):
        assert q.without is not None
        assert f"say {i}" not in q.without.text
        assert len(q.mismatched) == 1


def refusal(path: Path, options: ReadOptions) -> str | None:
    """Return what a reader says of a file that it refuses; None where it reads records."""
    try:
        found = load_records(path, options)
    except BadInputError as error:
        return str(error)
    return None if found.records else "nothing was read, and nothing was said"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(
    (
        "id",
        "question",
        "evidence",
        "candidates",
        "truth",
        "answer",
        "label",
        "spans",
        "usual",
        "group",
        "kind",
        "prompt",
    )
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(names, anything, max_size=8), min_size=1, max_size=4))
def test_no_row_whatever_crashes_the_reader(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "fuzz.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    for keep_going in (False, True):
        said = refusal(path, ReadOptions(keep_going=keep_going))
        assert said is None or "\n" not in said


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), suffix=st.sampled_from((".jsonl", ".csv", ".parquet", ".jsonl.gz", ".tsv")))
def test_no_bytes_whatever_crash_a_reader(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(data)
    said = refusal(path, ReadOptions(keep_going=True))
    assert said is None or str(path) in said


def test_a_template_of_images_has_no_place_for_text(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    path = lines(tmp_path, {"question": "What?", "image": "a.png", "candidates": ["yes", "no"], "truth": "no"})
    (record,) = load_records(path, ReadOptions(template="Look. {question} Say:")).records
    assert record.prompt().text.endswith("Look. What? Say:")
    with pytest.raises(
        BadInputError, match=r"the template has 1 slots \{evidence\}, expected none: the evidence is an"
    ):
        load_records(path, ReadOptions(template="{evidence} {question}"))
