"""The kernels of a training step: PyTorch's attention kernel for its rows, and torch.compile of the model's layers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch._dynamo.exc import TorchDynamoException
from torch.nn.attention import SDPBackend, sdpa_kernel

from groundbench.api.errors import BadInputError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

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


# Whole rows have one shape. With sizes left open, inductor (torch 2.13) fails on GPT-2's attention.
COMPILE_OPTIONS: dict[str, Any] = {"dynamic": False}


def compile_layers(model: PreTrainedModel, device: torch.device) -> None:
    """Compile a model's layers; embeddings' and weights' names, hence its checkpoints, stay as they are.

    Raises:
        BadInputError: code cannot be compiled here (no C++ compiler, or no Triton for a GPU).
    """
    torch.compiler.reset()  # what earlier seeds compiled counts against torch's limit of versions of one function
    try:
        torch.compile(_trivial, **COMPILE_OPTIONS)(torch.ones(2, device=device))
    except TorchDynamoException as error:
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise BadInputError(f"compile: torch.compile cannot build code here ({reason[:200]}); leave it off") from error
    layers: Any = model.base_model
    layers.compile(**COMPILE_OPTIONS)


def _trivial(x: Tensor) -> Tensor:
    return x.sin() + 1
