"""The commands on a model whose gain is known (tests/package/thirdparty): what they print, write and refuse."""

from __future__ import annotations

import errno
import json
import math
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundbench
from groundbench.api.adapter import Encoded, Forward
from groundbench.api.errors import BadInputError
from groundbench.cli.load_options import parse_max_memory
from groundbench.cli.option_values import numbers, split
from groundbench.cli.options import BATCH_TOKENS
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.results.run import Result

MODEL = "groundbench_toy.model:one"
GAIN = math.log(8)
TOYBOX = """\
name: toybox
version: "1"
natural_language: true
frame_kind: shared
nouns:
  - {word: ball, category: toys, article: a, plural: balls}
  - {word: doll, category: toys, article: a, plural: dolls}
  - {word: egg, category: food_drink, article: an, plural: eggs}
forms:
  word: {description: the word itself, template: "{noun}"}
frames:
  f1: "there is the {env} . look , the"
  f2: "she holds the {env} . that is my"
"""

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _toy_on_the_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "tests" / "package" / "thirdparty" / "src"))
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def bed(tmp_path: Path) -> str:
    path = tmp_path / "toybox.yaml"
    path.write_text(TOYBOX)
    return str(path)


def test_run_prints_the_gain(say: Say, bed: str) -> None:
    code, out, err = say("run", MODEL, "--testbed", bed, "--measure", "gain")
    assert code == 0
    assert f"{GAIN:.3f}" in out
    assert "word" in out
    wrote, next_step = err.splitlines()
    assert wrote == "nothing was written: give --out DIR to keep the result and the table of items"
    assert next_step.startswith(f"next: groundbench run {MODEL} --testbed {bed} --shuffle-forms")


