"""The language-model loss: mean surprisal (nats) of every token but the first, pads left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from groundbench.training.corpus import Tokens


class Batch(NamedTuple):
    """Rows as a model reads them.

    Attributes:
        inputs: [B, T - 1] token ids, cut after the longest row.
        kept: [n] positions in the flattened inputs whose next token is no pad.
        targets: [n] that next token.
    """

    inputs: Tensor
    kept: Tensor
    targets: Tensor


def to_batch(rows: Tokens, pad: int, device: torch.device) -> Batch:
    """Token ids [B, T], padded on the right, as a batch. Found on the CPU, so that no device must be waited for."""
    longest = int((rows != pad).sum(axis=1).max(initial=1))
    rows = rows[:, : max(longest, 2)]
    targets = rows[:, 1:].ravel()
    kept = np.flatnonzero(targets != pad)
    arrays = (np.ascontiguousarray(rows[:, :-1]), kept, targets[kept])
    return Batch(*(torch.from_numpy(a).to(device, non_blocking=True) for a in arrays))


def parts(rows: Tokens, pieces: int) -> Iterator[Tokens]:
    """The rows in at most `pieces` parts of nearly equal size, none empty."""
    yield from np.array_split(rows, min(pieces, len(rows)))


def n_targets(rows: Tokens, pad: int) -> int:
    """How many tokens of the rows are predicted."""
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
        """The sum of surprisals (nats, fp32) over the batch's targets."""
        hidden = self.model.base_model(input_ids=batch.inputs, use_cache=False).last_hidden_state
        kept = hidden.flatten(0, 1).index_select(0, batch.kept)
        logits = self.model.get_output_embeddings()(kept)
        return nn.functional.cross_entropy(logits.float(), batch.targets, reduction="sum")


@torch.no_grad()
def heldout_loss(objective: NextTokenLoss, rows: Tokens, pad: int, device: torch.device, batch_size: int) -> float:
    """Mean surprisal (nats per token) on held-out rows [R, T], without dropout."""
    was_training = objective.training
    objective.eval()
    total = 0.0
    for start in range(0, len(rows), batch_size):
        total += float(objective(to_batch(rows[start : start + batch_size], pad, device)))
    objective.train(was_training)
    return total / n_targets(rows, pad)
