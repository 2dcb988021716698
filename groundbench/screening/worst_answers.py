"""The answers with the largest risk: shaded by token, with the sentence of the evidence that carries most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Readable
from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import EvidenceRecord, RecordSet
from groundbench.engine import distributed
from groundbench.results.risk_card import RiskCard, SignalRecord
from groundbench.results.risk_card_answers import WorstAnswer
from groundbench.screening.answer_reading import GivenAnswer, Wanted, encode_answer, read_answer
from groundbench.screening.answer_signals import FUNCTIONS, Watched
from groundbench.screening.calibration import predict
from groundbench.screening.given_answers import MEASURED_BY, AnswerRisks, GivenSet
from groundbench.screening.heads import mask_of
from groundbench.screening.measure import Run
from groundbench.screening.splits import Splits
from groundbench.screening.token_places import token_pieces
from groundbench.util.progress import Progress
from groundbench.util.sentences import sentences

Floats = npt.NDArray[np.float64]
MOST = 50
MOST_SENTENCES = 12
"""Sentences that are knocked out of one record's evidence; of longer evidence the first ones."""
BARE = Wanted(without=False, other=False, heads=False, gradients=False, lens=False, mlp=False)


def worst_answers(
    adapter: Adapter,
    given: GivenSet,
    splits: Splits,
    risks: AnswerRisks,
    signal: str | None,
    records: Sequence[SignalRecord],
    calibrated_by: RiskCard | None,
    labelled: bool,
) -> tuple[WorstAnswer, ...]:
    """Return at most fifty answers, riskiest first: of the split `test` where there are labels, else of all."""
    if signal is None:
        return ()
    values = risks.risks[signal]
    part = splits.test if labelled and len(splits.test) else np.arange(len(values))
    source = records if labelled else (() if calibrated_by is None else calibrated_by.signals)

    def show(i: int) -> WorstAnswer:
        record = given.records[i]
        own = risks.tokens.get(signal, [None] * len(values))[i]
        shades = () if own is None else tuple(_finite(v) for v in own.tolist())
        wrong = record.wrong if labelled else None
        probability = probability_of(source, signal, float(values[i]))
        return _worst(adapter, record, given.answers[i], float(values[i]), probability, shades, wrong)

    return _one_by_one(adapter, riskiest(values, part), show)


def _one_by_one(adapter: Adapter, chosen: Sequence[int], show: Callable[[int], WorstAnswer]) -> tuple[WorstAnswer, ...]:
    """Show the chosen answers, and how far it is: each costs a pass for every sentence of its evidence."""
    with Progress(f"{adapter.info.name}: leaving out sentences of the riskiest", len(chosen)) as bar:
        return tuple(distributed.current().map_each(chosen, show, advance=bar.advance))


def worst_questions(
    adapter: Adapter, run: Run, found: RecordSet, card: RiskCard, risks: Mapping[str, Floats]
) -> tuple[WorstAnswer, ...]:
    """Return the same of questions with candidates: the answers given by likelihood on the split `test`.

    Tokens are shaded where the signal has a value for each of them.
    """
    signal, records = card.predictors.best, {r.id: r for r in found.records}
    if signal is None or signal not in risks:
        return ()
    values, part = risks[signal], run.splits.test
    watched = _find_watched(adapter, card)

    def show(i: int) -> WorstAnswer:
        question, number = run.answers.questions[i], int(run.answers.given[i])
        answer = question.choices[number]
        record = replace(records[question.id], answer=answer)
        given = GivenAnswer(record.where, run.asked.row(i), run.asked.answer(i, number), *run.asked.comparison_rows(i))
        shades = _shades(adapter, given, signal, watched)
        wrong = bool(run.answers.errors[i])
        probability = probability_of(card.signals, signal, float(values[i]))
        return _worst(adapter, record, given, float(values[i]), probability, shades, wrong)

    return _one_by_one(adapter, riskiest(values, part), show)


