"""The attention kernel of a training step: which one runs, and that the other gives the same loss and gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from helpers.toy_training import WORDS, ToyCorpus
from torch.backends.cuda import flash_sdp_enabled, math_sdp_enabled
from torch.utils._python_dispatch import TorchDispatchMode

from groundbench.adapters.architectures.build import build_model
from groundbench.training.kernels import SHORT, attention_kernel
from groundbench.training.objective import NextTokenLoss, n_targets, to_batch

CPU = torch.device("cpu")
BF16 = 2.0**-8
"""The spacing of bf16 at 1: what one rounding may cost, relatively, is half of it."""


class Watching(TorchDispatchMode):
    """A record of whether the fused kernel runs inside it."""

    fused = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.fused |= "scaled_dot_product" in str(func)
        return func(*args, **(kwargs or {}))


def measured(length: int, context: AbstractContextManager[None]) -> tuple[float, torch.Tensor, bool]:
    """Loss, all gradients as one vector, and whether the fused kernel ran: a step of a small GPT-2 in bf16."""
    torch.manual_seed(0)
    config = {"n_layer": 2, "n_head": 2, "n_embd": 32, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
    model = build_model("gpt2", config, vocab_size=len(WORDS), length=length).train()
    rows = np.asarray(ToyCorpus().heldout(rows=4, length=length))
    with Watching() as ran, context:
        with torch.autocast("cpu", torch.bfloat16):
            loss = NextTokenLoss(model)(to_batch(rows, 0, CPU)) / n_targets(rows, 0)
        loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return float(loss.detach()), gradient, ran.fused


@pytest.mark.parametrize("length", [12, 100])
def test_short_rows_in_bf16_have_the_loss_and_gradients_of_pytorchs_own_kernel(length: int) -> None:
    ours, gradient, fused = measured(length, attention_kernel(CPU, "bf16", length))
    theirs, expected, fused_there = measured(length, nullcontext())
    assert (fused, fused_there) == (False, True)
    assert ours == pytest.approx(theirs, rel=BF16)
    difference = float((gradient - expected).norm() / expected.norm())
    assert difference < 2 * BF16
    assert difference > 0  # they are two computations


@pytest.mark.parametrize(
    ("device", "precision", "length"),
    [("cpu", "fp32", 12), ("cpu", "bf16", SHORT + 1), ("cuda", "bf16", 12)],
)
def test_elsewhere_pytorch_chooses(device: str, precision: str, length: int) -> None:
    before = flash_sdp_enabled(), math_sdp_enabled()
    with attention_kernel(torch.device(device), precision, length):
        assert (flash_sdp_enabled(), math_sdp_enabled()) == before == (True, True)


def test_the_choice_ends_with_the_step() -> None:
    with attention_kernel(CPU, "bf16", SHORT):
        assert (flash_sdp_enabled(), math_sdp_enabled()) == (False, True)
    assert flash_sdp_enabled()


def test_a_long_row_keeps_the_fused_kernel() -> None:
    assert measured(SHORT + 1, attention_kernel(CPU, "bf16", SHORT + 1))[2]
