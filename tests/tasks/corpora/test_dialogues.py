"""Visual Dialog in both schemas, COCO captions, and JSON of the wrong schema."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.corpus_fixtures import FLAT, NATIVE, decoded

from groundbench.cli import main
from groundbench.tasks.corpora import import_coco, import_visdial
from groundbench.tasks.corpora.importing.faults import FaultError

TOKENS = [
    "<Q> a:<ENV> man:<ENV> with:<ENV> a:<ENV> dog:<ENV> <Q> is:<LAN> it:<LAN> big:<LAN> <A> yes:<LAN> very:<LAN> "
    "<Q> what:<LAN> color:<LAN> <A> brown:<LAN> <Q> why:<LAN> <A> i:<LAN> can't:<LAN> say:<LAN>",
    "<Q> two:<ENV> cups:<ENV> <Q> are:<LAN> they:<LAN> full:<LAN> <A> no:<LAN>",
]


def written(path: Path, value: Any) -> Path:
    path.write_bytes((lzma.compress if path.suffix == ".xz" else bytes)(json.dumps(value).encode()))
    return path


@pytest.mark.parametrize("value", [FLAT, NATIVE], ids=["flat", "native"])
@pytest.mark.parametrize("suffix", [".json", ".json.xz"])
def test_both_schemas_give_the_same_tokens(tmp_path: Path, value: Any, suffix: str) -> None:
    if value is FLAT:
        value = json.loads(json.dumps(FLAT).replace("why ??", "why ?"))
    manifest = import_visdial(written(tmp_path / f"v{suffix}", value), tmp_path / "out")
    assert [" ".join(t) for t in decoded(tmp_path / "out")] == TOKENS
    assert manifest.totals.utterances == 8
    assert "CC BY 4.0" in manifest.licence


def test_a_dialogue_in_both_schemas_counts_once(tmp_path: Path) -> None:
    flat = [{"img": "1", "dialog": ["a dog", "is it big? yes"]}, *FLAT]
    tables = {"questions": ["is it big"], "answers": ["yes"]}
    dialogs = [{"image_id": 1, "caption": "a dog", "dialog": [{"question": 0, "answer": 0}]}]
    native = {"data": {**tables, "dialogs": dialogs}}
    files = [written(tmp_path / "a.json", flat), written(tmp_path / "b.json", native)]
    assert import_visdial(files, tmp_path / "out").duplicates == 1


def test_an_answer_withheld_and_case_kept(tmp_path: Path) -> None:
    value = json.loads(json.dumps(NATIVE))
    del value["data"]["dialogs"][0]["dialog"][2]["answer"]
    import_visdial(written(tmp_path / "v.json", value), tmp_path / "out", fold_case=False)
    first = " ".join(decoded(tmp_path / "out")[0])
    assert first.startswith("<Q> A:<ENV> man:<ENV> with:<ENV> a:<ENV> Dog:<ENV> <Q>")
    assert first.endswith("<A> brown:<LAN> <Q> why:<LAN>")


def change(path: str, value: object) -> Callable[[], Any]:
    def made() -> Any:
        changed = json.loads(json.dumps(NATIVE))
        place = changed
        *outer, last = [int(k) if k.isdigit() else k for k in path.split(".")]
        for key in outer:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value
        return changed

    return made


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (change("data", None), "the file: lacks 'data'"),
        (change("data", []), "data: expected an object, found a list"),
        (change("data.dialogs", None), "data: lacks 'dialogs'"),
        (change("data.questions", "x"), "data.questions: expected a list, found a text"),
        (change("data.dialogs.1", 7), "data.dialogs[1]: expected an object, found a whole number"),
        (change("data.dialogs.0.caption", None), "data.dialogs[0]: lacks 'caption'"),
        (change("data.dialogs.1.image_id", "2"), "data.dialogs[1].image_id: expected a whole number, found a text"),
        (
            change("data.dialogs.0.dialog.1.question", 99),
            "data.dialogs[0].dialog[1].question: 99 is no index of data.questions, which has 4",
        ),
        (
            change("data.dialogs.0.dialog.1.question", -1),
            "data.dialogs[0].dialog[1].question: -1 is no index of data.questions, which has 4",
        ),
        (change("data.answers.2", [1]), "data.answers[2]: expected a text, found a list"),
        (lambda: "text", "the file: expected an object, found a text"),
        (lambda: [{"dialog": []}], "[0]: lacks 'img'"),
        (lambda: [{"img": "1", "dialog": []}], "[0].dialog: is empty; expected a caption first"),
        (
            lambda: [{"img": "1", "dialog": ["a dog", "no question"]}],
            "[0].dialog[1]: expected 'question? answer', found 'no question'",
        ),
    ],
)
def test_json_of_the_wrong_schema(tmp_path: Path, value: Callable[[], Any], message: str) -> None:
    path = written(tmp_path / "v.json", value())
    with pytest.raises(FaultError) as caught:
        import_visdial(path, tmp_path / "out")
    assert str(caught.value) == f"{path}: {message}"


def test_not_json_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text('{"data":\n {"dialogs": [}}')
    with pytest.raises(FaultError, match=r"v\.json, line 2: not JSON: Expecting value at column 15"):
        import_visdial(path, tmp_path / "out")
    path.write_text("[" * 100_000)
    with pytest.raises(FaultError, match="not JSON"):
        import_visdial(path, tmp_path / "out")


def test_keep_going_leaves_out_one_dialogue(tmp_path: Path) -> None:
    value = [*FLAT, {"img": "3", "dialog": ["a cat", "no question"]}]
    manifest = import_visdial(written(tmp_path / "v.json", value), tmp_path / "out", keep_going=True)
    assert manifest.totals.transcripts == 2
    assert [f.reason for f in manifest.faults] == ["[2].dialog[1]: expected 'question? answer', found 'no question'"]


def test_coco_pairs(tmp_path: Path) -> None:
    captions = [
        (7, "A red bus."),
        (7, "The bus, parked"),
        (8, "A cat"),
        (7, "odd one"),
        (8, "Cats sleep"),
        (9, "alone"),
    ]
    value = {"images": [], "annotations": [{"image_id": i, "id": k, "caption": c} for k, (i, c) in enumerate(captions)]}
    manifest = import_coco(written(tmp_path / "c.json", value), tmp_path / "out")
    assert [" ".join(t) for t in decoded(tmp_path / "out")] == [
        "<A> a:<ENV> red:<ENV> bus:<ENV> <A> the:<LAN> bus:<LAN> parked:<LAN>",
        "<A> a:<ENV> cat:<ENV> <A> cats:<LAN> sleep:<LAN>",
    ]
    assert manifest.source == "coco"
    value["annotations"][3] = {"image_id": "7", "caption": "odd one"}
    with pytest.raises(FaultError, match=r"annotations\[3\]\.image_id: expected a whole number, found a text"):
        import_coco(written(tmp_path / "c.json", value), tmp_path / "out2")
    with pytest.raises(FaultError, match="the file: lacks 'annotations'"):
        import_coco(written(tmp_path / "c.json", {}), tmp_path / "out2")


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(written(tmp_path / "v.json", FLAT))
    assert main(["tasks", "import", "visdial", path, "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["transcripts"] == 2
    assert main(["tasks", "import", "coco", path, "--out", str(tmp_path / "coco")]) == 2
    assert "the file: expected an object, found a list" in capsys.readouterr().err
