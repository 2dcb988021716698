"""torch.compile for training: the layers of a model as one compiled module, in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch._dynamo.exc import TorchDynamoException

from groundbench.api.errors import BadInputError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# Whole rows have one shape. With sizes left open, inductor (torch 2.13) fails on GPT-2's attention.
OPTIONS: dict[str, Any] = {"dynamic": False}


def compile_layers(model: PreTrainedModel, device: torch.device) -> None:
    """Compile a model's layers; embeddings' and weights' names, hence its checkpoints, stay as they are.

    Raises:
        BadInputError: code cannot be compiled here (no C++ compiler, or no Triton for a GPU).
    """
    torch.compiler.reset()  # what earlier seeds compiled counts against torch's limit of versions of one function
    try:
        torch.compile(_probe, **OPTIONS)(torch.ones(2, device=device))
    except TorchDynamoException as error:
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise BadInputError(f"compile: torch.compile cannot build code here ({reason[:200]}); leave it off") from error
    layers: Any = model.base_model
    layers.compile(**OPTIONS)


def _probe(x: Tensor) -> Tensor:
    return x.sin() + 1
