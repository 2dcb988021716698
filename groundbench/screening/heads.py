"""The model's own aggregate heads: found in some questions, watched in others (protocol §8, §10).

Found where the right answer is asked for; watched where the given answer is, which is all that is known in use.
One forward and one backward pass through the last position give every head's row of saliency.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, ModelInfo
from groundbench.api.errors import BadInputError
from groundbench.engine import distributed
from groundbench.engine.run_directory import RunStore
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import MIN_LIFT, MIN_MAGNITUDE, THRESHOLD, HeadRule, shares
from groundbench.measures.heads.saliency import SaliencyItem, SaliencyOptions, measure_saliency
from groundbench.results.risk_card import HeadsUsed
from groundbench.results.run import Result
from groundbench.screening.answering import Asked

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
MIN_RATE = 0.5
MIN_ITEMS = 8
Head = tuple[int, int]
Rule = Literal["magnitude", "size", "share"]


@dataclass(frozen=True)
class Activity:
    """The flow through the detected heads from the evidence to the prediction, for each question.

    Attributes:
        share: their saliency's part that comes from the evidence.
        attention: their mean weight on the evidence (in attention, of 1).
        support: by how many nats, to first order, the evidence makes the answer likelier through them.
    """

    share: Floats
    attention: Floats
    support: Floats


def watch(
    adapter: Adapter,
    asked: Asked,
    chosen: Ints,
    answers: Ints,
    *,
    seed: int = 0,
    store: RunStore | None = None,
    stage: str = "heads",
    advance: Callable[[int], None] | None = None,
) -> HeadSaliency:
    """Measure row saliency and attention of every head, for one answer to each chosen question, in order.

    Args:
        answers: [chosen] the number of the answer whose surprisal is the loss.
        store: a run directory, in which what was measured is kept.

    Raises:
        UnsupportedModelError: the model has no heads that can be read.
        NonFiniteLogitsError: names the question.
    """
    items = [
        SaliencyItem(asked.row(q), asked.answer(q, a), label=asked.questions[q].id)
        for q, a in zip(chosen.tolist(), answers.tolist(), strict=True)
    ]
    key = hashlib.sha256(json.dumps([[i.label, i.target] for i in items] + [seed]).encode()).hexdigest()[:16]
    path = None if store is None else store.directory / "parts" / stage / f"{key}.npz"

    def load_kept() -> HeadSaliency | None:
        return HeadSaliency.load(path) if path is not None and path.exists() else None

    done = distributed.current().from_first(load_kept)
    if done is not None:
        if advance is not None:
            advance(len(items))
        return done
    found = measure_saliency(adapter, items, SaliencyOptions(attention=True), seed=seed, advance=advance)
    if path is not None and distributed.current().first:
        found.save(path)
    return found


def detect(saliency: HeadSaliency, kinds: Sequence[str]) -> HeadsUsed:
    """Return the heads that are aggregate heads in at least half of the items of some kind of question (protocol §10).

    Kinds differ in how they ask, so each is looked at alone; kinds of few items are looked at together. In each, by
    share, lift and magnitude; where no head passes that (evidence of over half of a prompt has no lift of 2), by share
    and magnitude; and where that finds none in any kind, by share alone. The record names the loosest that was used.

    Args:
        kinds: of every item.
    """
    edge = shares(saliency, HeadRule())
    enough, large = edge.share >= THRESHOLD, edge.magnitude >= MIN_MAGNITUDE
    tiers: dict[Rule, Bools] = {
        "magnitude": enough & large & (edge.lift >= MIN_LIFT),
        "size": enough & large,
        "share": enough,
    }
    found, used = np.zeros(enough.shape[1], dtype=bool), 0
    order: tuple[Rule, ...] = ("magnitude", "size", "share")
    for part in _parts(kinds):
        for i, rule in enumerate(order[:2]):
            own = tiers[rule][part].mean(0) >= MIN_RATE
            if own.any():
                found, used = found | own, max(used, i)
                break
    if not found.any():
        found, used = np.any([tiers["share"][part].mean(0) >= MIN_RATE for part in _parts(kinds)], axis=0), 2
    pairs = zip(saliency.head_layer[found].tolist(), saliency.head_number[found].tolist(), strict=True)
    return HeadsUsed(
        heads=tuple(pairs),
        selection=order[used],
        threshold=THRESHOLD,
        min_rate=MIN_RATE,
        n_items=len(saliency),
        total=len(found),
    )


def _parts(kinds: Sequence[str]) -> list[Ints]:
    """Return the items of each kind; those of kinds with few items together."""
    count = Counter(kinds)
    label = np.array([k if count[k] >= MIN_ITEMS else "" for k in kinds])
    return [np.flatnonzero(label == k) for k in np.unique(label)]


def given_heads(info: ModelInfo, heads: Sequence[Head]) -> HeadsUsed:
    """Return heads that somebody names. Raises BadInputError where the model has no such head, or none is named."""
    known = set(info.head_index)
    unknown = next((h for h in heads if h not in known), None)
    if unknown is not None or not heads:
        found = "none" if unknown is None else f"layer {unknown[0]}, head {unknown[1]}"
        raise BadInputError(
            f"heads of {info.name}: found {found}; expected pairs (layer from 1, head from 0) among its {len(known)}"
        )
    return HeadsUsed(
        heads=tuple(heads), selection="given", threshold=THRESHOLD, min_rate=MIN_RATE, n_items=0, total=len(known)
    )


def measured_heads(run: Path) -> tuple[Result, HeadsUsed]:
    """Return a run with the measure `causal` and the heads that carry the gain in it.

    The heads are of the first form: as many as its headline interchanges, those of the largest mean contrast over all
    pairs.

    Args:
        run: the run's directory or its result.json.

    Raises:
        BadInputError: the run cannot be read, or holds no such measure.
    """
    result = Result.load(run / "result.json" if run.is_dir() else run)
    for measured in result.causal:
        scores = [(s.contrast, (s.layer, s.head)) for s in measured.scores if s.contrast is not None]
        if measured.headline is not None and scores:
            first = sorted(scores, key=lambda s: (-s[0], s[1]))[: measured.headline.k]
            heads = tuple(sorted(place for _, place in first))
            n, total = measured.pairs.n, measured.n_heads
            return result, HeadsUsed(
                heads=heads, selection="contrast", threshold=0.0, min_rate=0.0, n_items=n, total=total
            )
    raise BadInputError(f"{run}: found no heads ranked by contrast; expected a run with --measure causal")


def carrier_heads(info: ModelInfo, run: Path) -> HeadsUsed:
    """Return the heads of `measured_heads`. Raises BadInputError also where the run is of other weights."""
    result, heads = measured_heads(run)
    if result.model.fingerprint != info.fingerprint:
        raise BadInputError(
            f"{run}: found heads of {result.model.name} with weights {result.model.fingerprint}; expected those of the "
            f"model that is screened, {info.fingerprint}"
        )
    return heads


def mask_of(info: ModelInfo, heads: Sequence[Head]) -> Bools:
    """Return [heads of the model] which of them are meant, in the order of a HeadEdit's columns."""
    wanted = set(heads)
    return np.array([h in wanted for h in info.head_index], dtype=bool)


def activity(saliency: HeadSaliency, heads: Sequence[Head]) -> Activity:
    """Measure the flow through these heads in each item; NaN where they have no saliency at all."""
    wanted = set(heads)
    columns = zip(saliency.head_layer.tolist(), saliency.head_number.tolist(), strict=True)
    at = np.array([h in wanted for h in columns])
    assert saliency.attention is not None
    edge, row = (x[:, at].astype(np.float64).sum(1) for x in (saliency.edge, saliency.row_sum))
    share = np.divide(edge, row, out=np.full(len(row), np.nan), where=row > 0)
    attention = saliency.attention[:, at].astype(np.float64).mean(1)
    return Activity(share, attention, -saliency.signed_edge[:, at].astype(np.float64).sum(1))
