"""Answers by generation: a short greedy continuation, read as the candidate that it begins with.

Beside the answers by likelihood, never instead of them: what cannot be read is counted, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from groundbench.api.adapter import Adapter, Encoded, Prefix, Readable
from groundbench.api.errors import UnsupportedModelError
from groundbench.engine.batching import group_alike
from groundbench.results.risk_card import GenerationRecord
from groundbench.screening.answering import Answers, Asked, wrong_answers
from groundbench.screening.error_rates import YES, as_estimated
from groundbench.stats.grouped import group_numbers, rate

Ints = npt.NDArray[np.int64]
TOKENS = 8
EXAMPLES = 5


def generate(
    adapter: Adapter,
    asked: Asked,
    answers: Answers,
    *,
    tokens: int = TOKENS,
    batch_tokens: int,
    advance: Callable[[int], None] | None = None,
) -> GenerationRecord:
    """Continue every question's prompt greedily and compare with the likeliest candidates.

    An answer that cannot be read is an error too: nothing right was said.

    Raises:
        UnsupportedModelError: the adapter cannot show its tokens as text.
    """
    if not isinstance(adapter, Readable):
        raise UnsupportedModelError(
            f"{adapter.info.name}: its adapter cannot show tokens as text, so none is generated"
        )
    texts = continuations(adapter, [asked.row(q) for q in range(len(asked.questions))], tokens, batch_tokens, advance)
    said = np.array([read_answer(t, q.choices) for t, q in zip(texts, asked.questions, strict=True)])
    group = group_numbers([q.group for q in asked.questions])
    readable = said >= 0
    binary = np.array([YES in {a.casefold() for a in q.choices} for q in asked.questions]) & readable
    yes = np.array([s >= 0 and q.choices[s].casefold() == YES for s, q in zip(said, asked.questions, strict=True)])
    unread = [texts[i] for i in np.flatnonzero(~readable)[:EXAMPLES]]
    return GenerationRecord(
        n=len(said),
        tokens=tokens,
        unparseable=as_estimated(rate(~readable, group)),
        error=as_estimated(rate(wrong_answers(said, answers.right), group)),
        yes=as_estimated(rate(yes[binary], group[binary])) if binary.any() else None,
        agreement=as_estimated(rate((said == answers.given)[readable], group[readable])),
        examples=tuple(unread),
    )


def read_answer(text: str, answers: Sequence[str]) -> int:
    """Return the number of the candidate that a text begins with, as whole words; -1 where it begins with none."""
    plain = re.sub(r"^\W+", "", text.casefold())
    order = sorted(range(len(answers)), key=lambda i: -len(answers[i]))  # `light blue` before `light`
    return next((i for i in order if re.match(rf"{re.escape(answers[i].casefold())}(?!\w)", plain)), -1)


@torch.no_grad()
def continuations(
    adapter: Adapter, rows: Sequence[Encoded], tokens: int, batch_tokens: int, advance: Callable[[int], None] | None
) -> list[str]:
    """Return the greedy continuation of each row as text."""
    found = [""] * len(rows)
    for part in group_alike([(len(row),) for row in rows], lambda key: batch_tokens // key[0]):
        for i, ids in zip(part, _greedy(adapter, [rows[i] for i in part], tokens), strict=True):
            found[i] = "".join(adapter.token_texts(ids)) if isinstance(adapter, Readable) else ""
        if advance is not None:
            advance(len(part))
    return found


def _greedy(adapter: Adapter, rows: Sequence[Encoded], tokens: int) -> list[list[int]]:
    """Return the next tokens of rows of one length, each the likeliest."""
    said: list[list[int]] = [[] for _ in rows]
    current = list(rows)
    prefix: Prefix | None = None
    for _ in range(tokens):
        if "prefix" in adapter.info.capabilities:
            prefix = adapter.prefill(current, prefix=prefix)
            logits = prefix.logits
        else:
            logits = adapter.forward(current).logits
        for own, token in zip(said, logits.argmax(-1).tolist(), strict=True):
            own.append(token)
        start = len(current[0]) if prefix is not None else 0
        current = [replace(r, ids=(*r.ids, own[-1]), start=start) for r, own in zip(current, said, strict=True)]
    return said
