"""A run directory serves no other model: all that decides a number is in its key, and a refusal names what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.planted import FRAMES, NOUNS, PlantedTestbed, single_head

from groundbench.api.errors import StoreMismatchError
from groundbench.api.question import Question
from groundbench.api.testbed import Frame, Noun, text_prompt
from groundbench.engine.run_directory import differences
from groundbench.evaluation.checkpoints import Checkpoint, measurement_key
from groundbench.evaluation.evaluate import evaluate
from groundbench.screening.screen import ScreenOptions, screen
from groundbench.util import packages

CODE = """\
from transformers import GPT2Config, GPT2LMHeadModel
class OtherConfig(GPT2Config):
    model_type = "other"
class OtherForCausalLM(GPT2LMHeadModel):
    config_class = OtherConfig
"""
Use = Callable[[Path], object]
Change = Callable[[Path, pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return single_head(tmp_path_factory.mktemp("made") / "model").folder


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "model"))


@pytest.fixture(params=["run", "screen"])
def use(request: pytest.FixtureRequest, tmp_path: Path) -> Use:
    load = {"trust_remote_code": True}
    if request.param == "run":
        return lambda model: evaluate(
            str(model), PlantedTestbed(), measures=("gain",), limit=3, out=tmp_path / "out", load=load
        )
    found = [question(i) for i in range(4)]
    return lambda model: screen(
        str(model), found, ScreenOptions(signals=("probability",)), out=tmp_path / "out", load=load
    )


def question(i: int) -> Question:
    shown, other = (Noun(NOUNS[(i + k) % len(NOUNS)], "things") for k in (0, 1))
    prompt = text_prompt(Frame(f"f{i}", FRAMES[i % len(FRAMES)]), shown, "token", f"{shown.word}:<ENV>")
    answers = (f"{shown.word}:<LAN>", f"{other.word}:<LAN>")
    return Question(
        id=f"q{i}",
        kind="seen",
        form="token",
        group=f"g{i}",
        prompt=prompt,
        without=None,
        mismatched=(),
        choices=answers,
        target=0,
    )


def configure(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def another_epsilon(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(folder, layer_norm_epsilon=0.5)


def another_scaling(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(folder, scale_attn_weights=False)


def another_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = packages.version
    monkeypatch.setattr(packages, "version", lambda name: "9.9" if name == "transformers" else version(name))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_epsilon, r"holds a run with config.layer_norm_epsilon 1e-05, but this run has 0.5"),
        (another_scaling, r"holds a run with config.scale_attn_weights True, but this run has False"),
        (another_library, r"holds a run with libraries.transformers '\d.*', but this run has '9.9'"),
    ],
)
def test_what_decides_a_number_is_in_the_key(
    change: Change, said: str, use: Use, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(model)
    use(model)  # goes on
    change(model, monkeypatch)
    with pytest.raises(StoreMismatchError, match=said):
        use(model)


def test_code_beside_the_weights_is_in_the_key(use: Use, model: Path) -> None:
    configure(
        model,
        model_type="other",
        auto_map={"AutoConfig": "other.OtherConfig", "AutoModelForCausalLM": "other.OtherForCausalLM"},
    )
    (model / "other.py").write_text(CODE)
    use(model)
    use(model)
    (model / "other.py").write_text(f"{CODE}\n# changed\n")
    with pytest.raises(
        StoreMismatchError, match=r"holds a run with code\.other\.py '\w{16}', but this run has '\w{16}'"
    ):
        use(model)


@pytest.mark.parametrize("changed", ["config.json", "modeling_mine.py", "adapter_model.safetensors"])
def test_files_and_libraries_make_a_checkpoints_note_void(
    changed: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("modeling_mine.py", "adapter_model.safetensors"):
        (model / name).write_text("one")
    checkpoint = Checkpoint(model, 1, {})
    before = measurement_key(checkpoint, PlantedTestbed(), {})
    assert measurement_key(checkpoint, PlantedTestbed(), {}) == before
    (model / changed).write_text("another")
    after = measurement_key(checkpoint, PlantedTestbed(), {})
    assert after != before
    monkeypatch.setattr(packages, "version", lambda name: "9.9")
    assert measurement_key(checkpoint, PlantedTestbed(), {}) != after


def test_differences_are_named_by_their_place() -> None:
    held = {"a": 1, "config": {"x": 1, "rope": {"theta": 1e4}, "gone": 0}, "of_another_version": 3}
    wanted = {"a": 1, "config": {"x": 1, "rope": {"theta": 5e5}}, "new": None}
    assert list(differences(held, wanted)) == [("config.rope.theta", 1e4, 5e5), ("config.gone", 0, None)]
    assert list(differences(wanted, wanted)) == []
