"""Quality of answers of many tokens beside AUROC: other aggregates, AUPRC, PRR, and labelled spans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from groundbench.results.risk_card import SignalRecord
from groundbench.results.risk_card_answers import AggregateRecord, TokenQuality
from groundbench.screening.error_rates import as_estimated
from groundbench.screening.fitted_signals import FITTED
from groundbench.screening.given_answers import AnswerRisks, GivenSet
from groundbench.screening.signal_quality import Scored
from groundbench.stats.error_ranking import auroc_estimate, ranking_quality

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def answer_extras(
    records: Sequence[SignalRecord], scored: Scored, risks: AnswerRisks, given: GivenSet
) -> tuple[SignalRecord, ...]:
    """Return the records with the AUROC of the worst token and run, and the quality on labelled spans."""
    found = []
    for record in records:
        if record.missing is not None:
            found.append(record)
            continue
        made = []
        for how, values in risks.others.get(record.name, {}).items():
            part = scored.splits.test if record.name in FITTED else scored.splits.scored
            at = part[~np.isnan(values[part])]
            auroc = auroc_estimate(values[at], scored.error[at], scored.group[at], scored.seed)
            made.append(AggregateRecord.model_validate({"how": how, "auroc": as_estimated(auroc)}))
        tokens = _on_spans(record.name, scored, risks, given)
        found.append(record.model_copy(update={"aggregates": tuple(made), "tokens": tokens}))
    return tuple(found)


def _on_spans(name: str, scored: Scored, risks: AnswerRisks, given: GivenSet) -> TokenQuality | None:
    """Compute AUROC and AUPRC over tokens of answers with labelled spans; None where there are none."""
    values: list[Floats] = []
    wrong: list[Bools] = []
    group: list[Ints] = []
    for i in (scored.splits.test if name in FITTED else scored.splits.scored).tolist():
        own = risks.tokens.get(name, [None] * len(given.records))[i]
        marked = given.token_labels[i]
        if own is None or marked is None or len(own) != len(marked):
            continue
        values.append(own)
        wrong.append(marked)
        group.append(np.full(len(own), scored.group[i]))
    if not values:
        return None
    risk, error, groups = np.concatenate(values), np.concatenate(wrong), np.concatenate(group)
    known = ~np.isnan(risk)
    risk, error, groups = risk[known], error[known], groups[known]
    quality = ranking_quality(risk, error, groups, scored.seed)
    return TokenQuality(
        n=len(risk), wrong=int(error.sum()), auroc=as_estimated(quality.auroc), auprc=as_estimated(quality.auprc)
    )
