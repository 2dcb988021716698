"""A screening of given answers by log-probabilities of texts alone: models behind an API (protocol §16, modes B and C).

Each record is up to three requests: its answer behind its own prompt, behind the prompt without evidence and behind the
one with another record's evidence. Answers are kept in the run directory as they come, so none is paid for twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import EvidenceRecord, RecordSet
from groundbench.api.testbed import Prompt
from groundbench.api.text_scorer import ScoredText, ScorerInfo, TextScorer, TextSize
from groundbench.engine.provenance import environment_record
from groundbench.engine.run_directory import RunStore
from groundbench.results.risk_card import RiskCard
from groundbench.results.risk_card_answers import WorstAnswer
from groundbench.results.run import Failure, ModelRecord
from groundbench.screening.given_answers import AnswerRisks, GivenSet
from groundbench.screening.measure import ScreenOptions
from groundbench.screening.policy import judge
from groundbench.screening.screen_answers import AnswerScreen, Judged, gains_of, judge_signals, labels_and_groups
from groundbench.screening.splits import sample, split
from groundbench.screening.summed_signals import SUMMED, SummedAnswer, risks_of_sums
from groundbench.screening.worst_answers import plain_answer, probability_of, riskiest
from groundbench.util.atomic_files import write_text
from groundbench.util.progress import Progress

PART = 32
"""Records that are asked at once: the backend makes its own batches of them."""
Texts = tuple[ScoredText, ScoredText | None, ScoredText | None]


def screen_texts(
    scorer: TextScorer,
    found: RecordSet,
    options: ScreenOptions,
    store: RunStore | None,
    *,
    calibrated_by: RiskCard | None = None,
) -> AnswerScreen:
    """Screen given answers by sums of log-probabilities.

    Args:
        calibrated_by: mode C: a card whose fits turn signals into probabilities.

    Raises:
        BadInputError: the records hold candidates, images, or none that the scorer can read; or a signal was named
            that sums cannot tell.
    """
    started = time.perf_counter()
    _require(scorer.info, found, options)
    chosen = sample(found.records, options.limit, options.seed)
    given, texts, sizes = _readable(scorer, found, chosen)
    with Progress(f"{scorer.info.name}: reading answers", len(texts)) as bar:
        answers = []
        for first in range(0, len(texts), PART):
            part = slice(first, first + PART)
            answers += _ask_texts(scorer, texts[part], sizes[part], store)
            bar.advance(len(texts[part]))
    signals, splits = options.signals_of(records=True), split(given.records, options.seed)
    risks = risks_of_sums(signals, answers, scorer.info.backend)
    judged = judge_signals(found, options, given, splits, risks, calibrated_by)
    error, group = labels_and_groups(given)
    gained = {
        "without": [None if a.without is None else a.without - a.shown for a in answers],
        "mismatched": [None if a.other is None else a.other - a.shown for a in answers],
    }
    card = RiskCard(
        model=scorer_record(scorer.info),
        **judged.parts(found, given, chosen, options),
        gains=gains_of(gained, error if judged.labelled else None, group, options.seed),
        worst=_worst(given, judged, risks, calibrated_by),
        protocol=_protocol(scorer.info, found, [s.name for s in signals], judged.best, options.seed),
        environment=environment_record("unknown", (options.seed,), round(time.perf_counter() - started, 2)),
    )
    card = card.model_copy(update={"verdict": judge(card, options.policy)})
    return AnswerScreen(card, given, splits, risks)


def scorer_record(info: ScorerInfo) -> ModelRecord:
    """Return the model's part of a card."""
    return ModelRecord(
        name=info.name,
        family="unknown",
        architecture=info.backend,
        parameters=info.parameters,
        dtype=info.dtype,
        fingerprint=info.fingerprint,
    )


def _require(info: ScorerInfo, found: RecordSet, options: ScreenOptions) -> None:
    if found.mode == "A":
        raise BadInputError(
            f"{found.name}: {info.backend} screens given answers; candidates are answered by its task: groundbench "
            f"lm-eval --tasks groundbench_records --metadata file={found.name}"
        )
    image = next((r for r in found.records if r.image is not None), None)
    if image is not None:
        raise BadInputError(f"{image.where}: has an image, which {info.backend} is not shown")
    if options.signals and not any(s.name in SUMMED for s in options.signals_of(records=True)):
        raise BadInputError(
            f"--signals {', '.join(options.signals)}: {info.backend} gives sums of log-probabilities only, which tell "
            f"{', '.join(SUMMED)}"
        )
    if options.heads or options.carriers or options.strengthen or options.weaken or options.generate:
        raise BadInputError(f"{info.backend} shows no heads and generates nothing here: log-probabilities only")


