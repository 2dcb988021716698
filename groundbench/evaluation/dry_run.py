"""The cost of a run: the measures, draws and controls of the same call, from its plan and one timed batch.

Nothing is written. Passes are counted as contexts that run; those of measures that look at heads are the most there can
be, since control sets repeat in small models and nothing is cut where no head is detected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from groundbench.api.adapter import Adapter, ImagePatchable, StartsAtLayer, Untrainable
from groundbench.api.testbed import Testbed
from groundbench.engine.contexts import Contexts, matched, of_frames
from groundbench.engine.scoring import dry_plan
from groundbench.engine.subject import resolved
from groundbench.evaluation.defaults import check_swap_rings, choose_forms, choose_subject, resolve
from groundbench.evaluation.form_contexts import form_contexts
from groundbench.evaluation.measures import MEASURES, measures_of_form
from groundbench.evaluation.options import Options
from groundbench.measures.ablation.folds import make_cells
from groundbench.measures.ablation.instance import GAIN_DRAWS
from groundbench.measures.ablation.instance import MISMATCHES as INSTANCE_MISMATCHES
from groundbench.measures.causal.options import curve_sizes, set_sizes
from groundbench.measures.image.patch_swap import MISMATCHES as SWAP_MISMATCHES

HALF = 0.5
"""Of a pass: a set of heads starts at its lowest layer."""
BACKWARD = 2.0
"""A backward pass costs two forward passes."""


@dataclass(frozen=True)
class Step:
    """One part of a measure: `passes` contexts run at most; `seconds` is estimated, null where nothing is known."""

    measure: str
    what: str
    passes: int | None
    seconds: float | None


@dataclass(frozen=True)
class DryRun:
    """The cost of one form: the scoring's contexts, batches and tokens, and the steps of all its measures."""

    form: str
    n_nouns: int
    n_frames: int
    contexts: int
    batches: int
    tokens: int
    seconds: float
    """Of scoring: an estimate from timing the first (longest) batch."""
    cache_bytes: int
    steps: tuple[Step, ...]


def dry_run(
    model: str | Adapter,
    testbed: str | Testbed | None = None,
    *,
    options: Options | None = None,
    load: dict[str, Any] | None = None,
    shuffle_forms: bool = False,
    random_weights: bool = False,
    at_least: int | None = None,
) -> list[DryRun]:
    """Count what a run with these options would do, form by form, and about how long it takes.

    Raises:
        BadInputError: as the run itself.
    """
    options = options or Options()
    adapter, bed = choose_subject(
        model,
        testbed,
        load,
        options.seed,
        shuffle_forms,
        random_weights,
        folder=options.corpus_folder,
        at_least=at_least,
        forms=options.forms,
    )
    options = resolve(options, bed, adapter.info)
    out, forms = [], choose_forms(bed, options.forms, adapter)
    check_swap_rings(options, forms)
    for form in forms:
        contexts = form_contexts(adapter, bed, form, options)
        plan = dry_plan(adapter, contexts, options.batch_tokens)
        first = plan.batches[0]
        per_token = _seconds_per_token(adapter, contexts, first.contexts[:16])
        width = sum(2 * m.n_heads * m.d_head for m in adapter.info.mixers) * 4
        names = measures_of_form(options.measures or (), form, adapter.info)
        planned = Planned(adapter, contexts, options, per_token, plan.tokens, "heads" in names)
        out.append(
            DryRun(
                form=form.name,
                n_nouns=len(contexts.nouns),
                n_frames=len(contexts.frames),
                contexts=len(contexts.distinct),
                batches=len(plan.batches),
                tokens=plan.tokens,
                seconds=per_token * plan.tokens,
                cache_bytes=width * max(len(b.contexts) * len(contexts.rows[b.contexts[0]]) for b in plan.batches),
                steps=tuple(step for name in names for step in _steps(name, planned)),
            )
        )
    return out


def _seconds_per_token(adapter: Adapter, contexts: Contexts, some: tuple[int, ...]) -> float:
    rows = [contexts.rows[i] for i in some]
    adapter.forward(rows)
    started = time.perf_counter()
    adapter.forward(rows)
    return (time.perf_counter() - started) / (len(rows) * len(rows[0]))


@dataclass(frozen=True)
class Planned:
    """One form before it is measured."""

    adapter: Adapter
    contexts: Contexts
    options: Options
    per_token: float
    scoring_tokens: int
    heads_read: bool

    @property
    def n_items(self) -> int:
        """Matched prompts."""
        return len(matched(self.contexts)[0])

    @property
    def length(self) -> float:
        """Mean tokens of a context."""
        return float(np.mean([len(self.contexts.rows[i]) for i in self.contexts.distinct]))

    def step(self, measure: str, what: str, passes: int, weight: float = 1.0) -> Step:
        """Return a step of so many contexts of mean length, each `weight` times as costly as a forward pass."""
        return Step(measure, what, passes, passes * self.length * weight * self.per_token)


def _gain(p: Planned) -> list[Step]:
    steps = [Step("gain", "every target in every context", len(p.contexts.distinct), p.per_token * p.scoring_tokens)]
    if p.heads_read:
        one = of_frames(p.contexts, np.array([0]))
        steps.append(p.step("gain", "one frame on the path on which heads are read", len(one.distinct)))
    return steps


