"""A screening of given answers (protocol §16, modes B and C): records -> readings -> signals -> card."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from groundbench.api.adapter import Adapter
from groundbench.api.evidence_record import EvidenceRecord, RecordSet
from groundbench.engine.provenance import environment_record, model_record
from groundbench.engine.run_directory import RunStore
from groundbench.results.risk_card import (
    ErrorRecord,
    HeadsUsed,
    Predictors,
    QuestionsRecord,
    RiskCard,
    SignalRecord,
    TruthGain,
    UnaskedRecord,
)
from groundbench.results.risk_card_answers import Estimated, RecordsRecord
from groundbench.results.run import Failure
from groundbench.screening.answer_reading import Reading
from groundbench.screening.answer_signals import Watched
from groundbench.screening.error_rates import as_estimated
from groundbench.screening.given_answers import (
    AnswerRisks,
    GivenSet,
    detected_heads,
    encode_set,
    read_set,
    risks_of_answers,
    wanted_for,
)
from groundbench.screening.heads import given_heads, mask_of
from groundbench.screening.induction import induction_heads
from groundbench.screening.lens_entropy import middle_layers
from groundbench.screening.measure import ScreenOptions, carriers_of
from groundbench.screening.policy import judge
from groundbench.screening.signal_quality import Scored, operating_of, predictors, signal_records, threshold_rows
from groundbench.screening.signals import of_given_answers
from groundbench.screening.splits import Splits, sample, split
from groundbench.screening.token_quality import answer_extras
from groundbench.screening.worst_answers import worst_answers
from groundbench.stats.grouped import group_numbers, grouped_mean, rate
from groundbench.util.progress import Progress

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AnswerScreen:
    """The result of screening given answers: the card, and every answer's risks and split."""

    card: RiskCard
    given: GivenSet
    splits: Splits
    risks: AnswerRisks


def screen_answers(
    adapter: Adapter,
    found: RecordSet,
    options: ScreenOptions,
    store: RunStore | None,
    *,
    calibrated_by: RiskCard | None = None,
) -> AnswerScreen:
    """Screen given answers.

    Args:
        calibrated_by: mode C: a card whose fits turn signals into probabilities.

    Raises:
        BadInputError: no record can be read by the model.
    """
    started = time.perf_counter()
    chosen = sample(found.records, options.limit, options.seed)
    given = encode_set(adapter, found, chosen)
    signals = options.signals_of(records=True)
    carriers = carriers_of(adapter.info, options)
    splits = split(given.records, options.seed)
    with Progress(f"{adapter.info.name}: reading answers", len(given.answers)) as bar:
        readings = read_set(adapter, given.answers, wanted_for(signals), store, bar.advance)
    error, group = labels_and_groups(given)
    known = error if found.mode == "B" else None
    heads, watched = _heads(adapter, given, readings, splits, known, options)
    if carriers is not None:
        watched = replace(watched, carriers=mask_of(adapter.info, carriers.heads))
    risks = risks_of_answers(signals, readings, watched, known, group, splits)
    judged = judge_signals(found, options, given, splits, risks, calibrated_by)
    card = RiskCard(
        model=model_record(adapter.info),
        **judged.parts(found, given, chosen, options),
        gains=gains_of(_evidence_gains(readings), known, group, options.seed),
        heads=heads,
        carriers=carriers,
        worst=worst_answers(
            adapter, given, splits, risks, judged.best, judged.records, calibrated_by, known is not None
        ),
        protocol=_protocol(adapter, found, [s.name for s in signals], judged.best, options),
        environment=environment_record(adapter.info.device, (options.seed,), round(time.perf_counter() - started, 2)),
    )
    card = card.model_copy(update={"verdict": judge(card, options.policy)})
    return AnswerScreen(card, given, splits, risks)


