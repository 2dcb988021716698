"""Model, data and loss of one training run, for text; images have `image_train_module`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from groundbench.adapters.architectures.build import build_model
from groundbench.api.errors import BadInputError
from groundbench.training.corpus import Corpus, ImageCorpus
from groundbench.training.objective import Batch, NextTokenLoss, n_targets, to_batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from groundbench.training.corpus import Tokens
    from groundbench.training.presets import Preset


class TrainModule(Protocol):
    """The part of the training loop that depends on what is learned. Rows are integers [R, C], one row an example.

    Attributes:
        heldout: rows that no step draws.
    """

    heldout: Tokens

    @property
    def model(self) -> PreTrainedModel:
        """The trained model; parameters without `requires_grad` are neither optimised nor in a run's state."""
        ...

    @property
    def objective(self) -> NextTokenLoss:
        """The loss of a batch, as one module that holds the model."""
        ...

    def rows(self, step: int) -> Tokens:
        """Return the rows of one step: a pure function of step and seed."""
        ...

    def n_targets(self, rows: Tokens) -> int:
        """Count tokens of the rows are predicted."""
        ...

    def batch(self, rows: Tokens, device: torch.device) -> Batch:
        """Return the rows as the objective reads them."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model, and what turns a user's input into its own, as a `from_pretrained` folder."""
        ...


class TextTrainModule:
    """A language model on the rows of a text corpus; the seed decides initial weights and order (protocol §6)."""

    def __init__(self, preset: Preset, corpus: Corpus, seed: int) -> None:
        self._preset, self._corpus, self._seed = preset, corpus, seed
        self._tokenizer = corpus.tokenizer()
        self._pad = int(self._tokenizer.pad_token_id)
        self.heldout = corpus.heldout(rows=preset.heldout_rows, length=preset.length)
        torch.manual_seed(seed)
        self.model = build_model(
            preset.architecture, preset.config, vocab_size=len(self._tokenizer), length=preset.length
        )
        self.objective = NextTokenLoss(self.model)

    def rows(self, step: int) -> Tokens:
        """Return token ids [batch_size, length]."""
        preset = self._preset
        return self._corpus.batch(step, seed=self._seed, batch_size=preset.batch_size, length=preset.length)

    def n_targets(self, rows: Tokens) -> int:
        """Return every token but the first of a row, pads left out."""
        return n_targets(rows, self._pad)

    def batch(self, rows: Tokens, device: torch.device) -> Batch:
        """Return the rows on the device."""
        return to_batch(rows, self._pad, device, whole=self._preset.compile)

    def save(self, folder: Path) -> None:
        """Return weights and tokenizer."""
        self.model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)


def open_train_module(preset: Preset, corpus: Corpus | ImageCorpus, seed: int, device: torch.device) -> TrainModule:
    """Return the module of a preset: images if it has them, text otherwise.

    Args:
        device: where a frozen image encoder reads images that are not in the cache yet.

    Raises:
        BadInputError: a preset that cannot be built, or one that cannot be trained on this corpus.
    """
    if preset.pictures is None:
        return TextTrainModule(preset, require_text(preset, corpus), seed)
    from groundbench.training.image_train_module import ImageTrainModule

    return ImageTrainModule(preset, require_images(preset, corpus), seed, device)


def require_text(preset: Preset, corpus: Corpus | ImageCorpus) -> Corpus:
    """Return the corpus, which this preset reads as text. Raises BadInputError if it is one of images."""
    if isinstance(corpus, ImageCorpus):
        raise BadInputError(f"corpus {corpus.name}: of images, but the preset {preset.name} reads text only")
    return corpus


def require_images(preset: Preset, corpus: Corpus | ImageCorpus) -> ImageCorpus:
    """Return the corpus, whose images this preset sees. Raises BadInputError if it has none."""
    if not isinstance(corpus, ImageCorpus):
        raise BadInputError(f"corpus {corpus.name}: it has no images, which the preset {preset.name} is trained on")
    return corpus
