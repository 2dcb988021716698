"""The language-model loss: mean surprisal (nats) of every token but the first, pads left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from groundbench.training.fused_cross_entropy import summed_surprisal

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from groundbench.training.corpus import Tokens
    from groundbench.training.train_module import TrainModule

COLUMNS = 8
"""Rows are cut at a multiple of this: a step on rows of 127 tokens takes longer than one on rows of 128."""


class Batch(NamedTuple):
    """Rows as a model reads them.

    Attributes:
        inputs: [B, T] token ids, cut soon after the longest row.
        kept: [n] positions in the flattened inputs whose next token is no pad.
        targets: [n] that next token.
        seen: [B, ...] what stands before the inputs and is not text: an image's patches or pixels. None: nothing.
    """

    inputs: Tensor
    kept: Tensor
    targets: Tensor
    seen: Tensor | None = None


def to_batch(rows: Tokens, pad: int, device: torch.device, *, whole: bool = False) -> Batch:
    """Return token ids [B, T], padded on the right, as a batch. Found on the CPU, so that no device must be waited for.

    Args:
        whole: keep pads beyond the longest row, so that every batch has one shape.
    """
    longest = int((rows != pad).sum(axis=1).max(initial=1))
    if not whole:
        rows = rows[:, : -(-longest // COLUMNS) * COLUMNS]
    targets = np.pad(rows[:, 1:], ((0, 0), (0, 1)), constant_values=pad).ravel()
    kept = np.flatnonzero(targets != pad)
    arrays = (np.ascontiguousarray(rows), kept, targets[kept])
    return Batch(*(torch.from_numpy(a).to(device, non_blocking=True) for a in arrays))


def parts(rows: Tokens, pieces: int) -> Iterator[Tokens]:
    """Yield the rows in at most `pieces` parts of nearly equal size, none empty."""
    yield from np.array_split(rows, min(pieces, len(rows)))


def n_targets(rows: Tokens, pad: int) -> int:
    """Count tokens of the rows are predicted."""
    return int(np.count_nonzero(rows[:, 1:] != pad))


class NextTokenLoss(nn.Module):
    """A model and its loss as one module, so that a parallel wrapper sees one forward pass.

    No attention mask is needed: pads stand on the right, where nothing that counts can see them. The unembedding
    is computed for the tokens that count only.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Return the sum of surprisals (nats, fp32) over the batch's targets."""
        kept = self.hidden_states(batch).flatten(0, 1).index_select(0, batch.kept)
        return summed_surprisal(kept, self.model.get_output_embeddings(), batch.targets)

    def hidden_states(self, batch: Batch) -> Tensor:
        """Return [B, T, d] the last hidden state at the batch's inputs."""
        state: Tensor = self.model.base_model(input_ids=batch.inputs, use_cache=False).last_hidden_state
        return state


def trained_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the part of a model's state that training changes: all but frozen parameters."""
    state = model.state_dict(keep_vars=True)
    return {k: v.detach() for k, v in state.items() if v.requires_grad or not isinstance(v, nn.Parameter)}


def load_trained(model: PreTrainedModel, state: Mapping[str, Tensor]) -> None:
    """Put `trained_weights` back; the frozen ones are as the model was built with them."""
    model.load_state_dict({**model.state_dict(), **state})


@torch.no_grad()
def heldout_loss(module: TrainModule, device: torch.device, batch_size: int) -> float:
    """Compute the mean surprisal (nats per token) on a module's held-out rows, without dropout."""
    objective, rows = module.objective, module.heldout
    was_training = objective.training
    objective.eval()
    total = 0.0
    for start in range(0, len(rows), batch_size):
        total += float(objective(module.batch(rows[start : start + batch_size], device)))
    objective.train(was_training)
    return total / module.n_targets(rows)