@dataclass(frozen=True)
class Judged:
    """Signals of given answers judged by their labels; without labels only the signal that ranks them.

    Attributes:
        scored: risks, labels, groups and splits.
        records: one for each signal, none without labels; `predictors`: which are best, None without labels.
        best: the signal that ranks the answers; None where none was measured.
        labelled: whether the answers have labels.
    """

    scored: Scored
    records: tuple[SignalRecord, ...]
    predictors: Predictors | None
    best: str | None
    labelled: bool

    def parts(
        self, found: RecordSet, given: GivenSet, chosen: Sequence[EvidenceRecord], options: ScreenOptions
    ) -> dict[str, Any]:
        """Return the fields of a card that do not depend on how the answers were read."""
        error = self.scored.error if self.labelled else None
        made: dict[str, Any] = {
            "questions": _questions(found, given, self.scored.splits, options),
            "errors": _errors(given, error, self.scored.group),
            "signals": self.records,
            "operating": operating_of(self.scored, options.policy, self.best) if self.labelled else None,
            "records": _records(found, given, chosen),
            "thresholds": threshold_rows(self.scored, self.best) if self.labelled and self.best is not None else (),
            "failures": (
                *(Failure(where=f.where, reason=f.reason) for f in found.faults),
                *(f for _, f in given.refused),
            ),
        }
        return made if self.predictors is None else {**made, "predictors": self.predictors}


def labels_and_groups(given: GivenSet) -> tuple[Bools, npt.NDArray[np.int64]]:
    """Return [answers] whether each is labelled wrong, and its group."""
    return np.array([bool(r.wrong) for r in given.records]), group_numbers([r.group for r in given.records])


def judge_signals(
    found: RecordSet,
    options: ScreenOptions,
    given: GivenSet,
    splits: Splits,
    risks: AnswerRisks,
    calibrated_by: RiskCard | None,
) -> Judged:
    """Judge every signal by the labels, if there are any."""
    error, group = labels_and_groups(given)
    kinds = np.array([r.kind for r in given.records])
    scored = Scored(risks.risks, error, group, kinds, group_numbers(kinds.tolist()), splits, options.seed)
    if found.mode != "B":
        return Judged(scored, (), None, _ranking_signal(risks, calibrated_by), False)
    records = signal_records(scored, of_given_answers(options.signals_of(records=True)), risks.missing)
    records = answer_extras(records, scored, risks, given)
    told = predictors(scored, records)
    best = told.best or next((r.name for r in records if r.missing is None), None)
    return Judged(scored, records, told, best, True)


def _heads(
    adapter: Adapter,
    given: GivenSet,
    readings: Sequence[Reading],
    splits: Splits,
    error: Bools | None,
    options: ScreenOptions,
) -> tuple[HeadsUsed | None, Watched]:
    """Return the model's aggregate heads, detected in right answers of the split `detect`, and its induction heads."""
    info = adapter.info
    if "hooks" not in info.capabilities:
        none = np.zeros(info.n_heads, dtype=bool)
        return None, Watched(info, none, none)
    induction = induction_heads(adapter, options.seed)
    if options.heads:
        named = given_heads(info, options.heads)
        return named, Watched(info, mask_of(info, named.heads), induction)
    part = [i for i in splits.detect.tolist() if error is None or not error[i]]
    heads, mask, selection = detected_heads(
        adapter, {i: readings[i] for i in part}, {i: given.answers[i] for i in part}
    )
    used = HeadsUsed.model_validate(
        {
            "heads": heads,
            "selection": selection,
            "threshold": 0.3,
            "min_rate": 0.5,
            "n_items": len(part),
            "total": info.n_heads,
        }
    )
    return used, Watched(info, mask, induction)


def _ranking_signal(risks: AnswerRisks, card: RiskCard | None) -> str | None:
    """Choose mode C's signal: of the card's best fit, else the gain, else the first that was measured."""
    known = [n for n, values in risks.risks.items() if not np.isnan(values).all()]
    if card is not None and card.predictors.best in known:
        return card.predictors.best
    return "gain" if "gain" in known else next(iter(known), None)


