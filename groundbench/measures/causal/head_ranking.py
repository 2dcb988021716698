"""Scores of all heads over the pairs of one form: the rankings for each cell, and their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr

from groundbench.api.adapter import HeadEdit
from groundbench.engine.batching import group_alike
from groundbench.engine.contexts import matched_prompts
from groundbench.measures.causal.curve import by_noun
from groundbench.measures.causal.interchange import GROUP
from groundbench.measures.causal.options import Score
from groundbench.measures.causal.scores import can_interpolate, contrast_scores, exact_scores
from groundbench.measures.causal.setting import Setting, first_heads, places
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import headline_rule, shares
from groundbench.measures.heads.saliency_flow import finite_loss
from groundbench.results.causal import Agreement, HeadPlace, HeadScore
from groundbench.util.progress import Progress

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
STRONG = 0.2
"""Of the gain: the least exact effect of a head that is also zeroed, to see whether zeroing would show it."""
OPPOSED = 0.01
"""Of the gain: the least exact effect of a head whose contrast is said to have the other sign."""


@dataclass(frozen=True)
class Scores:
    """[pairs, heads] of each score. `exact` is NaN for pairs that were not swept.

    `share` is [items, heads], and `items` their places among the matched items: all, or a sample of them.
    """

    of_pairs: dict[Score, Floats]
    share: Floats | None
    items: Ints

    def ranking(self, score: Score, setting: Setting, cell: int | None) -> Ints:
        """Heads in order, the first by a score's mean over the pairs opposite to a cell; over all pairs for None."""
        mean = self.mean(score, setting, cell)
        return np.argsort(-np.nan_to_num(mean, nan=-np.inf), kind="stable")

    def mean(self, score: Score, setting: Setting, cell: int | None) -> Floats:
        """Return [heads] mean of a score over the pairs opposite to a cell; over all pairs for None."""
        if score == "share":
            assert self.share is not None
            rows = self.share if cell is None else self.share[setting.cells[cell].cell.fit[self.items]]
        else:
            rows = self.of_pairs[score]
            rows = rows if cell is None else rows[setting.parts[-1 - cell]]
        known = ~np.isnan(rows)
        total = np.where(known, rows, 0.0).sum(0)
        return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def score_heads(setting: Setting, saliency: HeadSaliency | None) -> Scores:
    """Return every score that was asked for and that the model allows."""
    subject, options = setting.subject, setting.options
    adapter, budget = subject.adapter, subject.batch_tokens
    interchanges = [setting.interchange(p).with_first_targets(1) for p in setting.pairs]
    told = [s.identity for s in interchanges]
    found: dict[Score, Floats] = {}
    with Progress(f"{adapter.info.name}: contrast of {subject.contexts.form.name}", len(interchanges)) as bar:
        stage = setting.stage("contrast", told, budget)
        found["contrast"] = contrast_scores(
            adapter, interchanges, batch_tokens=budget, stage=stage, advance=bar.advance
        )
    if "contrast-ig" in options.rankings and can_interpolate(adapter):
        with Progress(f"{adapter.info.name}: contrast-ig of {subject.contexts.form.name}", len(interchanges)) as bar:
            stage = setting.stage("contrast-ig", told, budget, options.points)
            found["contrast-ig"] = contrast_scores(
                adapter, interchanges, points=options.points, batch_tokens=budget, stage=stage, advance=bar.advance
            )
    if "exact" in options.rankings:
        chosen = setting.sample(options.most("exact_pairs"), 27).tolist()
        exact = np.full((len(interchanges), adapter.info.n_heads), np.nan)
        with Progress(f"{adapter.info.name}: single heads of {subject.contexts.form.name}", len(chosen)) as bar:
            stage = setting.stage("exact", [told[i] for i in chosen], budget)
            exact[chosen] = exact_scores(
                adapter, [interchanges[i] for i in chosen], batch_tokens=budget, stage=stage, advance=bar.advance
            )
        found["exact"] = exact
    if saliency is None or "share" not in options.rankings:
        return Scores(found, None, np.array([], dtype=np.int64))
    return Scores(found, shares(saliency, headline_rule(saliency)).share, _items(setting, saliency))