def _readable(
    scorer: TextScorer, found: RecordSet, chosen: Sequence[EvidenceRecord]
) -> tuple[GivenSet, list[Texts], list[TextSize | None]]:
    """Return the records that fit with their texts and sizes; the others are refused one by one."""
    made, texts, sizes = GivenSet([], []), [], []
    for record in chosen:
        shown = _text(record, record.prompt())
        try:
            if shown is None:
                raise BadInputError("its prompt is empty")
            size = scorer.size(shown)
        except BadInputError as error:
            made.refused.append((record, Failure(where=record.where, reason=str(error))))
            continue
        without, other = (_comparison_text(scorer, record, p) for p in (record.prompt(""), found.other_prompt(record)))
        made.records.append(record)
        made.token_labels.append(None)
        made.counts.append(None if size is None else size.answer)
        made.without_other += other is None
        texts.append((shown, without, other))
        sizes.append(size)
    if not made.records:
        why = made.refused[0][1].reason if made.refused else "there are none"
        raise BadInputError(f"no record of {found.name} can be read by {scorer.info.name}: {why}")
    return made, texts, sizes


def _text(record: EvidenceRecord, prompt: Prompt | None) -> ScoredText | None:
    if prompt is None or not prompt.text.strip():
        return None
    return ScoredText(prompt.text, prompt.join + (record.answer or ""), record.where)


def _comparison_text(scorer: TextScorer, record: EvidenceRecord, prompt: Prompt | None) -> ScoredText | None:
    """Return the answer behind another prompt; None where that does not fit: the comparison alone is unmeasured."""
    text = _text(record, prompt)
    try:
        if text is not None:
            scorer.size(text)
    except BadInputError:
        return None
    return text


def _ask_texts(
    scorer: TextScorer, texts: Sequence[Texts], sizes: Sequence[TextSize | None], store: RunStore | None
) -> list[SummedAnswer]:
    """Return the sums of some records; what a run directory holds is not asked again."""
    asked = [t for own in texts for t in own if t is not None]
    known = {t: _load_kept(store, t) for t in asked}
    missing = [t for t in dict.fromkeys(asked) if known[t] is None]
    for text, value in zip(missing, scorer.log_probabilities(missing) if missing else (), strict=True):
        known[text] = value
        path = _path(store, text)
        if path is not None:
            write_text(path, json.dumps({"log_probability": value}))

    def surprisal(text: ScoredText | None) -> float | None:
        value = None if text is None else known[text]
        return None if value is None else -value

    found = []
    for (shown, without, other), size in zip(texts, sizes, strict=True):
        own = surprisal(shown)
        assert own is not None  # every text that was asked has a value, or log_probabilities raised
        found.append(SummedAnswer(own, surprisal(without), surprisal(other), size))
    return found


def _path(store: RunStore | None, text: ScoredText) -> Path | None:
    if store is None:
        return None
    key = hashlib.sha256(repr((text.prompt, text.answer)).encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return store.directory / "parts" / "texts" / f"{key}.json"


def _load_kept(store: RunStore | None, text: ScoredText) -> float | None:
    path = _path(store, text)
    if path is None or not path.exists():
        return None
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["log_probability"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path}: not a log-probability that was kept: {error}") from error


def _worst(
    given: GivenSet, judged: Judged, risks: AnswerRisks, calibrated_by: RiskCard | None
) -> tuple[WorstAnswer, ...]:
    """Return the riskiest answers, as `worst_answers` does; not shaded, and no sentence is knocked out."""
    signal, splits = judged.best, judged.scored.splits
    if signal is None:
        return ()
    values, test = risks.risks[signal], judged.labelled and len(splits.test) > 0
    source = judged.records if judged.labelled else (() if calibrated_by is None else calibrated_by.signals)
    return tuple(
        plain_answer(
            record,
            float(values[i]),
            probability_of(source, signal, float(values[i])),
            record.wrong if judged.labelled else None,
        )
        for i, record in ((i, given.records[i]) for i in riskiest(values, splits.test if test else None))
    )


def _protocol(
    info: ScorerInfo, found: RecordSet, names: list[str], best: str | None, seed: int
) -> dict[str, JsonValue]:
    made: dict[str, JsonValue] = {
        "answers": "given; log-probabilities summed over the answer by the backend",
        "backend": info.backend,
        "mode": found.mode,
        "aggregation": "mean over the answer's tokens, by the backend's tokenizer",
        "other": "another record's evidence of another group, nearest in length",
        "ranked by": best,
        "signals": list(names),
        "seed": seed,
        "units": "nats",
    }
    return made
