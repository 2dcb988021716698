"""What a run would cost, from the plan and one timed batch; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundbench.api.adapter import Adapter
from groundbench.api.testbed import Testbed
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS, dry_plan
from groundbench.evaluation.options import Options, choose_forms, limited_nouns, refuse_split_marks, subject_of


@dataclass(frozen=True)
class DryRun:
    """What a run would cost: forward passes (contexts), batches and tokens for each form."""

    form: str
    n_nouns: int
    n_frames: int
    contexts: int
    batches: int
    tokens: int
    seconds: float
    """An estimate from timing the first (longest) batch."""
    cache_bytes: int


def dry_run(
    model: str | Adapter,
    testbed: str | Testbed | None = None,
    *,
    forms: Sequence[str] = (),
    limit: int | None = None,
    mismatches: int | None = None,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    load: dict[str, Any] | None = None,
    shuffle_forms: bool = False,
    random_weights: bool = False,
    corpus: str | Path | None = None,
    at_least: int | None = None,
) -> list[DryRun]:
    """How many forward passes a run takes, and about how long, from one timed batch; nothing is written."""
    options = Options(tuple(forms), (), limit, mismatches, seed, batch_tokens)
    adapter, bed = subject_of(
        model, testbed, load, seed, shuffle_forms, random_weights, folder=corpus, at_least=at_least
    )
    out = []
    for form in choose_forms(bed, options.forms, adapter):
        contexts = build_contexts(
            adapter,
            bed,
            form,
            nouns=limited_nouns(bed, form, options),
            mismatches=options.mismatches,
            seed=options.seed,
        )
        refuse_split_marks(adapter, bed, contexts)
        plan = dry_plan(adapter, contexts, options.batch_tokens)
        first = plan.batches[0]
        rows = [contexts.rows[i] for i in first.contexts[:16]]
        adapter.forward(rows)
        started = time.perf_counter()
        adapter.forward(rows)
        per_token = (time.perf_counter() - started) / (len(rows) * len(rows[0]))
        width = sum(2 * m.n_heads * m.d_head for m in adapter.info.mixers) * 4
        out.append(
            DryRun(
                form=form.name,
                n_nouns=len(contexts.nouns),
                n_frames=len(contexts.frames),
                contexts=len(contexts.distinct),
                batches=len(plan.batches),
                tokens=plan.tokens,
                seconds=per_token * plan.tokens,
                cache_bytes=width * max(len(b.contexts) * len(contexts.rows[b.contexts[0]]) for b in plan.batches),
            )
        )
    return out