def _items(setting: Setting, saliency: HeadSaliency) -> Ints:
    """Return the places of the saliency's items among the matched ones."""
    contexts = setting.subject.contexts
    index, noun = matched_prompts(contexts)
    named = [
        (contexts.nouns[v].word, contexts.frames[f].id)
        for v, f in zip(noun.tolist(), contexts.frame[index].tolist(), strict=True)
    ]
    place = {name: i for i, name in enumerate(named)}
    return np.array([place[name] for name in zip(saliency.nouns, saliency.frames, strict=True)])


def top_heads(scores: Scores, setting: Setting, score: Score, k: int, *, crossfit: bool = True) -> list[Bools]:
    """Return the first k heads of a ranking, for each cell."""
    return [first_heads(scores.ranking(score, setting, c if crossfit else None), k) for c in range(len(setting.cells))]


def zero_each_head(setting: Setting, scores: Scores, clean: Floats, gains: Floats) -> Floats:
    """[heads] rise of the clean surprisal when a head alone is zeroed everywhere; NaN for heads of little effect."""
    adapter, contexts = setting.subject.adapter, setting.subject.contexts
    found = np.full(adapter.info.n_heads, np.nan)
    if "exact" not in scores.of_pairs:
        return found
    gain = float(by_noun(setting.noun, gains).mean())
    strong: list[int] = []
    if gain > 0:
        strong = np.flatnonzero(scores.mean("exact", setting, None) >= STRONG * gain).tolist()
    pairs = setting.pairs
    swept = np.flatnonzero(~np.isnan(scores.of_pairs["exact"]).all(1)).tolist()
    rows = [contexts.rows[pairs[i].clean] for i in swept]
    budget = setting.subject.batch_tokens
    for head in strong:
        scale = torch.ones(1, adapter.info.n_heads)
        scale[0, head] = 0.0
        zeroed = np.zeros(len(swept))
        for part in group_alike([(len(row),) for row in rows], lambda key: min(GROUP, budget // key[0])):
            own = [pairs[swept[k]] for k in part]
            logits = adapter.forward([rows[k] for k in part], edit=HeadEdit(scale)).logits
            names = [contexts.prompts[p.clean].where for p in own]
            zeroed[part] = finite_loss(logits, [p.target for p in own], names.__getitem__).double().cpu().numpy()
        found[head] = np.mean(zeroed - clean[swept])
    return found


def score_records(setting: Setting, scores: Scores, zeroed: Floats) -> tuple[HeadScore, ...]:
    """Average every score of every head over all pairs; `zeroed` is [heads]."""
    columns: dict[str, Floats] = {s.replace("-", "_"): scores.mean(s, setting, None) for s in scores.of_pairs}
    if scores.share is not None:
        columns["share"] = scores.mean("share", setting, None)
    columns["zeroed"] = zeroed
    made = []
    for i, (layer, head) in enumerate(setting.subject.adapter.info.head_index):
        own = {n: None if np.isnan(v[i]) else float(v[i]) for n, v in columns.items()}
        made.append(HeadScore(layer=layer, head=head, **own))
    return tuple(made)


def agreement(setting: Setting, scores: Scores, kinds: Sequence[Score]) -> tuple[Agreement, ...]:
    """Rank correlations of every two scores."""
    means = {s: scores.mean(s, setting, None) for s in kinds}
    found = []
    for i, a in enumerate(kinds):
        for b in kinds[i + 1 :]:
            known = ~(np.isnan(means[a]) | np.isnan(means[b]))
            value = spearmanr(means[a][known], means[b][known]).statistic if known.sum() > 2 else np.nan
            found.append(Agreement(first=a, second=b, rank_correlation=None if np.isnan(value) else float(value)))
    return tuple(found)


def opposed_heads(setting: Setting, scores: Scores, gains: Floats) -> tuple[HeadPlace, ...]:
    """Find heads of some effect whose contrast and exact effect differ in sign; `gains` is [pairs], in nats."""
    if "exact" not in scores.of_pairs:
        return ()
    exact, contrast = (scores.mean(s, setting, None) for s in ("exact", "contrast"))
    least = OPPOSED * abs(float(by_noun(setting.noun, gains).mean()))
    return places(setting, (np.abs(exact) >= least) & (exact * contrast < 0))