def _heads(p: Planned) -> list[Step]:
    heads, adapter, n = p.options.heads, p.adapter, p.n_items
    weight = 1 + (BACKWARD if heads.denominator == "total" else BACKWARD / p.length)
    steps = [p.step("heads", f"saliency of every item ({heads.denominator})", n, weight)]
    if isinstance(adapter, Untrainable):
        steps.append(p.step("heads", "the same, untrained", min(n, heads.untrained_items), weight))
    if isinstance(adapter, StartsAtLayer) and {"hidden", "start_at_layer"} <= adapter.info.capabilities:
        swept = min(n, resolved(heads.swept_items, "swept_items"))
        rows = adapter.info.n_heads / 2 / p.length  # one token for each head, on average through half of the layers
        steps.append(p.step("heads", f"each of {adapter.info.n_heads} heads alone zeroed", 2 * swept, 1 + rows))
    return steps


def _ablation(p: Planned) -> list[Step]:
    cut = p.options.ablation
    rules = 1 if cut.rule is not None or p.options.heads.denominator == "row" else 2 + cut.gather
    steps = []
    for selection in resolved(cut.selections, "selections"):
        if selection == "crossfit":
            n, controls = _cell_contexts(p), resolved(cut.controls, "controls")
            steps.append(p.step("ablation", f"crossfit, detected heads ({rules} definitions)", rules * n))
            for k, control in enumerate(controls):
                sets = cut.draws_of(control) * (rules if k == 0 else 1)
                steps.append(p.step("ablation", f"crossfit, {control} control: {sets} draws", sets * n))
        else:
            draws = min(resolved(cut.draws, "draws"), cut.instance_draws)
            pairs = p.n_items * (1 + min(INSTANCE_MISMATCHES, len(p.contexts.nouns) - 1))
            alone = p.n_items * max(0, draws - GAIN_DRAWS)
            n = pairs * (2 + min(draws, GAIN_DRAWS)) + alone
            steps.append(p.step("ablation", f"instance: {rules * draws} draws", rules * n))
    return steps


def _causal(p: Planned) -> list[Step]:
    options, info = p.options.causal, p.adapter.info
    draws, orders = resolved(options.draws, "draws"), options.random_orders
    nouns, frames = options.most("nouns") or len(p.contexts.nouns), options.most("frames")
    pairs = min(p.n_items, nouns * (frames or len(p.contexts.frames)))
    swept = min(pairs, options.most("exact_pairs") or pairs)
    n = info.n_heads
    sets = 2 * (2 * len(set_sizes(n)) + len(options.scores) + draws) * HALF + len(curve_sizes(n)) * (
        (len(options.scores) + 1) * HALF + orders
    )
    grads = 2 + BACKWARD + (options.points * (1 + BACKWARD) if "contrast-ig" in options.scores else 0)
    return [
        p.step("causal", f"contrast of {pairs} pairs", pairs, grads),
        p.step("causal", f"each of {n} heads alone exchanged, {swept} pairs", swept, n * HALF),
        p.step("causal", f"sets, {draws} random draws and curves", pairs, sets),
    ]


def _cell_contexts(p: Planned) -> int:
    """Count the contexts of all cross-fitting cells: the cost of one set of heads."""
    index, noun = matched(p.contexts)
    cells = make_cells(p.contexts, noun, p.contexts.frame[index], p.options.seed, p.options.ablation.n_nouns)
    return sum(len(of_frames(p.contexts, c.frames, c.nouns).distinct) for c in cells)


def _lens(p: Planned) -> list[Step]:
    lens, info = p.options.lens, p.adapter.info
    layers = len(lens.translated(info))
    positions = lens.steps * resolved(lens.batch_positions, "batch_positions")
    # a position of a step costs each layer's translator and unembedding, forward and backward, against all parameters
    share = layers * info.d_model * (info.d_model + info.vocab_size) / max(1, info.parameters)
    trained = (lens.positions + positions * share * (1 + BACKWARD)) * p.per_token
    reading = p.scoring_tokens * (1 + 2 * layers * info.d_model * info.vocab_size / max(1, info.parameters) / p.length)
    return [
        Step(
            "lens", f"training: {lens.steps} steps for {layers} layers", -(-lens.positions // lens.row_length), trained
        ),
        Step("lens", "reading every layer", len(p.contexts.distinct), reading * p.per_token),
    ]


def _image(p: Planned) -> list[Step]:
    image = p.options.image
    if not isinstance(p.adapter, ImagePatchable):
        return []
    regions = 1 + (len(image.swap_rings) + 1 if image.swap_rings else 0)
    items = min(p.n_items, resolved(image.items, "items"))
    pairs = items * min(SWAP_MISMATCHES, len(p.contexts.nouns) - 1)
    return [p.step("image", f"swap test: {items} items, {regions} regions", 2 * pairs * regions)]


COSTS: dict[str, Callable[[Planned], list[Step]]] = {
    "gain": _gain,
    "heads": _heads,
    "causal": _causal,
    "ablation": _ablation,
    "lens": _lens,
    "image": _image,
}
"""A measure that has no entry is listed without a cost."""


def _steps(name: str, planned: Planned) -> list[Step]:
    assert name in MEASURES
    cost = COSTS.get(name)
    return [Step(name, "not estimated", None, None)] if cost is None else cost(planned)
