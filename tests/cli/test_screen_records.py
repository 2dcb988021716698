"""`groundbench screen MODEL --questions my.jsonl`, as somebody who has never seen it would try."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from groundbench.results.risk_card import RiskCard

Say = Callable[..., tuple[int, str, str]]
MODEL = "helpers.word_model:copier"
COLOURS = ("red", "blue", "green", "white", "black", "pink")


def rows(n: int = 80) -> list[dict[str, object]]:
    rng = random.Random(0)
    found = []
    for i in range(n):
        told, other = rng.sample(COLOURS, 2)
        label = "unsupported" if i % 4 == 0 else "supported"
        evidence = f"thing is {told} , says note {i} ."
        answer = f"it is {other if i % 4 == 0 else told} ."
        found.append({"question": "what colour ?", "evidence": evidence, "answer": answer, "label": label})
    return found


def file(folder: Path, found: list[dict[str, object]], name: str = "my.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(r) + "\n" for r in found))
    return str(path)


def test_labelled_answers_become_a_card_in_one_command(say: Say, tmp_path: Path) -> None:
    out, junit = tmp_path / "out", tmp_path / "checks.xml"
    code, shown, err = say(
        "screen", MODEL, "--questions", file(tmp_path, rows()), "--out", str(out), "--max-risk", "0.3", "--junit",
        str(junit), "--annotations",
    )  # fmt: skip
    assert code == 0, err
    assert "25.0% of 80 given answers are labelled wrong" in shown.replace("\u202f", "").replace("\xa0", "")
    assert "This card in plain words" in shown
    assert "::notice " in shown
    assert junit.read_text().count("<testcase") == 1
    page = (out / "card.html").read_text()
    assert 'class="risk4"' in page
    assert "What the signals are" in page
    assert {p.name for p in out.iterdir()} >= {"card.json", "card.md", "answers.parquet", "flagged.jsonl"}
    assert RiskCard.load(out).schema_version == "1.1"


def test_the_terminal_shows_what_was_measured_and_all_tables_where_asked(say: Say, tmp_path: Path) -> None:
    """Every answer is right: no signal can be judged, and none is a row of `not measured`."""
    found = [{**r, "label": "supported"} for r in rows(12)]
    words = ("screen", MODEL, "--questions", file(tmp_path, found))
    code, shown, err = say(*words)
    assert code == 0, err
    assert "No signal could be judged: all answers are right." in " ".join(shown.split())
    assert shown.count("not measured") <= 6
    assert len(shown.splitlines()) < 80
    assert "--explain" in shown
    more = say(*words, "--explain")[1]
    assert len(more.splitlines()) > 2 * len(shown.splitlines())
    assert set(re.findall(r"\d+\.\d+", shown)) <= set(re.findall(r"\d+\.\d+", more))
    assert "What the signals are" in more
    assert "Calibration" in more


def test_a_misspelt_field_is_named_with_the_one_that_is_meant(say: Say, tmp_path: Path) -> None:
    row = {"evidence": "a cup", "question": "what ?", "candidates": ["cup", "hat"], "truth": "cup"}
    for ours, theirs in (("candidates", "candidate"), ("truth", "thruth"), ("evidence", "evidense")):
        name = file(tmp_path, [{theirs if k == ours else k: v for k, v in row.items()}])
        code, _, err = say("screen", "helpers.no_such_module:model", "--questions", name, "--dry-run")
        assert code == 2
        assert f"'{theirs}' is perhaps '{ours}'" in " ".join(err.split())


def test_a_gate_on_labelled_answers_exits_3(say: Say, tmp_path: Path) -> None:
    code, _, err = say("screen", MODEL, "--questions", file(tmp_path, rows()), "--max-risk", "0.1", "--annotations")
    assert code == 3
    assert "fails max_risk" in err


def test_faulty_records_left_out_make_a_policy_fail_closed(say: Say, tmp_path: Path) -> None:
    """A tenth of the records is faulty: what is said of the others is no measurement of all."""
    found = rows()
    for r in found[::10]:
        r["label"] = "perhaps"
    name = file(tmp_path, found)
    code, _, err = say("screen", MODEL, "--questions", name)
    assert code == 2
    assert "line 1: 'label' is 'perhaps', expected supported or unsupported (and 7 more faults" in err
    code, _, err = say("screen", MODEL, "--questions", name, "--keep-going", "--max-risk", "1.0")
    assert code == 3
    assert "could not be asked" in err


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("my.jsonl", "", "holds no record that can be used"),
        ("my.jsonl", '{"frage": 1}\n', "no field evidence"),
        ("none.jsonl", None, "no such file"),
        ("my.xlsx", "x", "is a spreadsheet; save the sheet as CSV"),
        ("my.csv", "question,evidence,answer\n", "holds no record"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    say: Say, tmp_path: Path, name: str, text: str | None, why: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    code, _, err = say("screen", MODEL, "--questions", str(tmp_path / name))
    assert code == 2
    assert why in " ".join(err.split())
    assert "Traceback" not in err


def test_a_spreadsheet_with_names_of_its_own_is_screened_in_one_command(say: Say, tmp_path: Path) -> None:
    """Semicolons, a byte order mark, Latin letters: what an office program saves in German."""
    names = {"Frage": "question", "Textstelle": "evidence", "Antwort": "answer", "Urteil": "label"}
    lines = [";".join(names)] + [";".join(str(r[ours]) for ours in names.values()) for r in rows()]
    path = tmp_path / "Tabelle.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    code, _, err = say("screen", MODEL, "--questions", str(path))
    assert code == 2
    told = " ".join(err.split())
    assert "found Antwort, Frage, Textstelle, Urteil. Name them: --fields question=" in told
    said = ",".join(f"{ours}={theirs}" for theirs, ours in names.items())
    code, shown, err = say(
        "screen", MODEL, "--questions", str(path), "--fields", said, "--signals", "gain", "--limit", "40"
    )
    assert code == 0, err
    assert "of 40 given answers are labelled wrong" in " ".join(shown.split())
    for wrong, why in (("question", "expected pairs"), ("frage=Frage", "fields has 'frage'"), ("label=Note", "'Note'")):
        code, _, err = say("screen", MODEL, "--questions", str(path), "--fields", wrong)
        assert code == 2
        assert why in " ".join(err.split())


def faulty() -> dict[str, dict[str, object] | str]:
    """One record of each kind of fault, by what is said of it."""
    good = rows(1)[0]
    without = {name: value for name, value in good.items() if name != "label"}
    spoken = {name: value for name, value in good.items() if name not in ("question", "evidence")}
    choice = {"question": "q", "evidence": "e", "candidates": ["a", "b"]}
    return {
        "not JSON": '{"question": "what',
        "no field 'evidence'": {name: value for name, value in good.items() if name != "evidence"},
        "stands 0 times": {**spoken, "prompt": "no passage", "evidence": "thing is red ."},
        "has two truths": {**good, "spans": [], "label": "unsupported"},
        "2 truths": {**choice, "truth": ["a", "b"]},
        "outside the answer": {**without, "spans": [[0, 999]]},
        "evidence is empty": {**good, "evidence": " "},
        "'label' is 'perhaps'": {**good, "label": "perhaps"},
        "without labels": without,
        "comes twice, first": {**good, "id": 1},
        "image 'none.png' is not": {**choice, "image": "none.png", "truth": "a"},
        "does not fit|do not fit": {**good, "evidence": "thing is red . " * 700_000},
    }


@pytest.mark.parametrize("why", [w for w in faulty() if "fit" not in w])
def test_each_fault_is_said_with_its_line_before_a_model_is_opened(say: Say, tmp_path: Path, why: str) -> None:
    found, bad = rows(6), faulty()[why]
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in (*found, bad))
    (tmp_path / "my.jsonl").write_text(text)
    code, _, err = say("screen", str(tmp_path / "no-model"), "--questions", str(tmp_path / "my.jsonl"))
    said = " ".join(err.split())
    assert code == 2
    assert "my.jsonl, line 7: " in said
    assert why in said
    assert "no-model" not in said


def test_all_faults_at_once_are_counted_and_the_good_records_screened(say: Say, tmp_path: Path) -> None:
    """Ten megabytes of evidence included: what does not fit a model is refused by record, and counted apart."""
    found, bad = rows(), faulty()
    good = [json.dumps(r) for r in found]
    mixed = [r if isinstance(r, str) else json.dumps(r) for r in bad.values()]
    (tmp_path / "my.jsonl").write_text("\n".join([*good[:40], *mixed, *good[40:]]) + "\n")
    out = tmp_path / "out"
    code, _, err = say(
        "screen",
        MODEL,
        "--questions",
        str(tmp_path / "my.jsonl"),
        "--keep-going",
        "--signals",
        "gain",
        "--out",
        str(out),
    )
    assert code == 0, err
    card = RiskCard.load(out)
    assert card.records is not None
    assert (card.questions.n, card.records.faulty, card.records.refused) == (80, len(bad) - 1, 1)
    for why in bad:
        assert any(re.search(why, f.reason) for f in card.failures), why
    assert {f.where.rpartition("line ")[2] for f in card.failures} == {str(41 + i) for i in range(len(bad))}


def test_answers_without_labels_are_ranked(say: Say, tmp_path: Path) -> None:
    found = [{k: v for k, v in r.items() if k != "label"} for r in rows()]
    out = tmp_path / "out"
    code, shown, err = say("screen", MODEL, "--questions", file(tmp_path, found), "--out", str(out))
    assert code == 0, err
    assert "a ranking by risk, no error rate" in shown
    lines = [json.loads(x) for x in (out / "flagged.jsonl").read_text().splitlines()]
    assert len(lines) == 80
    assert {x["wrong"] for x in lines} == {None}


def test_a_plan_costs_nothing_and_says_what_would(say: Say, tmp_path: Path) -> None:
    code, shown, err = say("screen", MODEL, "--questions", file(tmp_path, rows()), "--dry-run", "--json")
    assert code == 0, err
    plan = json.loads(shown)
    assert plan["questions"] == 80
    assert plan["prompts"] == 240
