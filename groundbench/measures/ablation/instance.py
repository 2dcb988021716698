"""The paper's intervention: heads detected in an item are cut for that item (protocol §11, `instance`).

Selection-biased: the heads are chosen with the item's own label, and to first order the loss added by zeroing a head
is minus its signed saliency row. Read it beside `crossfit`, which is free of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.engine.contexts import FormContexts, matched_prompts, of_pairs, sample_mismatches
from groundbench.engine.scoring import score
from groundbench.engine.subject import Subject, require_value
from groundbench.measures.ablation.control_heads import draw_control, set_rank_p
from groundbench.measures.ablation.crossfit import Bools, Floats, mean
from groundbench.measures.ablation.head_edits import constant_edit
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.gain.measure import item_columns, noun_means
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import detect_heads, headline_rule
from groundbench.results.base import flat
from groundbench.results.run import AblationRecord
from groundbench.stats.significance import clustered_ratio, clustered_test

Ints = npt.NDArray[np.int64]
MISMATCHES = 4
GAIN_DRAWS = 2
ROUNDING = 1e-5
"""Of the largest surprisal: differences of gains below this are rounding of a model that grounds nothing."""
NOTE = "selection-biased: heads are detected with the item's own label"


@dataclass(frozen=True)
class _Pairs:
    """Every item's matched context and M mismatched ones; `item` [pairs] says whose they are."""

    contexts: FormContexts
    item: Ints
    noun: Ints
    column: Ints
    shape: tuple[int, int]
    nested: bool


def instance(subject: Subject, saliency: HeadSaliency, options: AblationOptions) -> AblationRecord:
    """Edit each item's own detected heads, against layer-matched controls of equal size: surprisal and gain.

    Matched surprisal is over all items and draws, the gain over a seeded sample of 4 mismatches for each item (and,
    for the controls, over the first two draws). Items without a detected head stay unchanged and are counted.
    """
    if options.edit.mode not in ("zero", "scale"):
        raise BadInputError(f"the selection 'instance' cannot {options.edit.mode} heads: expected zero or scale")
    rule = options.rule or headline_rule(saliency)
    found = detect_heads(saliency, rule)
    pairs = _pairs(subject, saliency)

    def under(masks: Bools, pairs: _Pairs, stage: str) -> tuple[Floats, Floats]:
        style = options.edit
        how = f"{style.mode}-{style.positions}" if style.factor is None else f"scale-{style.factor:g}-{style.positions}"
        heads = rule.denominator if rule.kind == "aggregate" else f"{rule.kind}-{rule.denominator}"
        where = f"ablation/{subject.table.form}/instance/{heads}/{how}/{stage}"
        if stage == "original":
            where = f"ablation/{subject.table.form}/instance/original"
        return _measure(subject, pairs, masks, options, where)

    before, before_gain = under(np.zeros_like(found), pairs, "original")  # the same whatever the rule
    after, after_gain = under(found, pairs, "cut")
    alone = _matched_only(pairs)
    surprisals, gains, borrowed = [], [], 0
    for d in range(min(require_value(options.draws, "draws"), options.instance_draws)):
        masks, lent = _control_masks(found, saliency, np.random.default_rng([subject.seed, d]))
        borrowed += lent
        surprisal, gain = under(masks, pairs if d < GAIN_DRAWS else alone, f"layer-{d:03d}")
        surprisals.append(surprisal)
        gains += [gain] if d < GAIN_DRAWS else []
    control = np.mean(surprisals, axis=0)
    harm = np.array([np.nanmean(s) for s in surprisals])
    cut = float(np.nanmean(after))
    removed = clustered_ratio(before_gain - after_gain, before_gain, nested=pairs.nested)
    return AblationRecord(
        kind=rule.kind,
        selection="instance",
        denominator=rule.denominator,
        control="layer",
        mode=options.edit.mode,
        factor=options.edit.factor,
        positions=options.edit.positions,
        n_draws=len(surprisals),
        n_heads=float(found.sum(1).mean()),
        n_no_head=int((~found.any(1)).sum()),
        n_borrowed=borrowed,
        original=mean(before),
        ablated=cut,
        control_mean=mean(control),
        control_draws=tuple(float(h) for h in harm),
        gain_original=mean(noun_means(before_gain)),
        gain_ablated=mean(noun_means(after_gain)),
        gain_control=mean(noun_means(np.mean(gains, axis=0))),
        gain_control_draws=tuple(float(np.nanmean(g)) for g in gains),
        **flat("gain_removed", removed),
        p_cluster=_p_of_gain(after_gain, np.mean(gains, axis=0), before, pairs.nested),
        p_surprisal=clustered_test(after - control, nested=pairs.nested).p,
        p_rank=set_rank_p(cut, harm, "layer", list(found), saliency.head_layer.astype(np.int64)),
        note=NOTE,
    )


