"""model x question sets -> RiskCard: the order of the measurements, nothing else.

`screen` is the same call as `groundbench screen` on the command line.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from groundbench._version import __version__
from groundbench.api.adapter import Adapter, Exchangeable
from groundbench.api.question import Question, digest
from groundbench.engine import distributed as processes
from groundbench.engine.provenance import environment_record, model_record
from groundbench.engine.run_directory import RunStore
from groundbench.registry import load_questions, open_model
from groundbench.results.risk_card import FILE_NAME, OperatingPoint, QuestionsRecord, RiskCard
from groundbench.screening.answers_table import write_answers
from groundbench.screening.dry_run import ScreenPlan, plan_screening
from groundbench.screening.error_rates import error_records, truth_gains, unasked_record
from groundbench.screening.lens_entropy import middle_layers
from groundbench.screening.measure import Floats, Run, ScreenOptions, answered, generated, risks_of, strengthened
from groundbench.screening.mentions import mention_record
from groundbench.screening.policy import Policy, WantedPoint, judge
from groundbench.screening.signal_quality import Scored, operating_point, predictors, signal_records
from groundbench.screening.splits import sample
from groundbench.stats.grouped import numbered

__all__ = ["ScreenOptions", "dry_run", "screen"]

WRITTEN = (FILE_NAME, "card.md", "card.html", "answers.parquet", "manifest.json")


def screen(
    model: str | Adapter,
    questions: Sequence[str | Question] = (),
    options: ScreenOptions | None = None,
    *,
    out: str | Path | None = None,
    force: bool = False,
    load: Mapping[str, Any] | None = None,
) -> RiskCard:
    """Screen a model: does it say what was shown, and do its signals tell when it does not?

    Args:
        model: a hub id, a folder, a `.gguf` file, `module:object`, or an Adapter.
        questions: names of question sets, or questions; by default the sets for the model's kind (text or images).
        out: a run directory: card.json and answers.parquet are written there, and an interrupted screening goes on.
        force: start over where `out` holds another run.
        load: options of loading, see `groundbench.adapters.huggingface.open_causal`.

    Raises:
        BadInputError: model, question set or option is unknown; or `out` holds another run.
        GroundbenchError: a fault while running; what was computed is kept in `out`.

    Example:
        >>> import groundbench
        >>> from groundbench.screening.screen import ScreenOptions
        >>> card = groundbench.screen(MODEL, ["text-scenes"], ScreenOptions(signals=("probability",), limit=40))
        >>> card.verdict.passed is None  # no policy was given, so nothing is required
        True
    """
    options = options or ScreenOptions()
    started = time.perf_counter()
    adapter = open_model(model, **dict(load or {}))
    names, asked_for = question_sets(adapter, questions)
    chosen = sample(asked_for, options.limit, options.seed)
    store = _store(adapter, chosen, options, None if out is None else Path(out), force)
    run = answered(adapter, chosen, options, store)
    card, risks = _card(run, names, digest(chosen), len(asked_for), started)
    if out is not None and processes.current().first:
        write_answers(Path(out) / "answers.parquet", run.answers, run.splits, risks)
        card.save(Path(out) / FILE_NAME)
    return card


def dry_run(
    model: str | Adapter,
    questions: Sequence[str | Question] = (),
    options: ScreenOptions | None = None,
    *,
    load: Mapping[str, Any] | None = None,
) -> ScreenPlan:
    """How many prompts a screening runs, and about how long answering takes; nothing is written."""
    options = options or ScreenOptions()
    adapter = open_model(model, **dict(load or {})) if isinstance(model, str) else model
    _, asked_for = question_sets(adapter, questions)
    return plan_screening(adapter, sample(asked_for, options.limit, options.seed), options)


def question_sets(
    adapter: Adapter, questions: Sequence[str | Question]
) -> tuple[tuple[str, ...], tuple[Question, ...]]:
    """The names of the sets and all their questions; questions that were given themselves are the set `given`."""
    names = [q for q in questions if isinstance(q, str)]
    own = [q for q in questions if isinstance(q, Question)]
    if not names and not own:
        names = list(default_sets(adapter))
    loaded = [q for name in names for q in load_questions(name)]
    return (*names, *(("given",) if own else ())), (*loaded, *own)


def default_sets(adapter: Adapter) -> tuple[str, ...]:
    """What a model is asked where no question set is named: about pictures, if it reads them."""
    return ("image-scenes",) if isinstance(adapter, Exchangeable) else ("text-scenes",)


def _card(
    run: Run, names: tuple[str, ...], hash_: str, total: int, started: float
) -> tuple[RiskCard, dict[str, Floats]]:
    """The card, and every signal's risk of every question; `total`: questions of the sets before any limit."""
    options, adapter = run.options, run.adapter
    heads, risks = risks_of(run)
    group = numbered([q.group for q in run.answers.questions])
    stratum = numbered([f"{q.kind} as {q.form}" for q in run.answers.questions])
    kinds = np.array([q.kind for q in run.answers.questions])
    scored = Scored(risks, run.answers.errors, group, kinds, stratum, run.splits, options.seed)
    records = signal_records(scored, options.chosen, run.missing)
    found = predictors(scored, records)
    best = found.best or next((r.name for r in records if r.missing is None), None)
    card = RiskCard(
        model=model_record(adapter.info),
        questions=_questions(run, names, hash_, total),
        errors=error_records(run.answers),
        mentions=mention_record(run.answers, run.asked.unreadable, options.seed),
        gains=truth_gains(run.answers, options.seed),
        heads=heads,
        signals=records,
        predictors=found,
        operating=_operating(scored, options.policy, best),
        generation=generated(run),
        strengthen=strengthened(run, heads),
        failures=tuple(run.failures),
        protocol=_protocol(run),
        environment=environment_record(adapter.info.device, (options.seed,), round(time.perf_counter() - started, 2)),
    )
    return card.model_copy(update={"verdict": judge(card, options.policy)}), risks


