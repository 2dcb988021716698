"""Log-likelihoods of (context, continuation) texts: what lm-eval asks a model for.

As in `groundbench.engine.scoring`, every distinct context runs once and all its continuations are read from that
pass. Here each continuation also needs to be known for greedy or not, and every context may have continuations of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import Prompt, TextSegment
from groundbench.engine.batch_runner import BatchRunner, Part
from groundbench.engine.batching import MAX_LOGITS, make_plan
from groundbench.engine.contexts import Contexts, of_prompts
from groundbench.engine.scoring import (
    continuations,
    first_tokens,
    is_run_whole,
    pick_targets,
    whole_texts,
)

Tokens = tuple[int, ...]
Answer = tuple[float, bool]


@dataclass(frozen=True)
class Pair:
    """A text and what may follow it; `where` names it in messages."""

    context: str
    continuation: str
    where: str


def log_likelihoods(
    adapter: Adapter, pairs: Sequence[Pair], *, batch_tokens: int, advance: Callable[[int], None] | None = None
) -> list[Answer]:
    """Return log P(continuation | context) in nats and whether it is the greedy one, in the order of `pairs`.

    Spaces at a context's end belong to its continuation, as lm-eval has them. An empty context stands for the
    tokenizer's BOS (or EOS) token.

    Args:
        advance: told how many pairs each finished batch answered.

    Raises:
        BadInputError: a context is longer than the model's (nothing is cut off), or the tokenizer merges a context's
            end with its continuation.
        NonFiniteLogitsError: the model returned NaN or infinite logits.
    """
    encoded = _encode_pairs(adapter, pairs)
    asked: dict[Encoded, set[Tokens]] = {}
    for row, target in encoded:
        asked.setdefault(row, set()).add(target)
    first = {row: pair for pair, (row, _) in reversed(list(zip(pairs, encoded, strict=True)))}
    prompts = [_prompt(first[row].context, first[row].where) for row in asked]
    contexts = of_prompts(prompts, list(asked), [tuple(sorted(t)) for t in asked.values()])
    waiting: dict[tuple[Encoded, Tokens], list[int]] = {}
    for i, what in enumerate(encoded):
        waiting.setdefault(what, []).append(i)
    answers: list[Answer] = [(float("nan"), False)] * len(pairs)
    cached = adapter.info.longest_cached
    plan = make_plan(contexts, budget=batch_tokens, vocab_size=adapter.info.vocab_size, cached=cached)
    places = [[waiting[c.row, t] for t in c.targets.tokens] for c in contexts]
    runner = BatchRunner(
        adapter,
        contexts,
        plan,
        lambda part: _read(adapter, contexts, part),
        fault=lambda part, values, row: _not_finite(adapter, pairs, places[part.contexts[row]], values[row]),
    )
    found = runner.run(advance, size=lambda b: sum(len(p) for i in b.contexts for p in places[i]))
    for i, answered in found.items():
        for same, (value, greedy) in zip(places[i], answered.tolist(), strict=True):
            for place in same:
                answers[place] = (value, bool(greedy))
    return answers


def _not_finite(adapter: Adapter, pairs: Sequence[Pair], places: list[list[int]], values: Tensor) -> str:
    target = int((~torch.isfinite(values).all(-1)).nonzero()[0])
    return (
        f"{pairs[places[target][0]].where}: {adapter.info.name} returned NaN or infinite logits (dtype "
        f"{adapter.info.dtype}); try dtype=float32 or bfloat16"
    )


def _read(adapter: Adapter, contexts: Contexts, part: Part) -> Tensor:
    """Return [rows, targets]: log-probabilities, and whether every token of the target is the most probable one."""
    rows, prefix = part.rows, part.prefix
    asked = contexts.targets(part.contexts[0])
    targets, several, state = asked.tokens, asked.longest > 1, None
    if several and is_run_whole(adapter, rows[0], targets):
        found = list(whole_texts(adapter, rows, targets, None))
        logs, likeliest = [p.sum(1) for p, _ in found], [g.all(1) for _, g in found]
        return torch.stack([torch.stack(logs, dim=1), torch.stack(likeliest, dim=1).to(logs[0].dtype)], -1)
    if several:
        state = adapter.prefill(rows, None, prefix)
        logits = state.logits
    else:
        logits = adapter.forward(rows, prefix=prefix).logits
    chosen = pick_targets(logits, first_tokens(contexts, part.contexts))
    total = chosen - torch.logsumexp(logits, -1, keepdim=True)
    greedy = chosen >= logits.amax(-1, keepdim=True)
    if several:
        paths, *indices = continuations(targets)
        path, target, token = (x.to(logits.device) for x in indices)
        width = max(1, MAX_LOGITS // (len(rows) * adapter.info.vocab_size))
        for a in range(0, len(paths), width):
            after = adapter.continuation_logits(rows, state, paths[a : a + width], None)
            here = ((path >= a) & (path < a + width)).nonzero()[:, 0]
            at, of = path[here] - a, target[here]
            chosen = after[:, at, token[here]]
            total.index_add_(1, of, chosen - torch.logsumexp(after, -1)[:, at])
            missed = torch.zeros_like(total).index_add_(1, of, (chosen < after.amax(-1)[:, at]).to(total.dtype))
            greedy &= missed == 0
    return torch.stack([total, greedy.to(total.dtype)], -1)


def _encode_pairs(adapter: Adapter, pairs: Sequence[Pair]) -> list[tuple[Encoded, Tokens]]:
    """Return every pair as a row and a target."""
    split = [_moved_spaces(p) for p in pairs]
    prompts = {text: _prompt(text, p.where) for p, (text, _) in reversed(list(zip(pairs, split, strict=True))) if text}
    rows = dict(zip(prompts, adapter.encode(list(prompts.values())), strict=True))
    words: dict[str, list[str]] = {}
    for text, word in split:
        words.setdefault(text, []).append(word)
    targets = {
        text: dict(zip(asked, adapter.encode_targets(asked, prompts[text]), strict=True))
        for text, asked in words.items()
        if text
    }
    return [
        (rows[text], targets[text][word]) if text else _encode_unconditional(adapter, p)
        for p, (text, word) in zip(pairs, split, strict=True)
    ]


def _moved_spaces(pair: Pair) -> tuple[str, str]:
    text = pair.context.rstrip()
    return text, pair.context[len(text) :] + pair.continuation


def _prompt(text: str, where: str) -> Prompt:
    return Prompt(frame=where, env="", form="text", segments=(TextSegment(text),), join="")


def _encode_unconditional(adapter: Adapter, pair: Pair) -> tuple[Encoded, Tokens]:
    """Return the whole text after the token that begins texts."""
    ids = adapter.encode([_prompt(pair.context + pair.continuation, pair.where)])[0].ids
    if adapter.info.bos != "none":
        begins = len(getattr(getattr(adapter, "encoder", None), "prefix", ())) or 1
        return Encoded(ids[:begins]), ids[begins:]
    tokenizer: Any = getattr(adapter, "tokenizer", None)
    first = next((t for t in (_token(tokenizer, "bos"), _token(tokenizer, "eos")) if t is not None), None)
    if first is None:
        raise BadInputError(
            f"{pair.where}: the context is empty and {adapter.info.name} has neither a BOS nor an EOS token to stand "
            "for it"
        )
    return Encoded((first,)), ids


def _token(tokenizer: Any, kind: str) -> int | None:
    found = getattr(tokenizer, f"{kind}_token_id", None)
    return None if found is None else int(found)
