"""One form of a testbed measured on one model, item by item: the answers to `grounding_probe` requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter
from groundbench.engine.contexts import FormContexts, build_contexts
from groundbench.engine.scoring import score
from groundbench.engine.subject import Subject
from groundbench.evaluation.defaults import resolve_ablation, resolve_heads
from groundbench.integrations.lm_eval.documents import select
from groundbench.measures.ablation.crossfit import (
    CellTables,
    crossfit_lists,
    cut_controls,
    mean,
    within_cells,
)
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.gain.measure import GainItems, gain_items, noun_means
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import detect_heads, headline_rule
from groundbench.measures.heads.measure import read_saliency
from groundbench.measures.heads.options import HeadOptions

Items = npt.NDArray[np.float64]
Measured = dict[tuple[str, str], dict[str, float]]


def probe_form(adapter: Adapter, spec: Mapping[str, Any], batch_tokens: int) -> Measured:
    """Map (frame, noun) to the item's metrics, in nats and heads, as `run --measure ablation` averages them.

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
    if "hooks" in adapter.info.capabilities:
        subject = Subject(adapter, contexts, table, seed=spec["seed"], batch_tokens=batch_tokens)
        saliency = read_saliency(subject, resolve_heads(HeadOptions(), adapter.info, every_item=True))
        found |= _heads(contexts, saliency)
        found |= _ablation(subject, saliency, resolve_ablation(AblationOptions(draws=spec["draws"]), adapter.info))
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


def _heads(contexts: FormContexts, saliency: HeadSaliency) -> dict[str, Items]:
    """Return [V, K] how many heads the headline definition finds in each item, for the ENV form and for other words."""
    rule = headline_rule(saliency)
    noun = {n.word: i for i, n in enumerate(contexts.nouns)}
    frame = {f.id: i for i, f in enumerate(contexts.frames)}
    at = ([noun[n] for n in saliency.nouns], [frame[f] for f in saliency.frames])
    count, null = (np.full((len(noun), len(frame)), np.nan) for _ in range(2))
    count[at] = detect_heads(saliency, rule).sum(1)
    room = ~np.isnan(saliency.null_edge).all(1)  # a prompt may have no room for a span as long as the ENV form
    null[at] = np.where(room, detect_heads(saliency, rule, null=True).sum(1), np.nan)
    return {"aggregate_heads": count, "aggregate_heads_null": null}


def _ablation(subject: Subject, saliency: HeadSaliency, options: AblationOptions) -> dict[str, Items]:
    """Return [V, K] what cutting the cross-fitted heads, or their controls, adds; empty where no head is to be cut."""
    cells, lists = crossfit_lists(subject, saliency, headline_rule(saliency), options.n_nouns)
    if not any(m.any() for m in lists):
        return {}
    tables = CellTables(subject, saliency, cells, options.edit)
    before = gain_items(within_cells(subject.table, cells))
    after = gain_items(tables.under(lists))
    cut = _differences(before, [after])
    control = _differences(before, cut_controls("layer", lists, tables, options, mean(noun_means(after.gain))).items)
    return {
        "ablation_surprisal_delta": cut[0],
        "ablation_gain_delta": cut[1],
        "control_surprisal_delta": control[0],
        "control_gain_delta": control[1],
    }


def _differences(before: GainItems, after: list[GainItems]) -> tuple[Items, Items]:
    """Compute the mean over draws of the matched surprisal and of the gain, minus those before."""
    surprisal = np.mean([a.matched for a in after], axis=0) - before.matched
    return surprisal, np.mean([a.gain for a in after], axis=0) - before.gain
