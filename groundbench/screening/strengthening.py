"""Control: heads' outputs multiplied, and whether the model then errs less (protocol §11).

Strengthened are the detected heads; weakened are heads that raise wrong answers over right ones, to first order, on
the `fit` split. The factor is chosen on that split and reported on `test`, beside random heads of the same layers
multiplied alike: any change of a model may help it a little, so only more than chance counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, HeadEdit
from groundbench.api.errors import BadInputError
from groundbench.engine.run_directory import RunStore
from groundbench.measures.ablation.control_heads import different_draws, draw_control, set_rank_p
from groundbench.measures.ablation.head_edits import EditStyle, constant_edit
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.results.risk_card import StrengthenRecord, StrengthRecord
from groundbench.screening.answering import Answers, Asked, ask
from groundbench.screening.error_rates import as_estimated
from groundbench.screening.heads import Head, mask_of
from groundbench.screening.perplexity import UnreadableTextError, perplexity, read_text, text_rows
from groundbench.screening.splits import Splits
from groundbench.stats.grouped import group_numbers, grouped_mean, rate

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
FACTORS = (1.1, 1.25, 1.5, 2.0)
WEAKER = (0.9, 0.75, 0.5, 0.25)
DRAWS = 20


@dataclass(frozen=True)
class StrengthenOptions:
    """By what heads are multiplied: one factor, or the best of several on the `fit` split. Below 1 it weakens them.

    Attributes:
        draws: sets of random heads that the chosen factor is compared with.
        text: a file of ordinary text whose perplexity tells the cost; by default the one that we ship.
    """

    factors: tuple[float, ...] = FACTORS
    draws: int = DRAWS
    text: Path | None = None

    def __post_init__(self) -> None:
        if not self.factors or not all(np.isfinite(f) and f > 0 for f in self.factors):
            raise BadInputError(f"strengthen: found the factors {list(self.factors)}; expected numbers above 0")


@dataclass(frozen=True)
class _Subject:
    """The model to strengthen, its questions and its untouched answers."""

    adapter: Adapter
    asked: Asked
    answers: Answers
    batch_tokens: int
    store: RunStore | None
    advance: Callable[[int], None] | None

    def errors(self, part: Ints, edit: HeadEdit, name: str) -> Bools:
        """Return [part] which questions are answered wrongly under an edit."""
        found = ask(
            self.adapter,
            self.asked.only(part),
            edit=edit,
            batch_tokens=self.batch_tokens,
            store=self.store,
            stage=f"strengthen/{_mark(edit)}-{name}",
            advance=self.advance,
        )
        return found.errors


def strengthen(
    adapter: Adapter,
    asked: Asked,
    answers: Answers,
    splits: Splits,
    heads: Sequence[Head],
    options: StrengthenOptions,
    *,
    seed: int = 0,
    batch_tokens: int,
    store: RunStore | None = None,
    advance: Callable[[int], None] | None = None,
) -> StrengthenRecord:
    """Compare errors before and after, with random heads strengthened alike, and the cost in ordinary text."""
    subject = _Subject(adapter, asked, answers, batch_tokens, store, advance)
    chosen = mask_of(adapter.info, heads)
    paragraphs = read_text(options.text)
    name = "the shipped text" if options.text is None else options.text.name
    try:
        rows, note = text_rows(adapter, paragraphs), None
    except UnreadableTextError as error:
        rows, note = [], f"perplexity was not measured: {error}"

    def cost(edit: HeadEdit | None) -> float | None:
        return perplexity(adapter, rows, edit) if rows else None

    tried = tuple(
        StrengthRecord(
            factor=f, error=float(subject.errors(splits.fit, edit, f"fit-{f:g}").mean()), perplexity=cost(edit)
        )
        for f in options.factors
        for edit in (scale_heads(chosen, f),)
    )
    best = min(tried, key=lambda t: (t.error, abs(t.factor - 1)))
    edit = scale_heads(chosen, best.factor)
    before = answers.errors[splits.test]
    after = subject.errors(splits.test, edit, f"test-{best.factor:g}")
    group = group_numbers([asked.questions[i].group for i in splits.test])
    sets = random_sets(adapter, chosen, options.draws, seed)
    edits = [scale_heads(s, best.factor) for s in sets]
    drawn = [float(subject.errors(splits.test, e, f"random-{best.factor:g}-{i}").mean()) for i, e in enumerate(edits)]
    costs = [cost(e) for e in edits]
    few = f"there are only {len(sets)} different sets of other heads" if len(sets) < options.draws else None
    return StrengthenRecord(
        factor=best.factor,
        n_heads=int(chosen.sum()),
        tried=tried,
        before=as_estimated(rate(before, group)),
        after=as_estimated(rate(after, group)),
        change=as_estimated(grouped_mean(after.astype(float) - before, group, seed)),
        random=tuple(drawn),
        p_rank=set_rank_p(-float(after.mean()), [-d for d in drawn], "layer", [chosen], layers_of(adapter)),
        perplexity_before=cost(None),
        perplexity_after=best.perplexity,
        perplexity_random=tuple(c for c in costs if c is not None),
        text=name,
        note="; ".join(n for n in (note, few) if n) or None,
    )


def raising_heads(wrong: HeadSaliency, right: HeadSaliency, k: int) -> tuple[Head, ...]:
    """Return the k heads that raise given wrong answers most over the right ones, to first order (mean of nats).

    Args:
        wrong, right: of the same questions, saliency for the wrong answer that was given and for the right one.
    """
    raised = (right.signed_row.astype(np.float64) - wrong.signed_row.astype(np.float64)).mean(0)
    first = [i for i in np.argsort(-raised, kind="stable")[:k].tolist() if raised[i] > 0]
    places = zip(wrong.head_layer.tolist(), wrong.head_number.tolist(), strict=True)
    chosen = set(first)
    return tuple(place for i, place in enumerate(places) if i in chosen)


def _mark(edit: HeadEdit) -> str:
    """Return what tells one edit's parts in the store from another's: the factor of each head."""
    return hashlib.sha256(edit.scale.cpu().double().numpy().tobytes()).hexdigest()[:12]


def scale_heads(chosen: Bools, factor: float) -> HeadEdit:
    """Scale these heads' outputs at every position."""
    return constant_edit(chosen, EditStyle("scale", factor=factor))


def layers_of(adapter: Adapter) -> npt.NDArray[np.int64]:
    """Return [heads] the layer of each head."""
    return np.array([n for n, _ in adapter.info.head_index], dtype=np.int64)


def random_sets(adapter: Adapter, chosen: Bools, draws: int, seed: int) -> list[Bools]:
    """Draw up to `draws` different sets of as many other heads of the same layers; fewer if there are no more."""
    layer = layers_of(adapter)
    none = np.zeros(len(chosen))

    def draw(n: int) -> tuple[list[Bools], int]:
        picked, borrowed = draw_control("layer", chosen, layer, none, np.random.default_rng([seed, n]))
        return [picked], borrowed

    return [picked for (picked,), _ in different_draws(draw, draws) if picked.any()]
