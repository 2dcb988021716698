"""Places of an answer's tokens in its text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]


def token_places(answer: str, texts: Sequence[str]) -> list[tuple[int, int]]:
    """Find half-open character spans of tokens, from each token's own text.

    A token whose text is not found next (part of a character, say) takes the character where it would begin.
    """
    found: list[tuple[int, int]] = []
    at = 0
    for text in texts:
        bare = text.strip()
        start = answer.find(bare, at) if bare and "\ufffd" not in bare else -1
        if start < 0 or start - at > len(text) + 2:
            found.append((min(at, max(0, len(answer) - 1)), min(at + 1, len(answer))))
            continue
        found.append((start, start + len(bare)))
        at = start + len(bare)
    return found


def tokens_in(spans: Sequence[tuple[int, int]], places: Sequence[tuple[int, int]]) -> Bools:
    """Return [T] which tokens overlap a span."""
    return np.array([any(a < end and start < b for start, end in spans) for a, b in places], dtype=bool)


def token_pieces(answer: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the answer cut at its tokens' ends, one piece for each token, which joined give the answer again.

    A tokenizer may show a token without the space before it; a piece has it.
    """
    found: list[str] = []
    at = 0
    for k, (_, end) in enumerate(token_places(answer, texts)):
        stop = len(answer) if k == len(texts) - 1 else max(at, end)
        found.append(answer[at:stop])
        at = stop
    return tuple(found)
