"""The traced pass of one given answer (protocol §16): only the answer's own rows in the graph, where a cache allows.

No head output of an answer's rows flows back into the rows before them. So the prompt, without its last token, is run
without a graph, and the rest goes on from its cache: the same gradients, for a backward pass of the answer's length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, FeedForwardReadable, Forward, Prefix, PrefixReadable
from groundbench.measures.heads.spans import patch_positions
from groundbench.screening.shared_beginnings import SharedBeginnings


@dataclass(frozen=True)
class AnswerPass:
    """One pass over a prompt and its answer.

    Attributes:
        out: hidden states and traces of the tokens from number `skipped` on.
        skipped: tokens of the prompt that were run before, without a graph; 0 where all were run at once.
        evidence: [E, d] last states of the evidence's tokens, before the final norm; None without evidence.
        added: by layer (from 1), what the feed-forward part adds to `out`'s tokens; empty where not asked for.
    """

    out: Forward
    skipped: int
    evidence: Tensor | None
    added: dict[int, Tensor]


def evidence_positions(row: Encoded) -> list[int]:
    """Return token positions of the evidence: the ENV spans, or the patches of the images."""
    return list(row.env_positions) or patch_positions(row) or [p for a, b in row.image_spans for p in range(a, b)]


def run_answer(
    adapter: Adapter,
    row: Encoded,
    target: tuple[int, ...],
    layers: tuple[int, ...],
    *,
    trace: bool,
    mlp: bool,
    shared: SharedBeginnings | None = None,
) -> AnswerPass:
    """Run a prompt with its answer.

    Args:
        row: the prompt; target: the answer's tokens.
        layers: whose hidden states are kept; the last layer among them.
        trace: keep head traces, with a graph; mlp: keep what feed-forward parts add, where the adapter shows it.
        shared: what prompts begin with in common, of a traced pass.
    """
    full = replace(row, ids=(*row.ids, *target))
    found = _behind_a_prefix(adapter, row, full, layers, mlp, shared or SharedBeginnings()) if trace else None
    if found is not None:
        return found
    out, added = _forward(adapter, full, layers, trace, mlp)
    return AnswerPass(out, 0, _states(out.hidden[layers[-1]], row), added)


def _forward(
    adapter: Adapter, row: Encoded, layers: tuple[int, ...], trace: bool, mlp: bool, prefix: Prefix | None = None
) -> tuple[Forward, dict[int, Tensor]]:
    with torch.set_grad_enabled(trace):
        if mlp and isinstance(adapter, FeedForwardReadable):
            return adapter.forward_with_mlp([row], layers, trace, prefix)
        return adapter.forward([row], prefix=prefix, hidden=layers, trace=trace), {}


def _states(last: Tensor, row: Encoded) -> Tensor | None:
    positions = evidence_positions(row)
    return last[0, positions].detach() if positions else None


def _behind_a_prefix(
    adapter: Adapter, row: Encoded, full: Encoded, layers: tuple[int, ...], mlp: bool, shared: SharedBeginnings
) -> AnswerPass | None:
    """Return the same in two passes, of which the second has a graph; None where the model cannot.

    The first goes on from what the prompt begins with in common with others.
    """
    info, skipped = adapter.info, len(row) - 1
    serves = isinstance(adapter, PrefixReadable) and len(full) <= info.longest_cached
    if not serves or skipped < 1 or row.images or any(m.kind != "attention" for m in info.mixers):
        return None
    prefix, first = _prefill(adapter, row, skipped, shared)
    out, added = _forward(adapter, full.after(skipped), layers, True, mlp, prefix)
    last = out.hidden[layers[-1]]
    if last.shape[1] != len(full) - skipped or any(t.values.shape[2] != len(full) for t in out.traces):
        return None  # it was run whole after all, or a window's cache has dropped the first keys
    return AnswerPass(out, skipped, _states(torch.cat([first, last.detach()], 1), row), added)


def _prefill(adapter: Adapter, row: Encoded, length: int, shared: SharedBeginnings) -> tuple[Prefix, Tensor]:
    """Return the cache of a prompt's first tokens, and [1, length, d] the last layer's states at them."""
    assert isinstance(adapter, PrefixReadable)
    last, begun = adapter.info.n_layers, shared.begin(adapter, row)
    if begun is not None and begun.prefix.length == length:
        return begun.prefix, begun.states
    whole = row.upto(length)
    if begun is None:
        prefix, states = adapter.prefill_with_hidden([whole], (last,))
        return prefix, states[last]
    prefix, states = adapter.prefill_with_hidden([whole.after(begun.prefix.length)], (last,), begun.prefix)
    rest = states[last]
    return prefix, rest if rest.shape[1] == length else torch.cat([begun.states, rest], 1)
