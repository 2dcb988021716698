"""One transcript is one record, cut into chunks; nothing is packed across transcripts (protocol §2.1)."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def cut_into_chunks(utterances: Ids, transcripts: Ids, length: int) -> tuple[Ids, Ids, Ids]:
    """Cut transcripts into chunks of at most `length` tokens, each beginning with an utterance where one fits.

    An utterance, with the ENV before it, that is longer than `length` is cut into chunks of its own.

    Args:
        utterances: [U + 1] where each utterance begins in the tokens.
        transcripts: [T + 1] where each transcript begins in the utterances.

    Returns:
        For each chunk its first token, the token after its last, and its transcript.
    """
    starts: list[int] = []
    ends: list[int] = []
    owner: list[int] = []
    places, first = utterances.tolist(), transcripts.tolist()
    for t, (u, last) in enumerate(pairwise(first)):
        start, end = places[u], places[last]
        while start < end:
            u = bisect_right(places, start + length, u, last + 1) - 1  # the last boundary within reach
            stop = places[u] if places[u] > start else start + length
            starts.append(start)
            ends.append(stop)
            owner.append(t)
            start = stop
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64), np.array(owner, dtype=np.int64)