def test_run_writes_what_it_prints(say: Say, bed: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, out, err = say("run", MODEL, "--testbed", bed, "--measure", "gain", "--out", str(folder), "--json")
    assert code == 0
    assert json.loads(out) == json.loads((folder / "result.json").read_text())
    assert Result.load(folder).gain.mean == pytest.approx(GAIN, abs=1e-6)  # type: ignore[union-attr]
    assert (folder / "items.parquet").is_file()
    assert f"groundbench report {folder}" in err


def test_the_same_command_again_gives_the_same_numbers(say: Say, bed: str, tmp_path: Path) -> None:
    words = ("run", MODEL, "--testbed", bed, "--measure", "gain", "--out", str(tmp_path / "run"), "--json")
    first, again = (json.loads(say(*words)[1]) for _ in range(2))
    first.pop("environment"), again.pop("environment")
    assert first == again


def test_a_folder_of_another_run_is_refused(say: Say, bed: str, tmp_path: Path) -> None:
    words = ("run", MODEL, "--testbed", bed, "--measure", "gain", "--out", str(tmp_path / "run"))
    assert say(*words)[0] == 0
    code, out, err = say(*words, "--seed", "1")
    assert (code, out) == (2, "")
    assert "holds a run with seed 0, but this run has 1" in err
    assert say(*words, "--seed", "1", "--force")[0] == 0


def test_what_cannot_be_measured_is_said_and_is_no_number(say: Say, bed: str) -> None:
    code, out, _ = say("run", MODEL, "--testbed", bed, "--measure", "gain,heads,ablation,lens", "--json")
    assert code == 0
    result = json.loads(out)
    assert [result["forms"][0][part] for part in ("heads", "ablations", "lens")] == [[], [], []]
    assert [f["where"] for f in result["failures"]] == ["heads", "ablation", "lens"]
    assert "not measured: heads: one: the model has no heads" in say("run", MODEL, "--testbed", bed)[2]


def test_nan_logits_name_the_prompt(say: Say, bed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from groundbench_toy.model import Toy

    def broken(self: Toy, rows: list[Encoded], **more: Any) -> Forward:
        return Forward(torch.full((len(rows), self.info.vocab_size), math.nan))

    monkeypatch.setattr(Toy, "forward", broken)
    code, out, err = say("run", MODEL, "--testbed", bed, "--measure", "gain", "--out", str(tmp_path / "run"))
    assert (code, out) == (1, "")
    assert "frame 'f1'" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_full_disk_loses_nothing(say: Say, bed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third part does not fit: one sentence, exit code 1; with room again only the missing parts are run."""
    from groundbench_toy.model import Toy

    words = ["run", MODEL, "--testbed", bed, "--measure", "gain", "--batch-tokens", "1", "--json"]
    whole = json.loads(say(*words)[1])
    words += ["--out", str(tmp_path / "run")]
    saved, save = [], np.save

    def until_full(file: Any, array: Any) -> None:
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(file)
        save(file, array)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", until_full)
        code, out, err = say(*words)
    assert (code, out) == (1, "")
    assert err.startswith("groundbench: no space left on device")
    assert "kept" in err
    runs: list[int] = []
    forward = Toy.forward

    def counted(self: Toy, rows: list[Encoded], **more: Any) -> Forward:
        runs.append(len(rows))
        return forward(self, rows, **more)

    monkeypatch.setattr(Toy, "forward", counted)
    resumed = json.loads(say(*words)[1])
    assert sum(runs) == 6 - 2
    assert resumed["forms"] == whole["forms"]


def test_dry_run_counts_the_passes_and_writes_nothing(say: Say, bed: str, tmp_path: Path) -> None:
    code, out, _ = say("run", MODEL, "--testbed", bed, "--dry-run", "--json", "--out", str(tmp_path / "run"))
    assert code == 0
    (plan,) = json.loads(out)
    assert (plan["n_nouns"], plan["n_frames"], plan["contexts"]) == (3, 2, 6)
    assert not (tmp_path / "run").exists()
    assert "one forward pass" in say("run", MODEL, "--testbed", bed, "--dry-run")[1]


def test_models_check_says_what_works(say: Say, bed: str) -> None:
    code, out, _ = say("models", "check", MODEL, "--testbed", bed, "--json")
    assert code == 0
    works = {name: a["works"] for name, a in json.loads(out)["abilities"].items()}
    assert works.pop("behaviour")
    assert list(works) == ["shared prefix", "heads", "ablation", "single heads", "lens"]
    assert not any(works.values())
    assert (
        "heads         their results are null: the model has no heads"
        in say("models", "check", MODEL, "--testbed", bed)[1]
    )


def test_models_check_refuses_a_model_without_logits(say: Say, bed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from groundbench_toy.model import Toy

    def broken(self: Toy, rows: list[Encoded], **more: Any) -> Forward:
        return Forward(torch.full((len(rows), self.info.vocab_size), math.inf))

    monkeypatch.setattr(Toy, "forward", broken)
    code, _, err = say("models", "check", MODEL, "--testbed", bed)
    assert code == 2
    assert err == "groundbench: one: behaviour cannot be measured: the logits are not finite\n"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("no/such/folder", "groundbench: no/such/folder: no such folder"),
        ("no_such_module:thing", "there is no module 'no_such_module'"),
        ("somebody/gone", "groundbench: somebody/gone: "),
    ],
)
def test_an_unknown_model_is_one_sentence(say: Say, bed: str, model: str, said: str) -> None:
    code, out, err = say("run", model, "--testbed", bed)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_folder_that_is_no_model(say: Say, bed: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    code, _, err = say("run", str(tmp_path), "--testbed", bed)
    assert code == 2
    assert "a folder without config.json is no model" in err


def test_a_broken_yaml_names_file_and_line(say: Say, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(TOYBOX.replace("frame_kind: shared", "frame_kind: sharde"))
    code, _, err = say("tasks", "validate", str(path))
    assert code == 2
    assert f"{path}, line 4" in err


def test_validate_shows_all_faults_and_fails(say: Say, tmp_path: Path) -> None:
    path = tmp_path / "leaky.yaml"
    path.write_text(TOYBOX.replace("that is my", "that is a").replace("look , the", "look , dolls"))
    code, out, err = say("tasks", "validate", str(path))
    assert code == 2
    assert "besides the shown one" in out
    assert "before the cut" in out
    assert "(and 1 more)" in err  # each once for its frame, not for every noun shown in it


def test_validate_reports_words_that_a_corpus_lacks(say: Say, tmp_path: Path) -> None:
    path = tmp_path / "toybox.yaml"
    path.write_text(TOYBOX)
    words = ["there", "is", "the", "ball", "doll", "egg", ".", "look", ",", "she", "holds", "that"]
    (tmp_path / "vocabulary.txt").write_text("".join(f"{w}\n" for w in words))
    code, out, _ = say("tasks", "validate", str(path), "--vocabulary", str(tmp_path), "--json")
    assert code == 0
    assert json.loads(out)["unknown_words"] == {"my": 3}
    code, _, err = say("tasks", "validate", str(path), "--vocabulary", str(tmp_path / "none"))
    assert code == 2
    assert "not a vocabulary with one word a line" in err


def test_show_marks_what_is_shown(say: Say, bed: str) -> None:
    code, out, _ = say("tasks", "show", bed, "--noun", "egg", "--limit", "5", "--json")
    assert code == 0
    shown = json.loads(out)
    assert [p["prompt"] for p in shown["prompts"]] == [
        "there is the «egg» . look , the",
        "she holds the «egg» . that is my",
    ]
    assert shown["categories"] == {"food_drink": ["egg"], "toys": ["ball", "doll"]}
    assert "«egg»" in say("tasks", "show", bed, "--noun", "egg")[1]


def test_doctor_tells_a_missing_extra_how_to_come(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    from groundbench.cli.commands import doctor

    def without_bitsandbytes(name: str) -> str:
        if name == "bitsandbytes":
            raise PackageNotFoundError(name)
        return installed_version(name)

    monkeypatch.setattr(doctor, "version", without_bitsandbytes)
    code, out, _ = say("doctor", "--json")
    assert code == 0
    lines = {line["name"]: line for line in json.loads(out)}
    assert lines["quant"]["state"] == "absent"
    assert "pip install 'groundbench[quant]'" in lines["quant"]["value"]
    assert lines["torch"]["state"] == "ok"


def test_doctor_fails_on_what_is_needed(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    from groundbench.cli.commands import doctor

    monkeypatch.setattr(doctor, "version", lambda name: "0.1" if name == "scipy" else installed_version(name))
    code, out, err = say("doctor")
    assert code == 1
    assert "! scipy" in out
    assert "this installation does not work: scipy: 0.1 is not >=" in err


def test_the_repeated_default_is_the_engines() -> None:
    assert BATCH_TOKENS == DEFAULT_BATCH_TOKENS


def test_values_by_comma_or_repetition() -> None:
    assert split(["gain,heads", "lens", "gain"]) == ("gain", "heads", "lens")
    assert split(None) == ()
    assert numbers("--seeds", "42, 142") == (42, 142)
    with pytest.raises(BadInputError, match=r"--seeds '4,x': expected whole numbers"):
        numbers("--seeds", "4,x")


def test_max_memory() -> None:
    assert parse_max_memory("0=20GiB,cpu=60GiB") == {0: "20GiB", "cpu": "60GiB"}
    assert parse_max_memory(None) is None
    with pytest.raises(BadInputError, match="found '20GiB'; expected DEVICE=SIZE"):
        parse_max_memory("20GiB")


def test_the_public_face() -> None:
    import groundbench.evaluation.evaluate as _  # noqa: F401  importing the module must not hide the function
    from groundbench.evaluation.evaluate import evaluate

    assert groundbench.evaluate is evaluate
    assert groundbench.Result is Result
    assert sys.modules["groundbench.evaluation.evaluate"].evaluate is evaluate
    assert {"evaluate", "load_testbed", "open_model", "Result"} <= set(dir(groundbench))
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        groundbench.evalute  # noqa: B018
