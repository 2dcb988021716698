"""The scoring engine: prompts x targets -> SurprisalTable; the one engine every behavioural number comes from.

Every distinct context runs once and all its targets are read from that pass; targets of several tokens go on from
the cached context. Surprisals are -log P(target | context) in nats, softmax in fp32 (protocol §4, §5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Encoded, HeadEdit, Prefix
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine.batch_runner import Advance, BatchRunner, Part
from groundbench.engine.batching import MAX_LOGITS, Plan, make_plan
from groundbench.engine.contexts import BLOCK, Contexts, FormContexts, Ints, Targets, require_room
from groundbench.engine.run_directory import Array, RunStore

DEFAULT_BATCH_TOKENS = 8192


def score(
    adapter: Adapter,
    contexts: FormContexts,
    *,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    edit: HeadEdit | None = None,
    store: RunStore | None = None,
    stage: str = "scores",
    advance: Advance | None = None,
) -> SurprisalTable:
    """Return surprisal of every target in every context, as a table; see `surprisals` for the arguments and errors."""
    found = surprisals(
        adapter, contexts, batch_tokens=batch_tokens, edit=edit, store=store, stage=stage, advance=advance
    )
    return table_of(contexts, found)


def surprisals(
    adapter: Adapter,
    contexts: Contexts,
    *,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    edit: HeadEdit | None = None,
    store: RunStore | None = None,
    stage: str = "scores",
    advance: Advance | None = None,
) -> Mapping[int, Array]:
    """Return [targets] surprisal of every target (nats), by distinct context.

    Args:
        edit: a head edit under which everything is scored: one row for all contexts, or one for each.
        store: a run directory; finished batches are read from it and new ones written to it.
        advance: told the number of contexts of each finished batch.

    Raises:
        BadInputError: a context and all tokens of a target are longer than the model's context.
        NonFiniteLogitsError: NaN logits, naming the prompt; finished batches are kept.
        GroundbenchError: one context alone does not fit into memory.
    """
    require_room(adapter.info, contexts)
    constant = edit is None or not edit.per_row
    shared = constant or (edit is not None and edit.positions == "last")
    cached = adapter.info.longest_cached if shared else 0
    plan = make_plan(contexts, budget=batch_tokens, vocab_size=adapter.info.vocab_size, cached=cached)
    parts = None if store is None else store.stage(stage, plan.summary())
    runner = BatchRunner(adapter, contexts, plan, lambda part: read_surprisals(adapter, contexts, part), parts, edit)
    return runner.run(advance)


def table_of(contexts: FormContexts, values: Mapping[int, Array]) -> SurprisalTable:
    """Return the table of surprisals [targets] of every distinct context."""
    blocks = [slice(start, start + BLOCK) for start in range(0, len(contexts), BLOCK)]
    n_rows = sum(len(_rows_of(contexts, block)[0]) for block in blocks)
    frame, env, target = (np.empty(n_rows, dtype=np.int64) for _ in range(3))
    surprisal = np.empty(n_rows)
    end = 0
    for block in blocks:
        rows = _rows_of(contexts, block)
        own = slice(end, end := end + len(rows[0]))
        frame[own], env[own], target[own], kept = rows
        found = np.concatenate([values[u] for u in contexts.unique[block].tolist()])
        surprisal[own] = found if kept is None else found[kept]
    return SurprisalTable(
        form=contexts.form.name,
        frame_kind="shared" if (contexts.frame_nouns < 0).all() else "per-noun",
        nouns=tuple(n.word for n in contexts.nouns),
        categories=tuple(n.category for n in contexts.nouns),
        frames=tuple(f.id for f in contexts.frames),
        frame_nouns=contexts.frame_nouns,
        frame=frame,
        env=env,
        target=target,
        surprisal=surprisal,
    )


def _rows_of(contexts: FormContexts, part: slice) -> tuple[Ints, Ints, Ints, npt.NDArray[np.bool_] | None]:
    """Return frame, env and target of the table's rows of some contexts; and which of all targets these are."""
    targets = [contexts.target_sets[k].noun_index for k in contexts.target_set[part].tolist()]
    sizes = list(map(len, targets))
    frame, env = np.repeat(contexts.frame[part], sizes), np.repeat(contexts.env[part], sizes)
    target = np.concatenate(targets)
    if contexts.keep is None:
        return frame, env, target, None
    kept = contexts.keep[frame, env, target]
    return frame[kept], env[kept], target[kept], kept


