"""The loss: against transformers' own, and blind to pads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tolerances import nats
from helpers.toy_training import ToyCorpus, toy_preset
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from groundbench.adapters.architectures.build import build_model
from groundbench.training.objective import NextTokenLoss, heldout_loss, n_targets, parts, to_batch
from groundbench.training.train_module import TextTrainModule

CPU = torch.device("cpu")
ARCHITECTURES = {
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16},
    "groundbench_lstm": {"num_hidden_layers": 2, "hidden_size": 16},
    "mamba2": {
        "num_hidden_layers": 1,
        "hidden_size": 16,
        "num_heads": 4,
        "head_dim": 8,
        "n_groups": 1,
        "state_size": 8,
        "chunk_size": 16,
    },
}
ROWS = ToyCorpus().heldout(rows=6, length=12)


def built(architecture: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return build_model(architecture, ARCHITECTURES[architecture], vocab_size=10, length=12).eval()


def their_loss(model: PreTrainedModel, rows: np.ndarray) -> torch.Tensor:
    """Transformers' mean loss with pads labelled -100, row by row, each cut at its own length."""
    total, count = torch.zeros(()), 0
    for row in rows:
        ids = torch.from_numpy(row[row != 0])[None]
        total = total + model(input_ids=ids, labels=ids).loss * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    return total / count


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_is_transformers_loss_without_the_pads(architecture: str) -> None:
    model = built(architecture)
    ours = NextTokenLoss(model)(to_batch(ROWS, 0, CPU)) / n_targets(ROWS, 0)
    theirs = their_loss(model, ROWS)
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    gradient = model.get_input_embeddings().weight.grad.clone()
    model.zero_grad()
    theirs.backward()
    torch.testing.assert_close(gradient, model.get_input_embeddings().weight.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_more_pads_change_nothing(architecture: str) -> None:
    loss = NextTokenLoss(built(architecture))
    wider = np.pad(ROWS, ((0, 0), (0, 5)))
    with torch.no_grad():
        assert float(loss(to_batch(wider, 0, CPU))) == float(loss(to_batch(ROWS, 0, CPU)))


@given(rows=st.integers(1, 9), pieces=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_parts_are_the_batch(rows: int, pieces: int) -> None:
    whole = ToyCorpus().heldout(rows=rows, length=7)
    cut = list(parts(whole, pieces))
    assert np.array_equal(np.concatenate(cut), whole)
    assert all(len(piece) for piece in cut)
    assert sum(n_targets(piece, 0) for piece in cut) == n_targets(whole, 0)


def test_heldout_loss_is_the_mean_over_tokens_whatever_the_batches() -> None:
    module = TextTrainModule(toy_preset(heldout_rows=6), ToyCorpus(), 3)
    module.objective.train()
    found = [heldout_loss(module, CPU, size) for size in (1, 4, 6)]
    assert module.model.training
    assert found == nats([their_loss(module.model.eval(), module.heldout).item()] * 3, depth=64)


def test_a_batch_keeps_exactly_what_is_predicted() -> None:
    rows = np.array([[3, 4, 5] + 9 * [0], [6, 7] + 10 * [0]])
    batch = to_batch(rows, 0, CPU)
    assert batch.inputs.tolist() == [[3, 4, 5, 0, 0, 0, 0, 0], [6, 7, 0, 0, 0, 0, 0, 0]]
    assert batch.kept.tolist() == [0, 1, 8]
    assert batch.targets.tolist() == [4, 5, 7]
    assert to_batch(rows, 0, CPU, whole=True).inputs.tolist() == rows.tolist()
    assert to_batch(rows[:, :3], 0, CPU).inputs.tolist() == rows[:, :3].tolist()


def test_a_row_that_fills_its_columns_predicts_nothing_at_its_end() -> None:
    rows = np.arange(1, 17).reshape(2, 8)
    batch = to_batch(rows, 0, CPU)
    assert batch.inputs.tolist() == rows.tolist()
    assert batch.targets.tolist() == rows[:, 1:].ravel().tolist()
    assert batch.kept.tolist() == [*range(7), *range(8, 15)]


def test_a_batch_of_pads_predicts_nothing() -> None:
    rows = np.zeros((2, 4), dtype=np.int64)
    assert n_targets(rows, 0) == 0
    assert NextTokenLoss(built("gpt2"))(to_batch(rows, 0, CPU)).item() == 0.0
