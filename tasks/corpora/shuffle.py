"""The null corpus: ENV tiers shuffled between transcripts: what is shown says nothing of what is said (§14 B)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError

Ids = npt.NDArray[np.int64]
SEED = 20251013
ROUNDS = 200


def shuffle(owner: Ids, where: str) -> Ids:
    """Return [E] a permutation of ENV segments in which none comes from the transcript that it goes to.

    Args:
        owner: [E] the transcript of each.
        where: names the corpus in messages.

    Raises:
        BadInputError: one transcript holds more than half of them, so there is no such permutation.
    """
    n = len(owner)
    if not can_be_shuffled(owner):
        raise BadInputError(
            f"{where}: one transcript holds more than half of the {n} ENV segments, which cannot be shuffled between "
            "transcripts; expected more transcripts"
        )
    rng = np.random.default_rng(SEED)
    order = rng.permutation(n)
    for _ in range(ROUNDS):
        wrong = np.flatnonzero(owner[order] == owner)
        if not len(wrong):
            return order
        # each of them is swapped with any other, one after another, which keeps it a permutation
        for i, j in zip(wrong.tolist(), rng.integers(n, size=len(wrong)).tolist(), strict=True):
            if owner[order[j]] != owner[i] and owner[order[i]] != owner[j]:
                order[i], order[j] = order[j], order[i]
    return _rotate_transcripts(owner, rng)


def can_be_shuffled(owner: Ids) -> bool:
    """Return True if no transcript holds more than half of the segments."""
    return len(owner) == 0 or int(np.bincount(owner).max()) * 2 <= len(owner)


def _rotate_transcripts(owner: Ids, rng: np.random.Generator) -> Ids:
    """Return the same for corpora so small that chance does not find one: each transcript takes from those after it."""
    names = rng.permutation(int(owner.max()) + 1)[owner]
    grouped = np.lexsort((rng.random(len(owner)), names))
    order = np.empty(len(owner), dtype=np.int64)
    order[grouped] = np.roll(grouped, -int(np.bincount(owner).max()))
    return order


def gather(tokens: npt.NDArray[np.unsignedinteger], starts: Ids, lengths: Ids) -> npt.NDArray[np.unsignedinteger]:
    """Return the tokens of segments, one segment after another."""
    total = int(lengths.sum())
    shift = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    found: npt.NDArray[np.unsignedinteger] = tokens[np.arange(total) + shift]
    return found