def _questions(found: RecordSet, given: GivenSet, splits: Splits, options: ScreenOptions) -> QuestionsRecord:
    total, limit = len(found.records), options.limit
    left_out = Counter(record.kind for record, _ in given.refused)
    return QuestionsRecord(
        sets=(found.name,),
        hash=found.digest(),
        n=len(given.records),
        n_groups=len({r.group for r in given.records}),
        kinds=tuple(dict.fromkeys(r.kind for r in given.records)),
        forms=tuple(dict.fromkeys("image" if r.image is not None else "text" for r in given.records)),
        splits={"detect": len(splits.detect), "fit": len(splits.fit), "test": len(splits.test)},
        limit=limit,
        drawn_from=total if limit is not None and limit < total else None,
        unasked=UnaskedRecord(n=len(given.refused) + len(found.faults), by_kind=dict(left_out)),
    )


def _records(found: RecordSet, given: GivenSet, chosen: Sequence[EvidenceRecord]) -> RecordsRecord:
    return RecordsRecord(
        mode=found.mode,
        read=len(found.records),
        faulty=len(found.faults),
        refused=len(given.refused),
        cut=sum(r.cut > 0 for r in chosen),
        characters_cut=sum(r.cut for r in chosen),
        without_other=given.without_other,
        notes=found.notes,
    )


def _errors(given: GivenSet, error: Bools | None, group: npt.NDArray[np.int64]) -> tuple[ErrorRecord, ...]:
    """Return the share of answers that are labelled wrong: over all, then by kind; null without labels."""
    n = len(given.records)
    if error is None:
        unknown = Estimated(value=None, n=n)
        return (ErrorRecord(error=unknown, n_groups=len(np.unique(group)), chance=None, constant=None),)
    kinds = [r.kind for r in given.records]
    names = list(dict.fromkeys(kinds))
    parts: list[tuple[str | None, Bools]] = [(None, np.ones(n, dtype=bool))]
    parts += [(k, np.array([x == k for x in kinds])) for k in names]
    if len(names) < 2 and names == ["record"]:
        parts = parts[:1]
    return tuple(
        ErrorRecord(
            kind=kind,
            error=as_estimated(rate(error[at], group[at])),
            n_groups=len(np.unique(group[at])),
            chance=None,
            constant=None,
        )
        for kind, at in parts
    )


def _evidence_gains(readings: Sequence[Reading]) -> dict[str, list[float | None]]:
    """Return what the evidence adds to each answer's log-probability, against no and against other evidence."""
    found: dict[str, list[float | None]] = {"without": [], "mismatched": []}
    for reading in readings:
        for against, compared in (("without", reading.without), ("mismatched", reading.other)):
            own = reading.surprisal.astype(np.float64)
            found[against].append(None if compared is None else float((compared.astype(np.float64) - own).sum()))
    return found


def gains_of(
    gained: Mapping[str, Sequence[float | None]], error: Bools | None, group: npt.NDArray[np.int64], seed: int
) -> tuple[TruthGain, ...]:
    """Return the gain of the right answers (of all, without labels), summed over their tokens (nats)."""
    right = np.ones(len(group), dtype=bool) if error is None else ~error
    found = []
    for against, values in gained.items():
        known = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        gain = grouped_mean(known[right], group[right], seed)
        if gain.n:
            found.append(TruthGain.model_validate({"against": against, "gain": as_estimated(gain)}))
    return tuple(found)


def _protocol(
    adapter: Adapter, found: RecordSet, names: list[str], best: str | None, options: ScreenOptions
) -> dict[str, JsonValue]:
    info = adapter.info
    made: dict[str, JsonValue] = {
        "answers": "given, teacher-forced",
        "mode": found.mode,
        "aggregation": "mean over the answer's tokens; worst token and worst run of 5 beside",
        "other": "another record's evidence of another group, nearest in length",
        "ranked by": best,
        "signals": list(names),
        "lens": f"logit lens, layers {', '.join(map(str, middle_layers(info)))}",
        "bos": info.bos,
        "attention": info.attention,
        "seed": options.seed,
        "units": "nats",
    }
    if info.chat is not None:
        made["chat"] = info.chat
    return made
