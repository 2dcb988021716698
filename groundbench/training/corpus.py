"""What training reads: a stream of token batches that is a pure function of step and seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Tokens = npt.NDArray[np.int64]


class Corpus(Protocol):
    """A text that a model is trained on from scratch (protocol §2, §6)."""

    @property
    def name(self) -> str:
        """Which corpus it is, e.g. `childworld`."""
        ...

    def identity(self) -> dict[str, object]:
        """The options that decide its bytes, as JSON values: two corpora with equal identities are equal."""
        ...

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The word-level tokenizer: whitespace split, `<pad>`, `<unk>`, no BOS."""
        ...

    def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> Tokens:
        """Token ids [batch_size, length] of one step: a pure function of its arguments.

        A row holds text of one transcript only and is filled up with the id of `<pad>`.
        """
        ...

    def heldout(self, *, rows: int, length: int) -> Tokens:
        """Token ids [rows, length] of fixed rows that no `batch` ever returns."""
        ...
