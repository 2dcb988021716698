"""childworld: a made-up world of caregiver and child, in which the truth about grounding is known."""

from __future__ import annotations

from groundbench.tasks.childworld.corpus import ChildworldCorpus
from groundbench.tasks.childworld.ideal_observer import IdealGain, ideal_gain
from groundbench.tasks.childworld.testbed import Childworld

__all__ = ["Childworld", "ChildworldCorpus", "IdealGain", "corpus", "ideal_gain", "load"]


def load() -> Childworld:
    """Return the testbed: 100 nouns, forms `token` and `simple`, ten shared frames."""
    return Childworld()


def corpus(density: str = "dense", shuffle_env: bool = False) -> ChildworldCorpus:
    """Return the training corpus. Densities: `dense` (470 ENV tiers per 1,000 utterances), `childes-like` (80) and
    `childes-like-strict` (37). `shuffle_env` shuffles ENV tiers across transcripts: the null corpus.

    Raises:
        BadInputError: unknown density.
    """
    return ChildworldCorpus(density, shuffle_env)
