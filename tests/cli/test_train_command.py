"""`groundbench train`: the same run as in Python, and bad input in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.toy_training import weights

from groundbench.cli import main
from groundbench.training import kernels, load_corpus, train

PRESET = """
mine:
  description: a preset of my own
  architecture: gpt2
  config: {n_layer: 1, n_head: 1, n_embd: 8, n_positions: 32}
  optimisation: {lr: 1e-3, warmup_steps: 1}
  steps: 3
  batch_size: 2
  length: 24
  checkpoints: [{every: 2}]
  heldout_rows: 4
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(PRESET)
    return path


def test_the_command_is_the_function(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")  # a long path is cut where the line ends
    words = ["train", str(mine), "--out", str(tmp_path / "cli"), "--seeds", "7,8", "--corpus", "childworld:shuffled"]
    words += ["--density", "childes-like", "--lr", "0.5", "--set", "optimisation.clip=0.25", "--device", "cpu"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert [s in shown.out for s in ("seed-7/step-000003", "seed-8/step-000003")] == [True, True]
    corpus = load_corpus("childworld", density="childes-like", shuffle_env=True)
    paths = train(mine, corpus, tmp_path / "python", seeds=(7, 8), lr=0.5, override={"optimisation.clip": 0.25})
    assert [p.name for p in paths] == ["step-000000", "step-000002", "step-000003"] * 2
    for path in paths:
        there = tmp_path / "cli" / path.relative_to(tmp_path / "python")
        assert weights(path) == weights(there)
    record = json.loads((paths[-1] / "training.json").read_text())
    assert record["corpus"]["density"] == "childes-like"
    assert record["corpus"]["shuffle_env"] is True
    assert main(words) == 0  # finished: nothing is done again, and it is shown again
    assert "seed-7/step-000003" in capsys.readouterr().out


def test_compile_is_a_value_of_the_preset(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels.COMPILE_OPTIONS, "backend", "eager")  # no machine code: that takes long
    assert main(["train", str(mine), "--out", str(tmp_path / "a"), "--compile", "--device", "cpu"]) == 0
    assert json.loads((tmp_path / "a/run.json").read_text())["preset"]["compile"] is True
    assert (tmp_path / "a/seed-42/step-000003/model.safetensors").exists()


def test_the_flag_is_the_suffix(mine: Path, tmp_path: Path) -> None:
    assert main(["train", str(mine), "--out", str(tmp_path / "a"), "--shuffle-env"]) == 0
    assert main(["train", str(mine), "--out", str(tmp_path / "a"), "--corpus", "childworld:shuffled"]) == 0
    assert main(["train", str(mine), "--out", str(tmp_path / "a")]) == 2


def test_list_shows_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("gpt2-mini", "lstm-4l-mini", "lstm-1l-mini", "lstm-4l-residual-mini"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gpt2-mni"], "unknown preset 'gpt2-mni'"),
        (["nowhere.yaml"], "nowhere.yaml: no such file; expected presets in YAML"),
        (["gpt2-mini", "--corpus", "chldworld"], "unknown corpus 'chldworld'"),
        (["gpt2-mini", "--density", "thick"], "unknown density 'thick'"),
        (["gpt2-mini", "--seeds", "one"], "--seeds 'one': expected whole numbers"),
        (["gpt2-mini", "--seeds", "-1"], "expected whole numbers from 0"),
        (["gpt2-mini", "--steps", "many"], "Invalid value for '--steps'"),
        (["gpt2-mini", "--lr", "-1"], "field optimisation.lr"),
        (["gpt2-mini", "--set", "clip"], "--set 'clip': expected KEY=VALUE"),
        (["gpt2-mini", "--set", "clip=1"], "'clip' is no key of a preset"),
        (["gpt2-mini", "--set", "config.n_layer=[1"], "'[1' is no YAML value"),
        (["gpt2-mini", "--set", "config.n_layers=1"], "its config has no option 'n_layers'"),
        (["gpt2-mini", "--length", "500"], "it reads at most 256 positions, but rows have length 500"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words, "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_run_is_bad_input(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(mine, "childworld", tmp_path / "out", steps=1)
    assert main(["train", str(mine), "--out", str(tmp_path / "out"), "--steps", "2"]) == 2
    assert "the folder holds a run with preset.steps = 1, but 2 was asked for" in capsys.readouterr().err


def test_a_fault_while_running_is_exit_code_1(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(mine), "--out", str(tmp_path / "out"), "--lr", "1e38", "--set", "optimisation.warmup_steps=0"]
    assert main(words) == 1
    assert "the loss of step 1 is" in capsys.readouterr().err
