"""The cost of a run: the measures, draws and controls of the same call, from its plan and a batch's time.

Nothing is written. Passes are counted as contexts that run; those of measures that look at heads are the most there can
be, since control sets repeat in small models and nothing is cut where no head is detected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from groundbench.api.adapter import Adapter, ImagePatchable, StartsAtLayer, Untrainable
from groundbench.api.testbed import Testbed
from groundbench.engine.contexts import FormContexts, matched_prompts, of_frames
from groundbench.engine.cost import basis, seconds_per_token
from groundbench.engine.scoring import dry_plan
from groundbench.engine.subject import require_value
from groundbench.engine.traced_scoring import probed_nouns
from groundbench.evaluation.defaults import check_swap_rings, choose_forms, choose_subject, probe_size, resolve
from groundbench.evaluation.form_contexts import form_contexts
from groundbench.evaluation.measures import MEASURES, measures_of_form
from groundbench.evaluation.options import Options
from groundbench.measures.ablation.control_heads import FEW
from groundbench.measures.ablation.folds import make_cells
from groundbench.measures.ablation.instance import GAIN_DRAWS
from groundbench.measures.ablation.instance import MISMATCHES as INSTANCE_MISMATCHES
from groundbench.measures.causal.options import curve_sizes, set_sizes
from groundbench.measures.heads.measure import sampled_items
from groundbench.measures.image.patch_swap import MISMATCHES as SWAP_MISMATCHES
from groundbench.registry import describe_model, open_model

HALF = 0.5
"""Of a pass: a set of heads starts at its lowest layer."""
BACKWARD = 2.0
"""A backward pass costs two forward passes."""
DONORS = 1.25
"""Of a pass of sets of heads: the prompts that give head outputs run beside those that take them."""
RANKED, ORDERED = 0.35, 0.7
"""Of a pass: sets of first-ranked heads start late, those of random orders early (counted on SmolLM2's form `word`)."""
UNTOUCHED = 5
"""Passes of a pair for all sets: both prompts, one with all heads interchanged, and the donors of the two controls."""


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
    """Of scoring: an estimate, see `basis`."""
    cache_bytes: int
    steps: tuple[Step, ...]
    basis: str = ""
    """The basis of the estimated times, for people."""


def dry_run(
    model: str | Adapter,
    testbed: str | Testbed | None = None,
    *,
    options: Options | None = None,
    load: dict[str, Any] | None = None,
    shuffle_forms: bool = False,
    random_weights: bool = False,
    at_least: int | None = None,
    timed: bool = False,
) -> list[DryRun]:
    """Count what a run with these options would do, form by form, and about how long it takes.

    Args:
        timed: open the model and time one batch; by default a large model's weights are not read.

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
        opener=open_model if timed else describe_model,
    )
    options = resolve(options, bed, adapter.info)
    out, forms = [], choose_forms(bed, options.forms, adapter)
    check_swap_rings(options, forms)
    for form in forms:
        contexts = form_contexts(adapter, bed, form, options)
        plan = dry_plan(adapter, contexts, options.batch_tokens)
        first = plan.batches[0]
        per_token = seconds_per_token(adapter, [contexts.rows[i] for i in first.contexts[:16]])
        width = sum(2 * m.n_heads * m.d_head for m in adapter.info.mixers) * 4
        names = measures_of_form(options.measures or (), form, adapter.info)
        planned = Planned(adapter, contexts, options, per_token, plan.tokens, "heads" in names, len(forms))
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
                basis=basis(adapter),
            )
        )
    return out


@dataclass(frozen=True)
class Planned:
    """One form before it is measured."""

    adapter: Adapter
    contexts: FormContexts
    options: Options
    per_token: float
    scoring_tokens: int
    heads_read: bool
    n_forms: int

    @property
    def n_items(self) -> int:
        """Matched prompts."""
        return len(matched_prompts(self.contexts)[0])

    @property
    def length(self) -> float:
        """Mean tokens of a context."""
        return float(np.mean(self.contexts.lengths[self.contexts.distinct]))

    @property
    def after_beginning(self) -> float:
        """The mean part of a matched prompt from its ENV form on: what differs between the prompts of a pair."""
        rows = [self.contexts.rows[i] for i in matched_prompts(self.contexts)[0].tolist()]
        if "prefix" not in self.adapter.info.capabilities:
            return 1.0
        return float(np.mean([1 - min(row.env_positions, default=0) / len(row) for row in rows]))

    def step(self, measure: str, what: str, passes: int, weight: float = 1.0) -> Step:
        """Return a step of so many contexts of mean length, each `weight` times as costly as a forward pass."""
        return Step(measure, what, passes, passes * self.length * weight * self.per_token)


def _gain(p: Planned) -> list[Step]:
    steps = [Step("gain", "every target in every context", len(p.contexts.distinct), p.per_token * p.scoring_tokens)]
    if p.heads_read:
        one = of_frames(p.contexts, np.array([0]), probed_nouns(p.contexts, probe_size(p.adapter.info), p.options.seed))
        steps.append(p.step("gain", "one frame on the path on which heads are read", len(one.distinct)))
    return steps


def _heads(p: Planned) -> list[Step]:
    heads, adapter, most = p.options.heads, p.adapter, sampled_items(p.options.heads)
    n = p.n_items if most is None else min(p.n_items, most)
    weight = 1 + (BACKWARD if heads.denominator == "total" else BACKWARD / p.length)
    steps = [p.step("heads", f"saliency of {n} items ({heads.denominator})", n, weight)]
    if isinstance(adapter, Untrainable):
        steps.append(
            p.step(
                "heads",
                "the same, untrained",
                min(p.n_items, require_value(heads.untrained_items, "untrained_items")),
                weight,
            )
        )
    if isinstance(adapter, StartsAtLayer) and {"hidden", "start_at_layer"} <= adapter.info.capabilities:
        swept = min(p.n_items, require_value(heads.swept_items, "swept_items"))
        rows = adapter.info.n_heads / 2 / p.length  # one token for each head, on average through half of the layers
        steps.append(p.step("heads", f"each of {adapter.info.n_heads} heads alone zeroed", 2 * swept, 1 + rows))
    return steps


def _ablation(p: Planned) -> list[Step]:
    cut = p.options.ablation
    rules = 1 if cut.rule is not None or p.options.heads.denominator == "row" else 2 + cut.gather
    steps = []
    for selection in require_value(cut.selections, "selections"):
        if selection == "crossfit":
            n, controls = _cell_contexts(p), require_value(cut.controls, "controls")
            steps.append(p.step("ablation", f"crossfit, detected heads ({rules} definitions)", rules * n))
            for k, control in enumerate(controls):
                sets = cut.draws_of(control) * (rules if k == 0 else 1)
                sure = cut.every_draw or cut.draws_of(control) <= FEW
                most = "" if sure else "up to "  # fewer where they settle the verdict
                steps.append(p.step("ablation", f"crossfit, {control} control: {most}{sets} draws", sets * n))
        else:
            draws = min(require_value(cut.draws, "draws"), cut.instance_draws)
            pairs = p.n_items * (1 + min(INSTANCE_MISMATCHES, len(p.contexts.nouns) - 1))
            alone = p.n_items * max(0, draws - GAIN_DRAWS)
            n = pairs * (2 + min(draws, GAIN_DRAWS)) + alone
            steps.append(p.step("ablation", f"instance: {rules * draws} draws", rules * n))
    return steps


def _causal(p: Planned) -> list[Step]:
    options, n = p.options.causal, p.adapter.info.n_heads
    kinds, draws, orders = options.rankings, require_value(options.draws, "draws"), options.random_orders
    pairs = _pairs(p)
    sizes, rest = len(curve_sizes(n)), p.after_beginning
    swept, random, knocked, controls = (
        min(pairs, options.most(name) or pairs)
        for name in ("exact_pairs", "random_pairs", "knockout_pairs", "control_pairs")
    )
    same = len(set_sizes(n)) if options.same_pairs else 1
    ranked = 2 * (len(set_sizes(n)) + len(kinds) - 1 + same) + sizes * (len(kinds) + bool(options.same_pairs))
    steps = [p.step("causal", f"contrast of {pairs} pairs", pairs, (2 + BACKWARD) * rest)]
    if "contrast-ig" in kinds:
        steps.append(p.step("causal", "contrast-ig", pairs, (2 + options.points * (1 + BACKWARD)) * rest))
    if "exact" in kinds:
        steps.append(
            p.step("causal", f"each of {n} heads alone interchanged, {swept} pairs", swept * n, HALF * DONORS * rest)
        )
    steps += [
        p.step("causal", "prompts untouched, and with all heads interchanged", UNTOUCHED * pairs, rest),
        p.step("causal", f"{ranked} sets of ranked heads", ranked * pairs, RANKED * DONORS * rest),
        p.step("causal", f"{draws} random draws, {random} pairs", 2 * draws * random, RANKED * DONORS * rest),
        p.step("causal", f"{orders} random orders, {random} pairs", orders * sizes * random, ORDERED * DONORS * rest),
        p.step("causal", f"controls of the same answer and category, {controls} pairs", 7 * controls, rest),
    ]
    if options.knockout:
        windows, short = require_value(options.windows, "windows"), 1 / p.length
        weight = (1 + rest * windows + short * (2 * windows + 1)) / (3 * windows + 2)
        steps.append(p.step("causal", f"edges cut, {knocked} pairs", 2 * knocked * (3 * windows + 2), weight))
    if p.n_forms > 1:
        crossed = min(pairs, options.most("matrix_pairs") or pairs)
        what = f"heads' outputs from {p.n_forms} forms, {crossed} pairs"
        steps.append(p.step("causal", what, crossed * p.n_forms, rest + 1 / p.length))
    return steps


def _pairs(p: Planned) -> int:
    """Count the pairs of all cells, if every item has another noun's prompt of equal length."""
    index, noun = matched_prompts(p.contexts)
    options = p.options.causal
    cells = make_cells(p.contexts, noun, p.contexts.frame[index], p.options.seed, options.most("nouns"))
    most, nested = options.most("frames"), (p.contexts.frame_nouns >= 0).all()
    total = 0
    for cell in cells:
        own = len(cell.frames) / max(1, len(cell.nouns)) if nested else len(cell.frames)
        total += round(len(cell.nouns) * (own if most is None else min(own, most)))
    return min(p.n_items, total)


def _cell_contexts(p: Planned) -> int:
    """Count the contexts of all cross-fitting cells: the cost of one set of heads."""
    index, noun = matched_prompts(p.contexts)
    cells = make_cells(p.contexts, noun, p.contexts.frame[index], p.options.seed, p.options.ablation.n_nouns)
    return sum(len(of_frames(p.contexts, c.frames, c.nouns).distinct) for c in cells)


def _lens(p: Planned) -> list[Step]:
    lens, info = p.options.lens, p.adapter.info
    layers = len(lens.translated_layers(info))
    positions = lens.steps * require_value(lens.batch_positions, "batch_positions")
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
    items = min(p.n_items, require_value(image.items, "items"))
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
