"""model x question sets -> RiskCard: the order of the measurements, nothing else.

`screen` is the same call as `groundbench screen` on the command line.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from groundbench.api.adapter import Adapter, ImagePatchable
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.evidence_record import RecordSet
from groundbench.api.question import Question, digest
from groundbench.api.testbed import Prompt
from groundbench.engine import distributed
from groundbench.engine.provenance import environment_record, model_record
from groundbench.registry import (
    describe_model,
    is_record_file,
    load_questions,
    load_record_file,
    open_model,
    open_scorer,
    question_set_names,
    record_questions,
)
from groundbench.results.risk_card import FILE_NAME, OpenedRecord, QuestionsRecord, RiskCard
from groundbench.results.risk_card_answers import RecordsRecord, ThresholdRow
from groundbench.results.run import Failure
from groundbench.screening.answers_table import write_answers, write_flagged_questions
from groundbench.screening.dry_run import ScreenPlan, plan_answers, plan_screening
from groundbench.screening.error_rates import error_records, truth_gains, unasked_record
from groundbench.screening.lens_entropy import middle_layers
from groundbench.screening.measure import (
    Floats,
    Run,
    ScreenOptions,
    answer_questions,
    measure_generation,
    measure_strengthened,
    measure_weakened,
    risks_of,
)
from groundbench.screening.mentions import mention_record
from groundbench.screening.policy import judge
from groundbench.screening.prompt_length import encode_fitting, encode_longest
from groundbench.screening.screen_records import given_answers_of, records_for, store_of, texts_of
from groundbench.screening.signal_quality import Scored, operating_of, predictors, signal_records, threshold_rows
from groundbench.screening.splits import sample
from groundbench.screening.worst_answers import worst_questions
from groundbench.stats.grouped import group_numbers

__all__ = ["ScreenOptions", "dry_run", "screen"]


def screen(
    model: Any,
    questions: Sequence[str | Question] = (),
    options: ScreenOptions | None = None,
    *,
    out: str | Path | None = None,
    force: bool = False,
    load: Mapping[str, Any] | None = None,
) -> RiskCard:
    """Screen a model: does it say what was shown, and do its signals tell when it does not?

    Args:
        model: anything that `groundbench.open_model` opens.
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
    found = record_file(questions, options)
    refuse_unknown(questions)
    folder = None if out is None else Path(out)
    opened = opened_from(model, load)
    scorer = open_scorer(model, **dict(load or {}))
    if scorer is not None:
        return texts_of(scorer, records_for(scorer, found), options, folder, force)
    adapter = open_model(model, **dict(load or {}))
    if found is not None and found.mode != "A":
        return given_answers_of(adapter, found, options, folder, force, opened)
    if found is not None:
        options = replace(options, own_records=True)
        asked_for, refused = keep_fitting(adapter, record_questions(found))
        names: tuple[str, ...] = (found.name,)
    else:
        names, asked_for = question_sets(adapter, questions)
        refused = ()
    chosen = sample(asked_for, options.limit, options.seed)
    store = store_of(adapter, digest(chosen), options, folder, force)
    run = answer_questions(adapter, chosen, options, store)
    run.failures += refused
    card, risks = _card(run, names, digest(chosen), len(asked_for), started)
    card = card.model_copy(update={"opened": opened})
    if found is not None:
        card = _with_left_out(card, found, len(refused))
        told = {"records": _records(found, len(refused)), "thresholds": thresholds_of(run, card, risks)}
        card = card.model_copy(update={**told, "worst": worst_questions(adapter, run, found, card, risks)})
        card = card.model_copy(update={"verdict": judge(card, options.policy)})
    if out is not None and distributed.current().first:
        write_answers(Path(out) / "answers.parquet", run.answers, run.splits, risks)
        if found is not None:
            write_flagged_questions(Path(out) / "flagged.jsonl", run.answers, run.splits, risks, card)
        card.save(Path(out) / FILE_NAME)
    return card


def record_file(questions: Sequence[str | Question], options: ScreenOptions) -> RecordSet | None:
    """Return the user's own records, where a file of them is named; None where question sets are.

    Raises:
        BadInputError: it is named beside other sets, or cannot be read.
    """
    files = [q for q in questions if isinstance(q, str) and is_record_file(q)]
    if not files:
        return None
    if len(questions) > 1:
        raise BadInputError(f"{files[0]}: a file of records is screened alone, found {len(questions)} question sets")
    said = options.records
    return load_record_file(
        files[0],
        template=said.template,
        keep_going=said.keep_going,
        max_evidence=said.max_evidence,
        fields=said.fields,
        seed=options.seed,
    )


def refuse_unknown(questions: Sequence[str | Question]) -> None:
    """Raise BadInputError for a question set that does not exist, before a model is opened."""
    known = question_set_names()
    for name in questions:
        if isinstance(name, str) and name not in known and not is_record_file(name):
            load_questions(name)


def keep_fitting(adapter: Adapter, questions: Sequence[Question]) -> tuple[tuple[Question, ...], tuple[Failure, ...]]:
    """Keep the questions that fit the model's context, with reasons for others; comparisons may be left out."""
    encode_longest(adapter, (p for q in questions for p in (q.prompt, *q.mismatched)))
    kept: list[Question] = []
    refused: list[Failure] = []
    for question in questions:
        try:
            encode_fitting(adapter, question.prompt)
        except UnencodableError:
            pass  # `read_questions` says so, with its question
        except BadInputError as error:
            refused.append(Failure(where=question.prompt.frame, reason=str(error)))
            continue
        kept.append(replace(question, mismatched=tuple(p for p in question.mismatched if _fits(adapter, p))))
    if not kept:
        raise BadInputError(f"no record fits {adapter.info.name}: {refused[0].where}: {refused[0].reason}")
    return tuple(kept), tuple(refused)


