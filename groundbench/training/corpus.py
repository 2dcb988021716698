"""Training data: token batches as a pure function of step and seed, or images with their dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from groundbench.api.testbed import ImageSource

Tokens = npt.NDArray[np.int64]


class Corpus(Protocol):
    """A text that a model is trained on from scratch (protocol §2, §6)."""

    @property
    def name(self) -> str:
        """The corpus' name, e.g. `childworld`."""
        ...

    def identity(self) -> dict[str, object]:
        """Return the options that decide its bytes, as JSON values: two corpora with equal identities are equal."""
        ...

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the word-level tokenizer: whitespace split, `<pad>`, `<unk>`, no BOS."""
        ...

    def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> Tokens:
        """Return token ids [batch_size, length] of one step: a pure function of its arguments.

        A row holds text of one transcript only and is filled up with the id of `<pad>`.
        """
        ...

    def heldout(self, *, rows: int, length: int) -> Tokens:
        """Return token ids [rows, length] of fixed rows that no `batch` ever returns."""
        ...


@runtime_checkable
class ImageCorpus(Protocol):
    """ImageInput, each with a dialogue about it (protocol §2.3); number i below `len` is trained on."""

    @property
    def name(self) -> str:
        """The corpus' name, e.g. `image-dialogue`."""
        ...

    def identity(self) -> dict[str, object]:
        """Return the options that decide images and dialogues, as JSON values."""
        ...

    def __len__(self) -> int:
        """Count images there are to train on."""
        ...

    def picture(self, i: int) -> ImageSource:
        """Return the image of dialogue i."""
        ...

    def turns(self, i: int) -> Sequence[str]:
        """Return dialogue i, turn by turn, without the words that the image replaces."""
        ...

    def caption(self, i: int) -> str:
        """Return the caption of image i."""
        ...

    def words(self) -> Sequence[str]:
        """Return every word and punctuation mark of captions and dialogues."""
        ...

    def heldout(self, rows: int) -> Sequence[int]:
        """Return numbers of `rows` dialogues that are not trained on."""
        ...