def riskiest(values: Floats, part: npt.NDArray[np.int64] | None = None) -> list[int]:
    """Return the numbers of the answers (of a part of them) with the largest risk, at most fifty, riskiest first."""
    part = np.arange(len(values)) if part is None else part
    known = part[~np.isnan(values[part])]
    found: list[int] = known[np.argsort(-values[known], kind="stable")][:MOST].tolist()
    return found


def probability_of(records: Sequence[SignalRecord], signal: str, risk: float) -> float | None:
    """Return the chance of an error by the signal's first fit in these records; None where it has none."""
    fit = next((s.calibration[0].fit for s in records if s.name == signal and s.calibration), None)
    return None if fit is None else float(predict(fit, np.array([risk]))[0])


def _worst(
    adapter: Adapter,
    record: EvidenceRecord,
    given: GivenAnswer,
    risk: float,
    probability: float | None,
    shades: tuple[float | None, ...],
    wrong: bool | None,
) -> WorstAnswer:
    """Return one answer as a card shows it; without shades where they are not one for each token."""
    tokens = _pieces(adapter, record.answer or "", given.target)
    sentence, carried = carrying_sentence(adapter, record, given)
    shades = shades if len(shades) == len(tokens) else ()
    shown = {"tokens": tokens, "shades": shades, "sentence": sentence, "carried": carried}
    return plain_answer(record, risk, probability, wrong).model_copy(update=shown)


def plain_answer(record: EvidenceRecord, risk: float, probability: float | None, wrong: bool | None) -> WorstAnswer:
    """Return one answer as a card shows it, not shaded and without the sentence that carries most."""
    return WorstAnswer(
        id=record.id,
        where=record.where,
        group=record.group,
        kind=record.kind,
        question=record.question,
        answer=record.answer or "",
        wrong=wrong,
        risk=risk,
        probability=probability,
    )


def _find_watched(adapter: Adapter, card: RiskCard) -> Watched:
    info = adapter.info
    mask = mask_of(info, () if card.heads is None else card.heads.heads)
    return Watched(info, mask, np.zeros(info.n_heads, dtype=bool))


def _shades(adapter: Adapter, given: GivenAnswer, signal: str, watched: Watched) -> tuple[float | None, ...]:
    """Return each token's risk by a signal; nothing where the signal has one value for the whole answer."""
    if signal not in FUNCTIONS:
        return ()
    wanted = {part: signal in of for part, of in MEASURED_BY.items()}
    values = FUNCTIONS[signal](read_answer(adapter, given, Wanted(**wanted)), watched)
    return () if values is None or len(values) != len(given.target) else tuple(_finite(v) for v in values.tolist())


def _pieces(adapter: Adapter, answer: str, ids: Sequence[int]) -> tuple[str, ...]:
    return token_pieces(answer, adapter.token_texts(ids)) if isinstance(adapter, Readable) else ()


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def carrying_sentence(adapter: Adapter, record: EvidenceRecord, given: GivenAnswer) -> tuple[str | None, float | None]:
    """Return the sentence of the evidence without which the answer's log-probability falls most, and by how many nats.

    One pass for each sentence; None where there is one sentence, an image, or none whose absence lowers it.
    """
    parts = sentences(record.evidence)
    if record.image is not None or len([p for p in parts if p.strip()]) < 2:
        return None, None
    whole = float(read_answer(adapter, given, BARE).surprisal.sum())
    best: tuple[float, str] | None = None
    for k, part in enumerate(parts[:MOST_SENTENCES]):
        left = "".join(parts[:k] + parts[k + 1 :]).strip()
        if not part.strip() or not left:
            continue
        try:
            other = encode_answer(adapter, replace(record, evidence=left), None, record.answer or "")
        except BadInputError:
            continue
        lost = float(read_answer(adapter, other, BARE).surprisal.sum()) - whole
        if lost > 0 and (best is None or lost > best[0]):
            best = (lost, part.strip())
    return (None, None) if best is None else (best[1], best[0])