def _fits(adapter: Adapter, prompt: Prompt) -> bool:
    try:
        encode_fitting(adapter, prompt)
    except BadInputError:
        return False
    return True


def opened_from(model: Any, load: Mapping[str, Any] | None) -> OpenedRecord | None:
    """Return what a model was opened from; None for one in memory."""
    if not isinstance(model, str | Path):
        return None
    path = Path(model).expanduser()
    given = {k: v for k, v in dict(load or {}).items() if v not in (None, False)}
    return OpenedRecord(model=str(path.resolve()) if path.exists() else str(model), options=given)


def _with_left_out(card: RiskCard, found: RecordSet, refused: int) -> RiskCard:
    """Count faulty and refused records as not asked, so that a policy fails closed, and judge again."""
    q = card.questions
    unasked = q.unasked.model_copy(update={"n": q.unasked.n + refused + len(found.faults)})
    failures = (*(Failure(where=f.where, reason=f.reason) for f in found.faults), *card.failures)
    return card.model_copy(update={"questions": q.model_copy(update={"unasked": unasked}), "failures": failures})


def _records(found: RecordSet, refused: int) -> RecordsRecord:
    return RecordsRecord(
        mode=found.mode,
        read=len(found.records),
        faulty=len(found.faults),
        refused=refused,
        cut=sum(r.cut > 0 for r in found.records),
        characters_cut=sum(r.cut for r in found.records),
        without_other=len(found.records) - len(found.other),
        notes=found.notes,
    )


def thresholds_of(run: Run, card: RiskCard, risks: Mapping[str, Floats]) -> tuple[ThresholdRow, ...]:
    """Return the threshold table of the best signal."""
    if card.predictors.best is None:
        return ()
    group = group_numbers([q.group for q in run.answers.questions])
    kinds = np.array([q.kind for q in run.answers.questions])
    scored = Scored(risks, run.answers.errors, group, kinds, group, run.splits, run.options.seed)
    return threshold_rows(scored, card.predictors.best)


def dry_run(
    model: str | Adapter,
    questions: Sequence[str | Question] = (),
    options: ScreenOptions | None = None,
    *,
    load: Mapping[str, Any] | None = None,
    timed: bool = False,
) -> ScreenPlan:
    """Count the prompts that a screening runs, and about how long it takes; nothing is written.

    Args:
        timed: open the model and time one batch; by default a large model's weights are not read.
    """
    options = options or ScreenOptions()
    found = record_file(questions, options)
    refuse_unknown(questions)
    scorer = open_scorer(model, **dict(load or {}))
    if scorer is not None:
        records = sample(records_for(scorer, found).records, options.limit, options.seed)
        raise BadInputError(
            f"{len(records)} records would be up to {3 * len(records)} requests to {scorer.info.backend}; how long it "
            "takes to answer is not known beforehand"
        )
    opener = open_model if timed else describe_model
    adapter = opener(model, **dict(load or {})) if isinstance(model, str) else model
    if found is None:
        _, asked_for = question_sets(adapter, questions)
        return plan_screening(adapter, sample(asked_for, options.limit, options.seed), options)
    options = replace(options, own_records=True)
    if found.mode == "A":
        return plan_screening(
            adapter, sample(keep_fitting(adapter, record_questions(found))[0], options.limit, options.seed), options
        )
    return plan_answers(adapter, found, options)


def question_sets(
    adapter: Adapter, questions: Sequence[str | Question]
) -> tuple[tuple[str, ...], tuple[Question, ...]]:
    """Return the names of the sets and all their questions; questions given directly are the set `given`."""
    names = [q for q in questions if isinstance(q, str)]
    own = [q for q in questions if isinstance(q, Question)]
    if not names and not own:
        names = list(default_sets(adapter))
    loaded = [q for name in names for q in load_questions(name)]
    return (*names, *(("given",) if own else ())), (*loaded, *own)


def default_sets(adapter: Adapter) -> tuple[str, ...]:
    """Return the sets asked where none is named: about images, if the model reads them."""
    return ("image-scenes",) if isinstance(adapter, ImagePatchable) else ("text-scenes",)


def _card(
    run: Run, names: tuple[str, ...], hash_: str, total: int, started: float
) -> tuple[RiskCard, dict[str, Floats]]:
    """Return the card, and every signal's risk of every question; `total`: questions of the sets before any limit."""
    options, adapter = run.options, run.adapter
    heads, risks = risks_of(run)
    group = group_numbers([q.group for q in run.answers.questions])
    stratum = group_numbers([f"{q.kind} as {q.form}" for q in run.answers.questions])
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
        carriers=run.carriers,
        signals=records,
        predictors=found,
        operating=operating_of(scored, options.policy, best),
        generation=measure_generation(run),
        strengthen=measure_strengthened(run, heads),
        weaken=measure_weakened(run),
        failures=tuple(run.failures),
        protocol=_protocol(run),
        environment=environment_record(adapter.info.device, (options.seed,), round(time.perf_counter() - started, 2)),
    )
    return card.model_copy(update={"verdict": judge(card, options.policy)}), risks


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
    """Return the choices of this screening, as its card records them."""
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
    if info.chat_date is not None:
        found["chat_date"] = info.chat_date
    return found