def _p_of_gain(cut: Floats, control: Floats, surprisal: Floats, nested: bool) -> float | None:
    """Return the clustered p of the gain under the cut against that under the controls.

    None where both differ by rounding.
    """
    gap = cut - control
    if not (np.abs(gap) > ROUNDING * np.nanmax(np.abs(surprisal))).any():
        return None
    return clustered_test(gap, nested=nested).p


def _pairs(subject: Subject, saliency: HeadSaliency) -> _Pairs:
    contexts = subject.contexts
    index, noun = matched_prompts(contexts)
    order = _item_order(contexts, saliency, index, noun)
    index, noun = index[order], noun[order]
    m = min(MISMATCHES, len(contexts.nouns) - 1)
    others = sample_mismatches(noun, len(contexts.nouns), m, subject.seed)
    frame = contexts.frame[index]
    context, item = [], []
    for i in range(len(index)):
        for u in (int(noun[i]), *others[i].tolist()):
            if (int(frame[i]), u) in contexts.place:  # per-noun frames under a sample of mismatches lack some
                context.append(contexts.place[int(frame[i]), u])
                item.append(i)
    items = np.array(item)
    column, width = item_columns(subject.table)
    return _Pairs(
        contexts=of_pairs(contexts, np.array(context), noun[items]),
        item=items,
        noun=noun,
        column=column[frame],
        shape=(len(contexts.nouns), width),
        nested=subject.table.frame_kind == "per-noun",
    )


def _matched_only(pairs: _Pairs) -> _Pairs:
    """Return the matched contexts alone."""
    own = np.flatnonzero(pairs.contexts.env == pairs.noun[pairs.item])
    contexts = of_pairs(pairs.contexts, own, pairs.noun[pairs.item[own]])
    return replace(pairs, contexts=contexts, item=pairs.item[own])


def _control_masks(found: Bools, saliency: HeadSaliency, rng: np.random.Generator) -> tuple[Bools, int]:
    """Return a layer-matched control set for each item, and how many heads were borrowed from other layers."""
    layer = saliency.head_layer.astype(np.int64)
    masks, borrowed = np.zeros_like(found), 0
    for i, chosen in enumerate(found):
        masks[i], lent = draw_control("layer", chosen, layer, np.zeros(len(chosen)), rng)
        borrowed += lent
    return masks, borrowed


def _item_order(contexts: FormContexts, saliency: HeadSaliency, index: Ints, noun: Ints) -> Ints:
    """Return matched contexts in the order of the saliency's items."""
    place = {
        (contexts.nouns[v].word, contexts.frames[contexts[i].frame].id): k
        for k, (i, v) in enumerate(zip(index, noun, strict=True))
    }
    return np.array([place[n, f] for n, f in zip(saliency.nouns, saliency.frames, strict=True)])


def _measure(
    subject: Subject, pairs: _Pairs, masks: Bools, options: AblationOptions, stage: str
) -> tuple[Floats, Floats]:
    """Return [V, K] matched surprisal and gain of every item, with each item's own mask on all of its contexts."""
    if subject.advance is not None:
        subject.advance(1)
    edit = constant_edit(masks[pairs.item], options.edit)
    table = score(
        subject.adapter,
        pairs.contexts,
        batch_tokens=subject.batch_tokens,
        edit=edit,
        store=subject.store,
        stage=stage,
    )
    own = pairs.contexts.env == pairs.noun[pairs.item]
    n = len(pairs.noun)
    matched_s = np.full(n, np.nan)
    matched_s[pairs.item[own]] = table.surprisal[own]
    other = np.bincount(pairs.item[~own], table.surprisal[~own] - matched_s[pairs.item[~own]], minlength=n)
    count = np.bincount(pairs.item[~own], minlength=n)
    gain = np.divide(other, count, out=np.full(n, np.nan), where=count > 0)
    out = np.full((2, *pairs.shape), np.nan)
    out[0, pairs.noun, pairs.column], out[1, pairs.noun, pairs.column] = matched_s, gain
    return out[0], out[1]
