"""A model described without its weights: what it says agrees with the opened model, and nothing of it is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_gguf import write_gguf

pytest.importorskip("gguf")

from safetensors.torch import load_file, save_file

from groundbench.adapters import unopened
from groundbench.api.adapter import Encoded, Estimated
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.registry import describe_model, load_testbed, open_model

SAME = ("name", "family", "architecture", "parameters", "dtype", "vocab_size", "max_length", "n_layers", "d_model")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose weights count as large."""
    monkeypatch.setattr(unopened, "SMALL", 0)
    adapter = open_model(str(write_gguf(tmp_path / "tiny.gguf")))  # its tokenizer writes any text
    adapter.model.save_pretrained(tmp_path / "tiny")
    adapter.tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def _blank(folder: Path) -> None:
    """Replace every weight in the files by NaN: whoever reads one is found out."""
    for path in folder.glob("*.safetensors"):
        tensors = {n: torch.full_like(t, float("nan")) for n, t in load_file(path).items()}
        path.unlink()
        save_file(tensors, path, {"format": "pt"})


def test_it_says_what_the_opened_model_says(folder: Path) -> None:
    opened, described = open_model(str(folder)), describe_model(str(folder))
    assert isinstance(described, Estimated)
    assert not isinstance(opened, Estimated)
    for name in SAME:
        assert getattr(described.info, name) == getattr(opened.info, name), name
    assert described.info.mixers == opened.info.mixers
    bed = load_testbed("ladder")
    form = bed.form("word")
    prompts = [bed.prompt(bed.frames(form)[0], noun, form) for noun in bed.nouns_of(form)[:2]]
    assert described.encode(prompts) == opened.encode(prompts)
    assert described.encode_targets([" dog"], prompts[0]) == opened.encode_targets([" dog"], prompts[0])
    assert described.seconds_per_token > 0


def test_no_weight_is_read_and_nothing_can_be_run(folder: Path) -> None:
    _blank(folder)
    described = describe_model(str(folder))
    with pytest.raises(UnsupportedModelError, match="weights were not read"):
        described.forward([Encoded((1, 2))])
    with pytest.raises(BadInputError, match="NaN"):
        open_model(str(folder))


def test_missing_and_misshaped_weights_are_found_by_their_headers(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = next(n for n in sorted(tensors) if "mlp" in n)
    less = {n: t for n, t in tensors.items() if n != name}
    path.unlink()
    save_file(less, path, {"format": "pt"})
    with pytest.raises(BadInputError, match="not in its files") as refusal:
        describe_model(str(folder))
    assert name in str(refusal.value)
    save_file({**less, name: torch.zeros(3, 3)}, path, {"format": "pt"})
    with pytest.raises(BadInputError, match="of another shape"):
        describe_model(str(folder))


def test_small_models_and_other_files_are_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(unopened, "SMALL", 1 << 30)
        assert not isinstance(describe_model(str(folder)), Estimated)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert not isinstance(describe_model(str(folder)), Estimated)


def test_a_gguf_file_with_and_without_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unopened, "SMALL", 0)
    monkeypatch.setenv("GROUNDBENCH_CACHE", str(tmp_path / "cache"))
    file = str(write_gguf(tmp_path / "tiny.gguf"))
    first = describe_model(file)
    assert not (tmp_path / "cache").exists()  # nothing is converted for a plan
    opened, second = open_model(file), describe_model(file)
    for found in (first, second):
        assert isinstance(found, Estimated)
        assert found.info.mixers == opened.info.mixers
        assert found.info.parameters == opened.info.parameters
    assert "their names and shapes fit" in second.weights
    assert "fit" not in first.weights


COMMANDS: list[tuple[str, ...]] = [
    ("models", "check"),
    ("run", "--dry-run", "--testbed", "ladder", "--env-form", "word", "--limit", "3"),
    ("screen", "--dry-run", "--questions", "text-scenes", "--limit", "4"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda w: w[0])
def test_commands_answer_without_weights_and_open_with_try(folder: Path, words: tuple[str, ...], say: Any) -> None:
    sound = folder.with_name("sound")
    shutil.copytree(folder, sound)
    _blank(folder)
    code, out, err = say(*words, str(folder))
    assert (code, err) == (0, "")
    assert "not read" in out
    assert "--try" in out
    code, _, err = say(*words, str(folder), "--try")
    assert code == 2
    assert "NaN" in err
    code, out, _ = say(*words, str(sound), "--try")
    assert code == 0
    assert "not read" not in out


def test_what_was_not_tried_is_null_for_programs(folder: Path, say: Any) -> None:
    found = json.loads(say("models", "check", str(folder), "--json")[1])
    assert {a["works"] for a in found["abilities"].values()} == {None}
    tried = json.loads(say("models", "check", str(folder), "--json", "--try")[1])
    assert {a["works"] for a in tried["abilities"].values()} == {True}


@pytest.mark.parametrize("measure", ["gain", "heads", "causal", "ablation", "lens"])
def test_the_estimate_covers_every_measure(folder: Path, measure: str, say: Any) -> None:
    words = ("--testbed", "ladder", "--env-form", "word", "--limit", "3", "--measure", measure, "--json")
    (plan,) = json.loads(say("run", "--dry-run", str(folder), *words)[1])
    (timed,) = json.loads(say("run", "--dry-run", str(folder), "--try", *words)[1])
    steps = [s for s in plan["steps"] if s["measure"] == measure]
    assert steps
    assert all(s["seconds"] > 0 and s["passes"] > 0 for s in steps)
    assert [(s["what"], s["passes"]) for s in plan["steps"]] == [(s["what"], s["passes"]) for s in timed["steps"]]
