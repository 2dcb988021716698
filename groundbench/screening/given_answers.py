"""Given answers read one by one: encoded, measured, kept in the run directory (protocol §16, modes B and C)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Readable
from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import EvidenceRecord, RecordSet
from groundbench.engine import distributed
from groundbench.engine.run_directory import RunStore
from groundbench.results.run import Failure
from groundbench.screening.answer_reading import GivenAnswer, Reading, Wanted, encode_answer, read_answer
from groundbench.screening.answer_signals import FUNCTIONS, Watched, aggregate
from groundbench.screening.fitted_signals import FITTED
from groundbench.screening.prompt_length import encode_longest
from groundbench.screening.shared_beginnings import SharedBeginnings, in_order
from groundbench.screening.signals import Signal
from groundbench.screening.splits import Splits
from groundbench.screening.token_places import token_places, tokens_in

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
TOGETHER = 4
"""Answers that one of several processes reads in a row: neighbours have beginnings in common."""
HOW = ("mean", "worst", "window")
WATCHING = ("heads-share", "heads-support", "heads-attention")
OF_CARRIERS = ("carriers-share", "carriers-support", "carriers-attention")
MEASURED_BY: dict[str, tuple[str, ...]] = {
    "without": ("gain", "contrast"),
    "other": ("gain-mismatched", "context-shift", "context-shift-mmd"),
    "gradients": (*WATCHING, *OF_CARRIERS),
    "heads": (*WATCHING, *OF_CARRIERS, "lookback", "redeep", "sink", "rauq", "svar"),
    "lens": ("lens-entropy", "ipr", "redeep", "internal-confidence", "svar", "glsim"),
    "mlp": ("redeep",),
}
"""Signals by what is read of an answer for them."""


@dataclass
class GivenSet:
    """Records as a model reads them, in their order, and those that it cannot read.

    `token_labels`: for each record which of its answer's tokens stand in a labelled span; None where not marked.
    """

    records: list[EvidenceRecord]
    answers: list[GivenAnswer]
    token_labels: list[Bools | None] = field(default_factory=list)
    refused: list[tuple[EvidenceRecord, Failure]] = field(default_factory=list)
    counts: list[int | None] = field(default_factory=list)
    """Tokens of each record's answer; None where the model does not show them."""
    without_other: int = 0
    """Records that have no other evidence to be compared with."""


@dataclass(frozen=True)
class AnswerRisks:
    """Risks of every answer.

    Attributes:
        risks: by signal, [answers] the headline (the mean over tokens); NaN unmeasured.
        others: by signal and way to aggregate, [answers].
        tokens: by signal, for each answer its tokens' risks; None where it has none by token.
        missing: why a signal was not measured.
    """

    risks: dict[str, Floats]
    others: dict[str, dict[str, Floats]]
    tokens: dict[str, list[Floats | None]]
    missing: dict[str, str]


def wanted_for(signals: Sequence[Signal]) -> Wanted:
    """Return what has to be read for these signals."""
    names = {s.name for s in signals}
    return Wanted(**{part: bool(names & set(of)) for part, of in MEASURED_BY.items()})


def encode_set(adapter: Adapter, found: RecordSet, chosen: Sequence[EvidenceRecord]) -> GivenSet:
    """Encode the answers of the chosen records. Records that do not fit are refused one by one.

    Raises:
        BadInputError: none is left.
    """
    made = GivenSet([], [])
    encode_longest(adapter, (p for r in chosen for p in (r.prompt(), found.other_prompt(r)) if p is not None))
    for record in chosen:
        try:
            given = encode_answer(adapter, record, found.other_prompt(record), record.answer or "")
        except BadInputError as error:
            made.refused.append((record, Failure(where=record.where, reason=str(error))))
            continue
        made.records.append(record)
        made.answers.append(given)
        made.token_labels.append(_labels(adapter, record, given))
        made.counts.append(len(given.target))
        made.without_other += given.other is None
    if not made.records:
        why = made.refused[0][1].reason if made.refused else "there are none"
        raise BadInputError(f"no record of {found.name} can be read by {adapter.info.name}: {why}")
    return made


def _labels(adapter: Adapter, record: EvidenceRecord, given: GivenAnswer) -> Bools | None:
    if record.spans is None or not isinstance(adapter, Readable):
        return None
    return tokens_in(record.spans, token_places(record.answer or "", adapter.token_texts(given.target)))


def read_set(
    adapter: Adapter,
    answers: Sequence[GivenAnswer],
    wanted: Wanted,
    store: RunStore | None,
    advance: Callable[[int], None] | None = None,
) -> list[Reading]:
    """Measure every answer, each in one of the processes; what a run directory holds is not measured again."""
    shared = SharedBeginnings.of(adapter, (row for given in answers for row in given.prompts))
    places = in_order([[shared.key(row) for row in given.prompts] for given in answers])
    processes = distributed.current()
    size = 1 if processes.count == 1 else TOGETHER
    batches = [places[a : a + size] for a in range(0, len(places), size)]

    def read(_: int, batch: list[int]) -> list[Reading]:
        return [_load_or_read(adapter, answers[i], wanted, store, shared) for i in batch]

    def tokens(batch: list[int]) -> int:
        return sum(len(row) for i in batch for row in answers[i].prompts)

    found = [r for batch in processes.map_batches(batches, read, cost=tokens, advance=advance) for r in batch]
    return [found[k] for k in np.argsort(places)]


