"""The cost of a screening, from its plan and the time of a batch; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from groundbench.api.adapter import Adapter, Estimated
from groundbench.api.evidence_record import RecordSet
from groundbench.api.question import Question
from groundbench.engine.cost import basis, seconds_per_token
from groundbench.engine.scoring import dry_plan
from groundbench.screening.answering import read_questions
from groundbench.screening.given_answers import encode_set, read_set, wanted_for
from groundbench.screening.measure import ScreenOptions
from groundbench.screening.splits import sample, split

TIMED_ROWS = 16
TRACED = 3.0
"""Forward passes that one costs whose heads are read: a backward pass costs two."""


@dataclass(frozen=True)
class ScreenPlan:
    """The cost of a screening.

    Attributes:
        prompts: distinct prompts, each run once; `tokens` in all of them, after shared prefixes.
        traced: questions whose heads are read: one forward and one backward pass each.
        strengthened: prompts that are run under strengthened heads.
        seconds: an estimate for answering alone.
        seconds_heads, seconds_strengthened: the same for reading heads, and for prompts under strengthened ones.
        basis: what the times are estimated from.
    """

    questions: int
    groups: int
    unreadable: int
    prompts: int
    batches: int
    tokens: int
    traced: int
    strengthened: int
    seconds: float
    seconds_heads: float = 0.0
    seconds_strengthened: float = 0.0
    basis: str = ""

    @property
    def seconds_in_all(self) -> float:
        """The seconds of answering, heads and strengthened heads together."""
        return self.seconds + self.seconds_heads + self.seconds_strengthened


def plan_screening(adapter: Adapter, questions: Sequence[Question], options: ScreenOptions) -> ScreenPlan:
    """Encode everything, time one batch, run nothing else. Raises as `read_questions` does."""
    asked = read_questions(adapter, questions, others=options.compares)
    splits = split(asked.questions, options.seed)
    plan = dry_plan(adapter, asked.contexts, options.batch_tokens)
    rows = [asked.contexts.rows[i] for i in plan.batches[0].contexts[:TIMED_ROWS]]
    per_token = seconds_per_token(adapter, rows)
    strong = options.strengthen
    hooked = "hooks" in adapter.info.capabilities
    watched = hooked and any(s.needs in ("heads", "carriers") for s in options.chosen)
    detected = hooked and not options.heads and (watched or strong is not None)
    multiplied = [m for m in (strong, options.weaken) if m is not None]
    passes = sum(len(m.factors) * len(splits.fit) + (1 + m.draws) * len(splits.test) for m in multiplied)
    length = float(asked.contexts.lengths.sum()) / max(1, len(asked.contexts))
    traced = len(splits.detect) * detected + len(splits.scored) * watched
    return ScreenPlan(
        questions=len(asked.questions),
        groups=len({q.group for q in asked.questions}),
        unreadable=len(asked.failures),
        prompts=len(asked.contexts.distinct),
        batches=len(plan.batches),
        tokens=plan.tokens,
        traced=traced,
        strengthened=passes,
        seconds=per_token * plan.tokens,
        seconds_heads=per_token * traced * length * TRACED,
        seconds_strengthened=per_token * passes * length,
        basis=basis(adapter),
    )


def plan_answers(adapter: Adapter, found: RecordSet, options: ScreenOptions) -> ScreenPlan:
    """Return the same for given answers: one of middle length is read and timed. Raises as `encode_set` does."""
    given = encode_set(adapter, found, sample(found.records, options.limit, options.seed))
    wanted = wanted_for(options.chosen)
    prompts = [[r for r in (a.row, a.without, a.other) if r is not None] for a in given.answers]
    tokens = [
        sum(len(r) for r in rows) + len(rows) * len(a.target) for rows, a in zip(prompts, given.answers, strict=True)
    ]
    middle = sorted(range(len(tokens)), key=lambda i: tokens[i])[len(tokens) // 2]
    traced = len(given.answers) if wanted.heads and "hooks" in adapter.info.capabilities else 0
    if isinstance(adapter, Estimated):
        per_token = adapter.seconds_per_token * (TRACED if traced else 1.0)
    else:
        started = time.perf_counter()
        read_set(adapter, [given.answers[middle]], wanted, None)
        per_token = (time.perf_counter() - started) / tokens[middle]
    return ScreenPlan(
        questions=len(given.records),
        groups=len({r.group for r in given.records}),
        unreadable=len(given.refused),
        prompts=sum(map(len, prompts)),
        batches=sum(map(len, prompts)),
        tokens=sum(tokens),
        traced=traced,
        strengthened=0,
        seconds=per_token * sum(tokens),
        basis=basis(adapter) if isinstance(adapter, Estimated) else "from one timed answer",
    )
