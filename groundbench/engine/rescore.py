"""Scoring single items again: the check that somebody's per-item table was measured on the weights at hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Testbed
from groundbench.engine.contexts import build_contexts, of_pairs
from groundbench.engine.scoring import score


def score_items(adapter: Adapter, testbed: Testbed, form: str, items: Sequence[tuple[str, str, str]]) -> list[float]:
    """Return the surprisal (nats) of each item (frame, noun shown, target noun), in the order given.

    Raises:
        BadInputError: the testbed has no such form, frame or noun, or the frame is not scored with that noun.
    """
    contexts = build_contexts(adapter, testbed, testbed.form(form))
    frames = {f.id: i for i, f in enumerate(contexts.frames)}
    nouns = {n.word: i for i, n in enumerate(contexts.nouns)}
    index, target = [], []
    for frame, env, word in items:
        at = contexts.place.get((frames.get(frame, -1), nouns.get(env, -1)))
        if at is None or nouns.get(word, -1) not in contexts.targets(at).nouns:
            raise BadInputError(f"testbed {testbed.name!r} has no item {word!r} after {env!r} in frame {frame!r}")
        index.append(at)
        target.append(nouns[word])
    if not items:
        return []
    table = score(adapter, of_pairs(contexts, np.array(index), np.array(target)))
    return [float(s) for s in table.surprisal]