def _operating(scored: Scored, policy: Policy | None, best: str | None) -> OperatingPoint | None:
    """The policy's operating point on the signal it names; None where it names none, or none was measured.

    A policy that bounds the risk only has one too, which it does not require: where to withhold so as to meet it.
    """
    if policy is None or (policy.operating_point is None and policy.max_risk is None):
        return None
    wanted = policy.operating_point or WantedPoint(max_risk=policy.max_risk or 0.0, min_coverage=0.0)
    name = best if wanted.signal == "best" else wanted.signal
    if name is None:
        return None
    if name not in scored.risks:
        why = f"not measured: the signal {name!r} was not asked for"
        return OperatingPoint(
            signal=name, max_risk=wanted.max_risk, min_coverage=wanted.min_coverage, threshold=None, met=False, why=why
        )
    return operating_point(scored, name, wanted.max_risk, wanted.min_coverage)


def _questions(run: Run, names: tuple[str, ...], hash_: str, total: int) -> QuestionsRecord:
    questions, limit = run.answers.questions, run.options.limit
    return QuestionsRecord(
        sets=names,
        hash=hash_,
        n=len(questions),
        n_groups=len({q.group for q in questions}),
        kinds=tuple(dict.fromkeys(q.kind for q in questions)),
        forms=tuple(dict.fromkeys(q.form for q in questions)),
        splits={"detect": len(run.splits.detect), "fit": len(run.splits.fit), "test": len(run.splits.test)},
        limit=limit,
        drawn_from=total if limit is not None and limit < total else None,
        unasked=unasked_record(run.asked.left_out),
    )


def _protocol(run: Run) -> dict[str, JsonValue]:
    """The choices of this screening, as they stand in its card."""
    info = run.adapter.info
    found: dict[str, JsonValue] = {
        "answers": "the candidate with the least surprisal, summed over its tokens",
        "signals": [s.name for s in run.options.chosen],
        "lens": f"logit lens, layers {', '.join(map(str, middle_layers(info)))}",
        "bos": info.bos,
        "attention": info.attention,
        "seed": run.options.seed,
        "units": "nats",
    }
    if info.chat is not None:
        found["chat"] = info.chat
    if info.notes:
        found["notes"] = list(info.notes)
    return found


def _store(
    adapter: Adapter, chosen: Sequence[Question], options: ScreenOptions, out: Path | None, force: bool
) -> RunStore | None:
    """The run directory under this screening's key."""
    if out is None:
        return None
    if force:
        processes.current().from_first(lambda: _clear(out))
    info = adapter.info
    key: dict[str, object] = {
        "model": info.name,
        "weights": info.fingerprint,
        "questions": digest(chosen),
        "limit": options.limit,
    }
    key |= info.identity
    key |= {name: getattr(info, name) for name in ("tokenizer", "dtype", "attention", "bos", "chat")}
    return RunStore(out, {**key, "compares": options.compares, "seed": options.seed, "groundbench": __version__})


def _clear(out: Path) -> None:
    """Remove what a screening wrote, and nothing else; a folder without a manifest is left as it is."""
    if not (out / "manifest.json").exists():
        return
    shutil.rmtree(out / "parts", ignore_errors=True)
    for name in WRITTEN:
        (out / name).unlink(missing_ok=True)