@torch.no_grad()
def read_surprisals(adapter: Adapter, contexts: Contexts, part: Part) -> Tensor:
    """Return [rows, targets] the surprisal (nats) of every target of a part's contexts."""
    asked = contexts.targets(part.contexts[0])
    targets, several = asked.tokens, asked.longest > 1
    if several and is_run_whole(adapter, part.rows[0], targets):
        logs = [p.sum(1) for p, _ in whole_texts(adapter, part.rows, targets, part.edit)]
        return -torch.stack(logs, dim=1)
    context = None
    if several:
        context = adapter.prefill(part.rows, part.edit, part.prefix)
        logits = context.logits
    else:
        logits = adapter.forward(part.rows, prefix=part.prefix, edit=part.edit).logits
    total = torch.logsumexp(logits, -1, keepdim=True) - pick_targets(logits, first_tokens(contexts, part.contexts))
    if several:
        _add_later_tokens(adapter, total, part, context, targets)
    return total


def _add_later_tokens(adapter: Adapter, total: Tensor, part: Part, context: Prefix | None, targets: Targets) -> None:
    """Add to `total` [rows, targets] the surprisal of each target's tokens after the first.

    Targets that begin alike share the pass that reads their common tokens.
    """
    paths, path, target, token = continuations(targets)
    width = max(1, MAX_LOGITS // (len(part.rows) * adapter.info.vocab_size))
    for a in range(0, len(paths), width):
        logits = adapter.continuation_logits(part.rows, context, paths[a : a + width], part.edit)
        here = ((path >= a) & (path < a + width)).nonzero()[:, 0].to(logits.device)
        at = path.to(logits.device)[here] - a
        more = torch.logsumexp(logits, -1)[:, at] - logits[:, at, token.to(logits.device)[here]]
        total.index_add_(1, target.to(logits.device)[here], more)


def is_run_whole(adapter: Adapter, row: Encoded, targets: Targets) -> bool:
    """Return True if no cache serves a row with these targets (of several tokens) behind it."""
    return len(row) + max(map(len, targets)) > adapter.info.longest_cached


def whole_texts(
    adapter: Adapter, rows: Sequence[Encoded], targets: Targets, edit: HeadEdit | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each target its tokens' log-probabilities and whether each is the likeliest, both [rows, tokens].

    One pass over context and target, without its last token, for each target: where no cache serves.
    """
    whole = [row.after(0) for row in rows]
    for target in targets:
        logits = adapter.continuation_logits(whole, None, [target[:d] for d in range(len(target))], edit)
        ids = torch.tensor(target, device=logits.device).expand(len(rows), -1)
        own = logits.gather(2, ids[:, :, None])[:, :, 0]
        yield own - torch.logsumexp(logits, -1), own >= logits.amax(-1)


def first_tokens(contexts: Contexts, some: Sequence[int]) -> Tensor:
    """Return [rows, targets] the id of each target's first token; [1, targets] where rows share targets."""
    targets = [contexts.targets(i) for i in some]
    if all(t is targets[0] or t == targets[0] for t in targets):
        targets = targets[:1]
    return torch.tensor([[t[0] for t in own.tokens] for own in targets])


def pick_targets(logits: Tensor, ids: Tensor) -> Tensor:
    """Return [rows, targets]: the entries of [rows, V] at `first_tokens`' ids."""
    ids = ids.to(logits.device)
    return logits[:, ids[0]] if len(ids) == 1 else logits.gather(1, ids)


def continuations(targets: Targets) -> tuple[list[tuple[int, ...]], Tensor, Tensor, Tensor]:
    """Return every proper beginning of a target, once; and for each later token of a target which beginning it follows,
    which target it belongs to, and the token itself."""
    paths = sorted({t[:d] for t in targets for d in range(1, len(t))})
    index = {p: i for i, p in enumerate(paths)}
    steps = [(index[t[:d]], v, t[d]) for v, t in enumerate(targets) for d in range(1, len(t))]
    path, target, token = (torch.tensor(x) for x in zip(*steps, strict=True))
    return paths, path, target, token


def dry_plan(adapter: Adapter, contexts: Contexts, batch_tokens: int = DEFAULT_BATCH_TOKENS) -> Plan:
    """Return the plan that `score` would carry out."""
    cached = adapter.info.longest_cached
    return make_plan(contexts, budget=batch_tokens, vocab_size=adapter.info.vocab_size, cached=cached)
