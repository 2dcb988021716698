"""The text that a tuned lens is trained on: never the prompts that it is read in (protocol §9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Encoded
from groundbench.api.testbed import Prompt, Testbed, TextSegment, Trainable
from groundbench.engine.contexts import FormContexts
from groundbench.measures.lens.options import LensOptions

Ints = npt.NDArray[np.int64]


class HeldoutText(Protocol):
    """The part of a training corpus (`groundbench.training.corpus.Corpus`) that a lens needs."""

    name: str

    def tokenizer(self) -> Any:
        """Return its word-level tokenizer."""
        ...

    def heldout(self, *, rows: int, length: int) -> Ints:
        """Return token ids [rows, length] that no model was trained on, filled up with the pad token."""
        ...


@dataclass(frozen=True)
class LensFold:
    """Rows to train one lens on, and the frames (indices) that this lens is read in."""

    name: str
    rows: tuple[Encoded, ...]
    frames: Ints


def lens_folds(
    adapter: Adapter,
    contexts: FormContexts,
    testbed: Testbed,
    options: LensOptions,
    corpus: HeldoutText | None = None,
    *,
    seed: int = 0,
) -> tuple[tuple[LensFold, ...], str]:
    """Return the folds, and one sentence on what the lens was trained on.

    Models of a testbed with a corpus: one lens, from the corpus' held-out rows. All others: the testbed's own prompts,
    cross-fitted: a lens trained on one half of the frames is read in the other half. No folds where there is one frame.

    Args:
        corpus: the corpus whose held-out rows to take; by default the testbed's own, where it has one.

    Raises:
        BadInputError: the held-out rows cannot be encoded.
    """
    if corpus is None and isinstance(testbed, Trainable):
        corpus = testbed.corpus()
    if corpus is not None:
        rows = heldout_rows(adapter, corpus, options)
        fold = LensFold("heldout", rows, np.arange(len(contexts.frames)))
        return (fold,), f"trained on held-out rows of the corpus {corpus.name}"
    halves = frame_halves(contexts, seed)
    if not all(map(len, halves)):
        return (), "no tuned lens: cross-fitting it needs two frames"
    folds = tuple(
        LensFold(f"half-{k}", tuple(contexts.rows[i] for i in _contexts_of_frames(contexts, halves[1 - k])), halves[k])
        for k in (0, 1)
    )
    return folds, "trained on the testbed's prompts, cross-fitted over halves of the frames"


def heldout_rows(adapter: Adapter, corpus: HeldoutText, options: LensOptions) -> tuple[Encoded, ...]:
    """Held-out text as the model's own tokenizer reads it, as much as `options.positions` needs."""
    tokenizer = corpus.tokenizer()
    length = min(options.row_length, adapter.info.max_length - 1)
    ids = corpus.heldout(rows=-(-options.positions // length), length=length)
    words = [[t for t in tokenizer.convert_ids_to_tokens(row.tolist()) if t != tokenizer.pad_token] for row in ids]
    prompts = [Prompt(f"heldout-{i}", "", "heldout", (TextSegment(" ".join(w)),)) for i, w in enumerate(words) if w]
    return tuple(adapter.encode(prompts))


def frame_halves(contexts: FormContexts, seed: int) -> tuple[Ints, Ints]:
    """Seeded halves of the frames; frames of one noun stay together. Of one frame, a half is empty."""
    own = contexts.frame_nouns
    unit = own if (own >= 0).all() else np.arange(len(own))
    units = np.unique(unit)
    first = np.isin(unit, np.random.default_rng(seed).permutation(units)[: len(units) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def _contexts_of_frames(contexts: FormContexts, frames: Ints) -> Sequence[int]:
    own: list[int] = contexts.distinct[np.isin(contexts.frame[contexts.distinct], frames)].tolist()
    return own
