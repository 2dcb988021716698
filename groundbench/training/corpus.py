"""Training data: the contracts of a text corpus and of an image corpus, and corpora opened by name or folder.

Token batches are a pure function of step and seed. A testbed's package offers its corpus as a function `corpus`;
imported corpora are folders."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.registry import TASKS
from groundbench.tasks.corpora import ImportedCorpus, is_corpus
from groundbench.training.presets import Preset
from groundbench.util.suggestions import did_you_mean

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
    """Images, each with a dialogue about it (protocol §2.3); number i below `len` is trained on."""

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

    def image(self, i: int) -> ImageSource:
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


SHUFFLED = "shuffled"


def default_corpus(preset: Preset) -> str:
    """Return the name of the corpus that a preset is trained on unless told."""
    return preset.corpus or "childworld"


def load_corpus(name: str, **options: Any) -> Corpus | ImageCorpus:
    """Return the training corpus of the testbed of that name, or the imported corpus in that folder.

    `NAME:shuffled` is short for `shuffle_env=True`: the null corpus, in which what is shown says nothing of what is
    said (protocol §14 B). Options that are None are left at the corpus' default.

    Raises:
        BadInputError: no such testbed or folder, a testbed without a corpus, or an option its corpus does not have.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if is_corpus(Path(name)):
        return _make_corpus(ImportedCorpus, name, given, folder=name)
    name, colon, variant = name.partition(":")
    if colon and variant != SHUFFLED:
        raise BadInputError(f"corpus {name}:{variant}: expected {name} or {name}:{SHUFFLED}")
    if variant:
        given["shuffle_env"] = True
    if is_corpus(Path(name)):
        return _make_corpus(ImportedCorpus, name, given, folder=name)
    modules = {entry.name: entry.module for entry in entry_points(group=TASKS)}
    if name not in modules:
        raise BadInputError(
            f"unknown corpus {name!r}: expected the name of a testbed with a training corpus, or a folder made by "
            f"`groundbench tasks import`{did_you_mean(name, modules)}"
        )
    make = getattr(import_module(modules[name]), "corpus", None)
    if make is None:
        raise BadInputError(f"the testbed {name!r} has no training corpus: it is for evaluation only")
    return _make_corpus(make, name, given)


def _make_corpus(make: Callable[..., Any], name: str, options: dict[str, Any], **fixed: Any) -> Corpus | ImageCorpus:
    for key in options:
        if key in fixed or key not in inspect.signature(make).parameters:
            raise BadInputError(f"corpus {name}: it has no option {key!r}")
    return cast(Corpus | ImageCorpus, make(**fixed, **options))
