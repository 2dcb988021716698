"""One form of a testbed measured on one model, item by item: the answers to `grounding_probe` requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine.contexts import Contexts, build_contexts
from groundbench.engine.scoring import score
from groundbench.evaluation.mechanism import MechanismOptions, saliency_of
from groundbench.integrations.lm_eval.documents import select
from groundbench.measures.ablation.crossfit import (
    AblationOptions,
    CellTables,
    Subject,
    control_draws,
    crossfit_lists,
    within_cells,
)
from groundbench.measures.gain.measure import GainItems, gain_items
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import detected, headline_rule

Items = npt.NDArray[np.float64]
Measured = dict[tuple[str, str], dict[str, float]]


def probe_form(adapter: Adapter, spec: Mapping[str, Any], batch_tokens: int) -> Measured:
    """(frame, noun) -> the item's metrics, in nats and heads: what `groundbench run --measure ablation` averages.

    Always measured: the item's gain, gain within the category, and surprisals. On a model whose heads can be read:
    `aggregate_heads` (headline definition, protocol §10) and `aggregate_heads_null`, the same count for an equally
    long span of other words. Where some head is detected in half of the items: what zeroing the cross-fitted heads
    adds to matched surprisal and gain, and what layer-matched controls of equal size add (protocol §11); on models
    that are not small for a sample of the items, as in `groundbench run`.

    Args:
        spec: a full document: testbed, env_form, limit_nouns, seed, draws.
    """
    chosen = select(spec["testbed"], spec["env_form"], None, spec["limit_nouns"], spec["seed"])
    contexts = build_contexts(adapter, chosen.testbed, chosen.form, nouns=[n.word for n in chosen.nouns])
    table = score(adapter, contexts, batch_tokens=batch_tokens)
    found = _behaviour(gain_items(table))
    if "tap" in adapter.info.capabilities:
        mechanism = MechanismOptions(seed=spec["seed"], batch_tokens=batch_tokens, draws=spec["draws"])
        saliency = saliency_of(adapter, contexts, mechanism, None)
        found |= _heads(contexts, saliency)
        found |= _ablation(Subject(adapter, contexts, table, saliency), mechanism)
    return {
        (frame.id, noun.word): {
            name: float(values[v, k]) for name, values in found.items() if not np.isnan(values[v, k])
        }
        for k, frame in enumerate(contexts.frames)
        for v, noun in enumerate(contexts.nouns)
    }


def _behaviour(items: GainItems) -> dict[str, Items]:
    return {
        "grounding_gain": items.gain,
        "same_category_gain": items.same_category,
        "matched_surprisal": items.matched,
        "mismatched_surprisal": items.mismatched,
    }


def _heads(contexts: Contexts, saliency: HeadSaliency) -> dict[str, Items]:
    """[V, K] how many heads the headline definition finds in each item, for the ENV form and for other words."""
    rule = headline_rule(saliency)
    noun = {n.word: i for i, n in enumerate(contexts.nouns)}
    frame = {f.id: i for i, f in enumerate(contexts.frames)}
    at = ([noun[n] for n in saliency.nouns], [frame[f] for f in saliency.frames])
    count, null = (np.full((len(noun), len(frame)), np.nan) for _ in range(2))
    count[at] = detected(saliency, rule).sum(1)
    room = ~np.isnan(saliency.null_edge).all(1)  # a prompt may have no room for a span as long as the ENV form
    null[at] = np.where(room, detected(saliency, rule, null=True).sum(1), np.nan)
    return {"aggregate_heads": count, "aggregate_heads_null": null}


def _ablation(subject: Subject, mechanism: MechanismOptions) -> dict[str, Items]:
    """[V, K] what cutting the cross-fitted heads, or their controls, adds; empty where no head is to be cut."""
    adapter, saliency = subject.adapter, subject.saliency
    draws, seed, rule = mechanism.draws_for(adapter), mechanism.seed, headline_rule(saliency)
    cells, lists = crossfit_lists(subject, rule, seed, mechanism.nouns_for(adapter))
    if not any(m.any() for m in lists):
        return {}
    options = AblationOptions(rule=rule, draws=draws, seed=seed, batch_tokens=mechanism.batch_tokens)
    tables = CellTables(subject, cells, options)
    before = gain_items(within_cells(subject.table, cells))
    controls, _ = control_draws("layer", lists, cells, saliency, draws, seed)
    cut = _added(before, [tables.under(lists)])
    control = _added(before, [tables.under(sets) for sets in controls])
    return {
        "ablation_surprisal_delta": cut[0],
        "ablation_gain_delta": cut[1],
        "control_surprisal_delta": control[0],
        "control_gain_delta": control[1],
    }


def _added(before: GainItems, tables: list[SurprisalTable]) -> tuple[Items, Items]:
    """Mean over tables of the matched surprisal and of the gain, minus those before."""
    after = [gain_items(t) for t in tables]
    surprisal = np.mean([a.matched for a in after], axis=0) - before.matched
    return surprisal, np.mean([a.gain for a in after], axis=0) - before.gain
