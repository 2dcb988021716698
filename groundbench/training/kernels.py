"""The choice of PyTorch's attention kernel for a training step: the fastest for its rows on its device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 256
"""Tokens of a row up to which plain matrix products are used; they hold the T x T weights of a batch."""


def attention_kernel(device: torch.device, precision: str, length: int) -> AbstractContextManager[None]:
    """Return a context for the forward and backward pass of rows of `length` tokens.

    On a CPU in bf16 the fused kernel's backward takes twice the time of plain matrix products on short rows; everywhere
    else PyTorch chooses.
    """
    if device.type == "cpu" and precision == "bf16" and length <= SHORT:
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()
