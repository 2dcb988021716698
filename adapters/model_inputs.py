"""The inputs of a model's forward pass, made from encoded rows: of text models; `vlm.model_inputs` adds images.

An adapter holds one such object, so that all its passes are written once and only what a model is given differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from groundbench.adapters.model_structure import input_device
from groundbench.adapters.tokenization import BosPolicy, PromptEncoder
from groundbench.api.adapter import Capability, Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from groundbench.adapters.huggingface import HFCausal

UNLIMITED = 1 << 20
Run = Callable[..., Tensor]
"""(token ids [B, T], cache or None, **options) -> logits [B, T, V] of all new tokens."""


class TextInputs:
    """The inputs of a text model: token ids."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = input_device(model)

    def encoder(self, name: str, bos: BosPolicy, chat: bool) -> PromptEncoder:
        """Return the encoder of the model's prompts; its messages give `name`."""
        return PromptEncoder(self.tokenizer, max_length(self.model), name, bos, chat, embeddings(self.model))

    def of(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        """Return the inputs of the rows' new tokens."""
        return {"input_ids": self.ids(rows)}

    def ids(self, rows: Sequence[Encoded]) -> Tensor:
        """Return [B, T] the rows' new tokens.

        Raises:
            ValueError: the rows have several lengths.
        """
        ids = [r.ids[r.start :] for r in rows]
        if len({len(i) for i in ids}) != 1:
            raise ValueError("rows of one batch must have one length")
        return torch.tensor(ids, device=self.device)

    def after(self, rows: Sequence[Encoded], run: Run) -> Run:
        """Return `run` for tokens that continue these rows."""
        return run

    def check(self, adapter: HFCausal, lacks: dict[Capability, str]) -> dict[Capability, str]:
        """Return capabilities that are lost with these inputs, besides what the model `lacks`, with the reasons."""
        return {}


def max_length(model: PreTrainedModel) -> int:
    """Return the model's context in tokens."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return UNLIMITED


def embeddings(model: PreTrainedModel) -> int | None:
    """Count tokens the model has embeddings for; None where it does not tell."""
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:
        return None
    size = getattr(table, "num_embeddings", None)
    if size is None and isinstance(getattr(table, "weight", None), Tensor):
        size = table.weight.shape[0]
    return None if size is None else int(size)
