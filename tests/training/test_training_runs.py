"""Whole runs: what is learned, what is written, against a plain loop, and what is refused."""

from __future__ import annotations

import fcntl
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tolerances import nats
from helpers.toy_training import ToyCorpus, toy_preset, weights, without_speed
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, get_linear_schedule_with_warmup

from groundbench.adapters.architectures.build import build_model
from groundbench.api.errors import BadInputError, GroundbenchError
from groundbench.training import train

NO_DROPOUT = {"config.resid_pdrop": 0.0, "config.embd_pdrop": 0.0, "config.attn_pdrop": 0.0}
LSTM = {"architecture": "groundbench_lstm", "config": {"num_hidden_layers": 1, "hidden_size": 32}}


@torch.no_grad()
def said_by(model: PreTrainedModel) -> torch.Tensor:
    """Log-probabilities on held-out rows: weights that only rounding moves (the keys' bias) do not count."""
    return torch.log_softmax(model.eval()(torch.from_numpy(ToyCorpus().heldout(rows=16, length=12))).logits, -1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two seeds. Tests must not change it."""
    out = tmp_path_factory.mktemp("run")
    train(toy_preset(), ToyCorpus(), out, seeds=(3, 5))
    return out


def test_it_learns_the_corpus(run: Path) -> None:
    records = [json.loads((run / f"seed-3/step-{s:06d}/training.json").read_text()) for s in (0, 10, 20, 30)]
    losses = [r["heldout_loss"] for r in records]
    assert losses[0] == pytest.approx(math.log(10), abs=0.15)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.3


def test_an_lstm_learns_it_too(tmp_path: Path) -> None:
    paths = train(toy_preset(**LSTM, steps=60), ToyCorpus(), tmp_path, lr=0.02)
    assert json.loads((paths[-1] / "training.json").read_text())["heldout_loss"] < 0.3


def test_a_checkpoint_is_an_ordinary_folder_with_the_loss_it_says(run: Path) -> None:
    folder = run / "seed-3/step-000030"
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a b h <pad>")["input_ids"] == [2, 3, 9, 0]
    total, count = 0.0, 0
    with torch.no_grad():
        for row in ToyCorpus().heldout(rows=16, length=12):
            ids = torch.from_numpy(row[row != tokenizer.pad_token_id])[None]
            total += model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
    record = json.loads((folder / "training.json").read_text())
    assert record["heldout_loss"] == nats(total / count)
    assert (record["step"], record["seed"]) == (30, 3)
    assert record["corpus"] == {"name": "toy", "rotation": 1}
    assert record["preset"]["optimisation"]["lr"] == 0.01
    assert record["tokens"] == sum(
        np.count_nonzero(ToyCorpus().batch(s, seed=3, batch_size=8, length=12)[:, 1:]) for s in range(30)
    )


def test_step_0_is_untrained_and_has_no_training_loss(run: Path) -> None:
    record = json.loads((run / "seed-3/step-000000/training.json").read_text())
    assert record["train_loss"] is None
    assert record["tokens"] == 0


def test_the_log_has_one_line_for_each_stretch(run: Path) -> None:
    lines = without_speed(run / "seed-3/log.jsonl")
    assert [line["step"] for line in lines] == [0, 4, 8, 10, 12, 16, 20, 24, 28, 30]
    assert [line["step"] for line in lines if "heldout_loss" in line] == [0, 10, 20, 30]
    assert all(isinstance(line["loss"], float) for line in lines[1:])


def test_nothing_is_left_to_resume_from(run: Path) -> None:
    names = {p.name for p in (run / "seed-3").iterdir() if not p.name.startswith(".")}
    assert names == {"log.jsonl", "step-000000", "step-000010", "step-000020", "step-000030"}


def test_the_seed_decides_weights_and_data(run: Path, tmp_path: Path) -> None:
    train(toy_preset(), ToyCorpus(), tmp_path, seeds=(3,))
    for step in ("step-000000", "step-000030"):
        assert weights(tmp_path / "seed-3" / step) == weights(run / "seed-3" / step)
        assert weights(run / "seed-3" / step) != weights(run / "seed-5" / step)
    assert without_speed(tmp_path / "seed-3/log.jsonl") == without_speed(run / "seed-3/log.jsonl")


def test_it_is_the_plain_loop(tmp_path: Path) -> None:
    """AdamW, warm-up, linear decay, clipping and loss, against torch and transformers used by hand."""
    preset = toy_preset(**NO_DROPOUT, steps=12, **{"optimisation.clip": 0.5})
    paths = train(preset, ToyCorpus(), tmp_path, seeds=(1,))
    torch.manual_seed(1)
    model = build_model("gpt2", preset.config, vocab_size=10, length=12).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.999), weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 5, 12)
    for step in range(12):
        ids = torch.from_numpy(ToyCorpus().batch(step, seed=1, batch_size=8, length=12))
        logits = model(ids).logits[:, :-1].flatten(0, 1)
        loss = nn.functional.cross_entropy(logits, ids[:, 1:].flatten(), ignore_index=0)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    ours = AutoModelForCausalLM.from_pretrained(paths[-1])
    torch.testing.assert_close(said_by(ours), said_by(model), atol=1e-4, rtol=1e-4)


def test_accumulation_changes_memory_not_weights(tmp_path: Path) -> None:
    whole, cut = (
        train(toy_preset(**NO_DROPOUT, accumulation=n), ToyCorpus(), tmp_path / str(n), seeds=(1,))[-1] for n in (1, 3)
    )
    assert weights(whole) != weights(cut)  # sums in another order: equal up to rounding
    one, three = (said_by(AutoModelForCausalLM.from_pretrained(p)) for p in (whole, cut))
    torch.testing.assert_close(one, three, atol=1e-4, rtol=1e-4)


def test_a_finished_run_is_not_done_again(run: Path) -> None:
    class NoBatches(ToyCorpus):
        def batch(self, *_: object, **__: object) -> np.ndarray:
            raise AssertionError("trained again")

    paths = train(toy_preset(), NoBatches(), run, seeds=(5, 3))
    assert [str(p.relative_to(run)) for p in paths[:5]] == [
        *(f"seed-5/step-{s:06d}" for s in (0, 10, 20, 30)),
        "seed-3/step-000000",
    ]


def test_a_checkpoint_that_was_deleted_is_made_again(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/seed-3/step-000020")
    train(toy_preset(), ToyCorpus(), tmp_path / "copy", seeds=(3,))
    assert weights(tmp_path / "copy/seed-3/step-000020") == weights(run / "seed-3/step-000020")
    assert without_speed(tmp_path / "copy/seed-3/log.jsonl") == without_speed(run / "seed-3/log.jsonl")


@pytest.mark.parametrize(
    ("changes", "corpus", "said"),
    [
        ({"optimisation.lr": 0.5}, ToyCorpus(), r"preset.optimisation.lr = 0.01, but 0.5 was asked for"),
        ({"steps": 31}, ToyCorpus(), r"preset.steps = 30, but 31 was asked for"),
        ({"config.n_inner": 8}, ToyCorpus(), r"preset.config.n_inner = null, but 8 was asked for"),
        ({}, ToyCorpus(rotation=3), r"corpus.rotation = 1, but 3 was asked for"),
    ],
)
def test_a_folder_of_another_run_is_refused(
    run: Path, changes: dict[str, object], corpus: ToyCorpus, said: str
) -> None:
    with pytest.raises(BadInputError, match=rf"run\.json: the folder holds a run with {said}"):
        train(toy_preset(**changes), corpus, run, seeds=(3,))


def test_other_folders_that_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="file: a file; expected a folder"):
        train(toy_preset(), ToyCorpus(), tmp_path / "file")
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy/run.json").write_text("{")
    with pytest.raises(BadInputError, match=r"run\.json: not JSON"):
        train(toy_preset(), ToyCorpus(), tmp_path / "copy")
    (tmp_path / "copy/run.json").unlink()
    with pytest.raises(BadInputError, match=r"holds checkpoints but no run\.json"):
        train(toy_preset(), ToyCorpus(), tmp_path / "copy")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seed-42").mkdir()
    with (tmp_path / "seed-42/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BadInputError, match="seed-42: another process is training"):
            train(toy_preset(), ToyCorpus(), tmp_path)
    assert len(train(toy_preset(steps=1), ToyCorpus(), tmp_path)) == 2


def test_a_preset_that_cannot_be_built_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no option 'n_layers'"):
        train(toy_preset(), ToyCorpus(), tmp_path / "new", override={"config.n_layers": 3})
    assert not (tmp_path / "new").exists()


def test_a_loss_that_is_not_finite_names_the_step(tmp_path: Path) -> None:
    preset = toy_preset(**{"optimisation.lr": 1e38, "optimisation.warmup_steps": 0})
    with pytest.raises(GroundbenchError, match=r"seed 42: the loss of step 1 is (nan|inf)") as caught:
        train(preset, ToyCorpus(), tmp_path)
    assert caught.value.exit_code == 1
    assert [p.name for p in (tmp_path / "seed-42").glob("step-*")] == ["step-000000"]


def test_a_batch_without_a_token_names_the_step(tmp_path: Path) -> None:
    class Empty(ToyCorpus):
        def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> np.ndarray:
            rows = super().batch(step, seed=seed, batch_size=batch_size, length=length)
            return rows * (step != 2)

    with pytest.raises(GroundbenchError, match="the batch of step 2 has no token"):
        train(toy_preset(), Empty(), tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": ()}, "seeds: expected at least one"),
        ({"seeds": (1, 1)}, "each once, found"),
        ({"seeds": (-1,)}, "none below 0, found -1"),
        ({"jobs": 0}, "jobs and threads must be at least 1"),
        ({"threads": 0}, "jobs and threads must be at least 1"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"steps": 0}, "preset toy: field steps"),
        ({"override": {"stepz": 1}}, "'stepz' is no key"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        train(toy_preset(), ToyCorpus(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("childwrld", "unknown corpus 'childwrld': .* did you mean 'childworld'"),
        ("childworld:mixed", "expected childworld or childworld:shuffled"),
        ("ladder", "'ladder' has no training corpus"),
    ],
)
def test_a_corpus_that_is_not_there(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        train(toy_preset(), name, tmp_path / "out")


def test_bf16_is_another_run_that_also_learns(tmp_path: Path) -> None:
    paths = train(toy_preset(precision="bf16"), ToyCorpus(), tmp_path)
    assert json.loads((paths[-1] / "training.json").read_text())["heldout_loss"] < 0.4
    model = AutoModelForCausalLM.from_pretrained(paths[-1])
    assert model.dtype == torch.float32  # the weights themselves stay fp32
    assert weights(paths[-1]) != weights(train(toy_preset(), ToyCorpus(), tmp_path / "fp32")[-1])
