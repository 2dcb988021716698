"""`tasks new` and `models new`: what they write is valid, measurable, and never over a file that is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from groundbench.api.adapter import Adapter
from groundbench.cli import main
from groundbench.registry import load_testbed
from groundbench.tasks.validation import find_faults


def test_a_new_testbed_validates_and_has_the_file_s_name(tmp_path: Path) -> None:
    file = tmp_path / "fruits.yaml"
    assert main(["tasks", "new", str(file)]) == 0
    bed = load_testbed(str(file))
    assert bed.name == "fruits"
    assert find_faults(bed) == []
    assert len(bed.forms) == 2


def test_a_new_adapter_is_one_and_its_gain_is_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from groundbench.adapters.bigram_example import make_adapter

    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["models", "new", str(tmp_path / "my_bigram.py")]) == 0
    assert main(["tasks", "new", str(tmp_path / "fruits.yaml")]) == 0
    assert set(dir(make_adapter())) >= {n for n in vars(Adapter) if not n.startswith("_")} - {"continuation_logits"}
    capsys.readouterr()
    asked = ["--testbed", str(tmp_path / "fruits.yaml"), "--env-form", "word", "--measure", "gain", "--json"]
    assert main(["run", "my_bigram:make_adapter", *asked]) == 0
    assert json.loads(capsys.readouterr().out)["forms"][0]["gain"]["mean"] == 0


@pytest.mark.parametrize(("command", "name"), [("tasks", "a.yaml"), ("models", "a.py")])
def test_nothing_is_written_over(command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    assert main([command, "new", str(tmp_path / name)]) == 2
    assert (tmp_path / name).read_text() == "mine"
    assert main([command, "new", str(tmp_path / "x.txt")]) == 2
    assert "expected" in capsys.readouterr().err


def test_unknown_names_are_refused_before_a_model_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr("groundbench.evaluation.defaults.open_model", opened)
    monkeypatch.setattr("groundbench.screening.screen.open_model", opened)
    for words in (
        ["run", "any", "--testbed", "laddr"],
        ["run", "any", "--testbed", "ladder", "--env-form", "glos"],
        ["run", "any", "--testbed", "laddr", "--dry-run"],
        ["screen", "any", "--questions", "text-scene"],
        ["screen", "any", "--questions", str(tmp_path / "none.jsonl")],
    ):
        assert main(words) == 2, words
        assert "AssertionError" not in capsys.readouterr().err


def test_all_faulty_keys_are_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.yaml"
    file.write_text('nme: x\nversion: "1"\nforms: {}\n')
    assert main(["tasks", "validate", str(file)]) == 2
    said = capsys.readouterr().err
    for key in ("'nme'", "'name'", "'natural_language'", "'frame_kind'", "'nouns'", "'frames'"):
        assert key in said
    assert "did you mean 'name'?" in said


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["tasks", "--help"], ["models", "check", "--help"]])
def test_help_has_no_type_of_a_flag_and_no_bound_of_the_machine(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(words)
    text = capsys.readouterr().out
    assert "<bool>" not in text
    assert "92233" not in text


def test_completion_names_what_is_installed() -> None:
    from types import SimpleNamespace

    from groundbench.cli import completion

    assert "ladder" in completion.complete_testbed("la")
    assert completion.complete_form(SimpleNamespace(params={"testbed": "ladder"}), "glo") == ["gloss"]
    assert completion.complete_form(SimpleNamespace(params={"testbed": "none"}), "") == []
    assert "text-scenes" in completion.complete_questions("text")
    assert "gpt2-mini" in completion.complete_preset("gpt2")
