"""torch.compile, bf16, accumulation: the same run up to rounding, resumed to the same bits, or refused in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.toy_training import ToyCorpus, toy_preset, weights, without_speed
from transformers import AutoModelForCausalLM

from groundbench.api.errors import BadInputError
from groundbench.training import kernels, train
from groundbench.training.presets import load_preset

NO_DROPOUT = {"config.resid_pdrop": 0.0, "config.embd_pdrop": 0.0, "config.attn_pdrop": 0.0}
SHORT = {"steps": 12, "checkpoints": [{"every": 6}]}


@pytest.fixture(autouse=True)
def nothing_compiled_stays() -> Iterator[None]:
    yield
    torch.compiler.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile as it finds graphs, but without the making of machine code: that takes long and is torch's own."""
    monkeypatch.setitem(kernels.COMPILE_OPTIONS, "backend", "eager")


@torch.no_grad()
def said_by(folder: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return torch.log_softmax(model(torch.from_numpy(ToyCorpus().heldout(rows=16, length=12))).logits, -1)


def same_but_for_rounding(tmp_path: Path, **changes: object) -> Path:
    """Train plainly and compiled, and compare; the compiled run's folder."""
    preset = toy_preset(**NO_DROPOUT, **SHORT, **changes)
    plain = train(preset, ToyCorpus(), tmp_path / "plain", device="cpu")
    fast = train(preset, ToyCorpus(), tmp_path / "fast", device="cpu", override={"compile": True})
    assert [p.name for p in fast] == [p.name for p in plain]
    assert weights(fast[-1]).keys() == weights(plain[-1]).keys()
    assert weights(fast[0]) == weights(plain[0])
    torch.testing.assert_close(said_by(fast[-1]), said_by(plain[-1]), atol=1e-3, rtol=1e-3)
    return tmp_path / "fast"


@pytest.mark.usefixtures("traced")
def test_compiled_it_is_the_same_run_up_to_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    run = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda m, **o: (calls.append(type(m).__name__), run(m, **o))[1])
    fast = same_but_for_rounding(tmp_path)
    assert calls == ["GPT2Model"]
    record = json.loads((fast / "seed-42/step-000012/training.json").read_text())
    assert record["preset"]["compile"] is True
    with pytest.raises(BadInputError, match=r"preset.compile = true, but null was asked for"):
        train(toy_preset(**NO_DROPOUT, **SHORT), ToyCorpus(), fast)


@pytest.mark.slow
def test_compiled_to_machine_code_it_is_the_same_run_too(tmp_path: Path) -> None:
    same_but_for_rounding(tmp_path, accumulation=2)


class Cut(ToyCorpus):
    """Breaks off before a step that no state was saved for."""

    def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> object:
        if step == 11:
            raise InterruptedError
        return super().batch(step, seed=seed, batch_size=batch_size, length=length)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    "how",
    [
        {"precision": "bf16", "accumulation": 3},
        pytest.param({"compile": True, "precision": "bf16"}, marks=pytest.mark.slow),
    ],
)
def test_interrupted_it_goes_on_to_the_same_bits(tmp_path: Path, how: dict[str, object]) -> None:
    preset = toy_preset(**SHORT, **how)
    train(preset, ToyCorpus(), tmp_path / "whole", device="cpu", threads=1)
    with pytest.raises(InterruptedError):
        train(preset, Cut(), tmp_path / "cut", device="cpu", threads=1)
    assert not (tmp_path / "cut/seed-42/step-000012").exists()
    train(preset, ToyCorpus(), tmp_path / "cut", device="cpu", threads=1)
    for step in ("seed-42/step-000006", "seed-42/step-000012"):
        assert weights(tmp_path / "whole" / step) == weights(tmp_path / "cut" / step)
    logs = [without_speed(tmp_path / n / "seed-42/log.jsonl") for n in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_a_machine_that_cannot_compile_is_told_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/no/such/compiler",))
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    with pytest.raises(BadInputError, match=r"compile: torch\.compile cannot build code here"):
        train(toy_preset(), ToyCorpus(), tmp_path, device="cpu", override={"compile": True})
    assert not list(tmp_path.glob("seed-42/step-*"))


def test_a_preset_that_sees_is_not_compiled() -> None:
    with pytest.raises(BadInputError, match=r"field compile: .*only presets that read text can be compiled"):
        load_preset("vlm-mini-embedded").override({"compile": True})


def test_a_folder_of_before_there_was_compiling_is_still_the_same_run(tmp_path: Path) -> None:
    train(toy_preset(**SHORT), ToyCorpus(), tmp_path, device="cpu")
    held = json.loads((tmp_path / "run.json").read_text())
    assert "compile" not in held["preset"]
    train(toy_preset(**SHORT), ToyCorpus(), tmp_path, device="cpu")