def _load_or_read(
    adapter: Adapter, given: GivenAnswer, wanted: Wanted, store: RunStore | None, shared: SharedBeginnings
) -> Reading:
    rows = [None if r is None else (r.ids, r.env, r.images) for r in (given.row, given.without, given.other)]
    key = hashlib.sha256(repr((rows, given.target, wanted)).encode()).hexdigest()[:20]
    path = None if store is None else store.directory / "parts" / "readings" / f"{key}.npz"
    if path is not None and path.exists():
        found = Reading.load(path)
    else:
        found = read_answer(adapter, given, wanted, shared).copy()
        if path is not None:  # of several processes each keeps its own answers
            found.save(path)
    return found


def risks_of_answers(
    signals: Sequence[Signal],
    readings: Sequence[Reading],
    watched: Watched,
    error: Bools | None,
    group: Ints,
    splits: Splits,
) -> AnswerRisks:
    """Return every signal's risk of every answer.

    Args:
        error: which answers are wrong; None in mode C, where nothing can be fitted.
    """
    found = AnswerRisks({}, {}, {}, {})
    for signal in signals:
        if signal.name in FITTED:
            if error is None:
                found.missing[signal.name] = "it is fitted, and these answers have no labels"
                tokens: list[Floats | None] = [None] * len(readings)
            else:
                tokens = FITTED[signal.name](readings, error, group, splits)
        elif signal.name in FUNCTIONS:
            tokens = [FUNCTIONS[signal.name](r, watched) for r in readings]
        else:
            continue
        _add(found, signal.name, tokens, readings)
        if not any(t is not None for t in tokens):
            found.missing.setdefault(signal.name, _why(signal, watched))
    return found


def _add(found: AnswerRisks, name: str, tokens: list[Floats | None], readings: Sequence[Reading]) -> None:
    rows = np.array([(float("nan"),) * 3 if t is None else aggregate(t) for t in tokens], dtype=np.float64)
    found.risks[name] = rows[:, 0]
    by_token = any(t is not None and len(t) == r.tokens > 1 for t, r in zip(tokens, readings, strict=True))
    if by_token:
        found.others[name] = {how: rows[:, i] for i, how in enumerate(HOW) if i}
        found.tokens[name] = tokens


def _why(signal: Signal, watched: Watched) -> str:
    info = watched.info
    if signal.name in ("svar", "internal-confidence", "glsim"):
        return "no record has an image"
    if signal.name.startswith("heads-") and info.n_heads and "hooks" in info.capabilities:
        return "no aggregate head was detected"
    if signal.name == "sink" and "hooks" in info.capabilities and not watched.induction.any():
        return "no induction head was found"
    if signal.name == "sink" and "hooks" in info.capabilities:
        return "the induction heads have no attention sink on the first token"
    if signal.name in FITTED and "hooks" in info.capabilities:
        return "too few answers to fit on, or answers of one token"
    if signal.name in MEASURED_BY["heads"] and "hooks" not in info.capabilities:
        return f"{info.name}: {info.why_not('hooks')}"
    if signal.name in MEASURED_BY["lens"] and "hidden" not in info.capabilities:
        return f"{info.name}: {info.why_not('hidden')}"
    if signal.name in MEASURED_BY["other"]:
        return "no record has other evidence to be compared with, or the adapter shows no embeddings"
    return f"no answer has what it needs ({signal.needs})"


def detected_heads(
    adapter: Adapter, readings: Mapping[int, Reading], answers: Mapping[int, GivenAnswer]
) -> tuple[tuple[tuple[int, int], ...], Bools, str]:
    """Detect aggregate heads on the split `detect` (protocol §10), from answers that are right there.

    An instance counts where the head's share of its row, summed over the answer's tokens, is at least 0.3, its lift at
    least 2 and its part of the model's saliency at least 0.005; a head, where it counts in half of the instances. Where
    none does, lift and magnitude are dropped, as for question sets.

    Returns:
        the heads as (layer from 1, head from 0), the mask, and the selection that was needed.
    """
    from groundbench.measures.heads.heads import MIN_LIFT, MIN_MAGNITUDE, MIN_RATE, THRESHOLD

    none = np.zeros(adapter.info.n_heads, dtype=bool)
    tiers: dict[str, list[Bools]] = {"magnitude": [], "size": [], "share": []}
    for i, reading in readings.items():
        if reading.edge is None or reading.row_sum is None:
            return (), none, "share"
        edge, row = (x.astype(np.float64).sum(0) for x in (reading.edge, reading.row_sum))
        share = np.divide(edge, row, out=np.zeros_like(edge), where=row > 0)
        expected = reading.size[1] / (len(answers[i].row) + reading.tokens)
        large = edge >= MIN_MAGNITUDE * row.sum()
        enough = share >= THRESHOLD
        tiers["share"].append(enough)
        tiers["size"].append(enough & large)
        tiers["magnitude"].append(enough & large & (share >= MIN_LIFT * expected))
    for name, rows in tiers.items():
        mask = np.mean(rows, axis=0) >= MIN_RATE if rows else none
        if mask.any():
            heads = tuple(h for h, m in zip(adapter.info.head_index, mask, strict=True) if m)
            return heads, mask, name
    return (), none, "share"
