"""Mechanism and cause for one ENV form: saliency, heads, ablation, lens, in that order (protocol §8-§11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import JsonValue

from groundbench.api.adapter import Adapter, Restartable, Untrainable
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.engine import distributed as processes
from groundbench.engine.contexts import Contexts
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.measures.ablation.crossfit import CONTROLS, AblationOptions, Subject, crossfit
from groundbench.measures.ablation.head_edits import EditStyle
from groundbench.measures.ablation.instance import instance
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import HeadRule, all_head_records, headline_rule
from groundbench.measures.heads.saliency import Loss, SaliencyItem, SaliencyOptions, matched_items, measure_saliency
from groundbench.measures.heads.single_heads import sweep_heads
from groundbench.measures.image.options import ImageOptions
from groundbench.measures.lens.options import LensOptions
from groundbench.results.run import AblationRecord, Control, Denominator, HeadsRecord, Selection
from groundbench.util.atomic_files import file_name
from groundbench.util.progress import Progress

SMALL = 30_000_000
"""Models of fewer parameters get the costlier defaults: `total` saliency, both selections, 99 draws, all nouns."""
UNTRAINED_ITEMS = 200
SWAPPED_ITEMS = 200
SWAPPED_ITEMS_OF_LARGE = 64
"""Items of the swap test of images."""
SWEPT_ITEMS = 64
SWEPT_ITEMS_OF_LARGE = 32
ABLATION_NOUNS = 40
"""Of models that are not small, heads are cut on a sample of this many nouns, each in half of the frames."""
MIN_ABLATION_NOUNS = 4
"""Two in each half: a gain needs a mismatch."""


@dataclass(frozen=True)
class MechanismOptions:
    """What is measured of the heads; None stands for the default by the model's size.

    Attributes:
        denominator: `total` measures the whole of every head (and gather heads) besides the prediction row.
        selections: `crossfit` (the headline) and `instance` (the paper's, selection-biased).
        controls: which control sets; the first is the headline's.
        draws: control draws; 99 for small models, 20 for others; `instance_draws` for the `instance` selection.
        ablation_nouns: cross-fitted heads are cut on a seeded sample of this many nouns, each in one half of the shared
            frames, or on `all` items; all for small models, 40 nouns for others.
        gather: also cut gather heads, where `total` saliency is measured; aggregate heads are always cut.
        loss: saliency is of the surprisal of the target's `first` token, or of `all` of them.
        swap_rings: of pictures, also exchange the object's box with so many rings of patches around it, for each of
            these numbers, and the whole picture; none by default: the box alone.
        style: what is done to the heads: zero, mean, resample or scale; at all positions or the last.
    """

    denominator: Denominator | None = None
    selections: tuple[Selection, ...] | None = None
    controls: tuple[Control, ...] | None = None
    draws: int | None = None
    instance_draws: int = 20
    ablation_nouns: int | Literal["all"] | None = None
    gather: bool = False
    loss: Loss = "first"
    swap_rings: tuple[int, ...] = ()
    style: EditStyle = field(default_factory=EditStyle)
    lens: LensOptions = field(default_factory=LensOptions)
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS

    def __post_init__(self) -> None:
        for control in self.controls or ():
            if control not in CONTROLS:
                raise BadInputError(f"unknown control {control!r}: expected some of {', '.join(CONTROLS)}")
        if self.selections == ("instance",) and self.style.mode not in ("zero", "scale"):
            raise BadInputError(f"the selection 'instance' cannot {self.style.mode} heads: expected zero or scale")
        if any(rings < 1 for rings in self.swap_rings) or len(set(self.swap_rings)) < len(self.swap_rings):
            raise BadInputError(
                f"swap_rings is {', '.join(map(str, self.swap_rings))}; expected different whole numbers from 1 on "
                "(the box alone is always exchanged)"
            )
        if isinstance(self.ablation_nouns, int) and self.ablation_nouns < MIN_ABLATION_NOUNS:
            raise BadInputError(
                f"ablation_nouns is {self.ablation_nouns}; expected at least {MIN_ABLATION_NOUNS} or all"
            )

    def denominator_for(self, adapter: Adapter) -> Denominator:
        """`total` for small models, `row` where size matters (protocol §8)."""
        return self.denominator or ("total" if adapter.info.parameters < SMALL else "row")

    def saliency_for(self, adapter: Adapter) -> SaliencyOptions:
        """How the saliency of this model is measured."""
        return SaliencyOptions(denominator=self.denominator_for(adapter), loss=self.loss, seed=self.seed)

    def image_for(self, adapter: Adapter) -> ImageOptions:
        """How the image forms of this model are measured."""
        return ImageOptions(
            saliency=self.saliency_for(adapter),
            swap_rings=self.swap_rings,
            items=SWAPPED_ITEMS if adapter.info.parameters < SMALL else SWAPPED_ITEMS_OF_LARGE,
            seed=self.seed,
            batch_tokens=self.batch_tokens,
        )

    def record_for(self, adapter: Adapter) -> dict[str, JsonValue]:
        """The choices that decide the numbers of heads and ablations, as they stand in a result's `protocol`."""
        return {
            "denominator": self.denominator_for(adapter),
            "loss": self.loss,
            "selections": list(self.selections_for(adapter)),
            "controls": list(self.controls_for(adapter)),
            "draws": self.draws_for(adapter),
            "instance_draws": min(self.draws_for(adapter), self.instance_draws),
            "ablation_nouns": self.nouns_for(adapter) or "all",
            "gather": self.gather,
            "edit": self.style.mode,
            "factor": self.style.factor,
            "positions": self.style.positions,
            "seed": self.seed,
            **({"swap_rings": list(self.swap_rings)} if self.swap_rings else {}),
        }

    def selections_for(self, adapter: Adapter) -> tuple[Selection, ...]:
        """Both for small models; `instance` costs five scoring passes for each draw."""
        if self.selections is not None:
            return self.selections
        cheap = adapter.info.parameters < SMALL and self.style.mode in ("zero", "scale")
        return ("crossfit", "instance") if cheap else ("crossfit",)

    def controls_for(self, adapter: Adapter) -> tuple[Control, ...]:
        """All three for small models; for others layer-matched (the headline) and saliency-matched (one draw)."""
        if self.controls is not None:
            return self.controls
        return CONTROLS if adapter.info.parameters < SMALL else ("layer", "saliency")

    def draws_for(self, adapter: Adapter) -> int:
        """99 for small models, 20 for others (protocol §11)."""
        return self.draws or (99 if adapter.info.parameters < SMALL else 20)

    def nouns_for(self, adapter: Adapter) -> int | None:
        """The size of the sample of nouns that cross-fitted heads are cut on; None for all."""
        if self.ablation_nouns is not None:
            return None if self.ablation_nouns == "all" else self.ablation_nouns
        return None if adapter.info.parameters < SMALL else ABLATION_NOUNS


class Reference:
    """The same architecture with random weights, made when it is first needed and then kept for all forms."""

    def __init__(self, adapter: Adapter, seed: int) -> None:
        self.of, self.seed = adapter, seed

    @cached_property
    def adapter(self) -> Adapter | None:
        """The untrained model; None if it cannot be made (a quantized model's weights cannot be drawn)."""
        try:
            return self.of.untrained(self.seed) if isinstance(self.of, Untrainable) else None
        except UnsupportedModelError:
            return None


def saliency_of(
    adapter: Adapter, contexts: Contexts, options: MechanismOptions, store: RunStore | None
) -> HeadSaliency:
    """The saliency of every matched item; read from the run directory where it is there already."""
    path = None if store is None else _saliency_path(store, contexts, options.saliency_for(adapter))
    team = processes.current()
    kept = team.from_first(lambda: HeadSaliency.load(path) if path is not None and path.exists() else None)
    if kept is not None:
        return kept
    items = matched_items(contexts)
    with Progress(f"{adapter.info.name}: saliency of {contexts.form.name}", len(items)) as bar:
        found = measure_saliency(adapter, items, options.saliency_for(adapter), bar.advance)
    if path is not None and team.first:
        found.save(path)
    return found


def _saliency_path(store: RunStore, contexts: Contexts, options: SaliencyOptions) -> Path:
    how = [options.denominator, *(["all-tokens"] if options.loss == "all" else [])]
    how += [f"seed-{options.seed}"] if options.seed else []
    return store.directory / "parts" / "saliency" / file_name(f"{'-'.join([contexts.form.name, *how])}.npz")


def untrained_saliency(reference: Reference, contexts: Contexts, options: MechanismOptions) -> HeadSaliency | None:
    """The same architecture with random weights, on a seeded sample of 200 items; None if it cannot be made."""
    adapter = reference.adapter
    if adapter is None:
        return None
    items = _sample(matched_items(contexts), UNTRAINED_ITEMS, options.seed)
    with Progress(f"{reference.of.info.name}: the same, untrained", len(items)) as bar:
        return measure_saliency(
            adapter,
            items,
            options.saliency_for(reference.of),
            bar.advance,
        )


def heads_of(
    adapter: Adapter, contexts: Contexts, saliency: HeadSaliency, options: MechanismOptions, reference: Reference
) -> tuple[HeadsRecord, ...]:
    """Head counts under every standard definition, the headline first, with their references (protocol §10).

    The headline's heads also carry what each does alone (`effect`), at the prediction position, on 64 seeded items
    (32 of a model that is not small).
    """
    headline, *others = all_head_records(saliency, untrained_saliency(reference, contexts, options))
    effects = single_head_effects(adapter, contexts, options)
    if effects is not None:
        by_head = tuple(c.model_copy(update={"effect": effects[c.layer, c.head]}) for c in headline.by_head)
        headline = headline.model_copy(update={"by_head": by_head})
    return (headline, *others)


def single_head_effects(
    adapter: Adapter, contexts: Contexts, options: MechanismOptions
) -> dict[tuple[int, int], float] | None:
    """(layer, head) -> mean rise of matched surprisal when it alone is zeroed; None if the model cannot be swept."""
    if not isinstance(adapter, Restartable) or not {"hidden", "restart"} <= adapter.info.capabilities:
        return None
    most = SWEPT_ITEMS if adapter.info.parameters < SMALL else SWEPT_ITEMS_OF_LARGE
    items = _sample(matched_items(contexts), most, options.seed)
    with Progress(f"{adapter.info.name}: single heads", len(items)) as bar:
        effects = sweep_heads(adapter, items, batch_tokens=options.batch_tokens, advance=bar.advance).mean(0)
    return dict(zip(adapter.info.head_index, effects.tolist(), strict=True))


def _sample(items: list[SaliencyItem], most: int, seed: int) -> list[SaliencyItem]:
    chosen = np.sort(np.random.default_rng(seed).permutation(len(items))[:most])
    return [items[i] for i in chosen]


def ablations_of(
    adapter: Adapter,
    contexts: Contexts,
    table: SurprisalTable,
    saliency: HeadSaliency,
    options: MechanismOptions,
    store: RunStore | None,
) -> tuple[AblationRecord, ...]:
    """Cross-fitted records (the headline: layer-matched), then those by `total`, then the paper's `instance`.

    In each, gather heads come last, if they are asked for.
    """
    draws = options.draws_for(adapter)
    base = AblationOptions(
        style=options.style,
        draws=draws,
        controls=options.controls_for(adapter),
        nouns=options.nouns_for(adapter),
        seed=options.seed,
        batch_tokens=options.batch_tokens,
    )
    rules = [replace(headline_rule(saliency), denominator=d) for d in saliency.denominators]
    if options.gather and "total" in saliency.denominators:
        rules.append(HeadRule("gather", "total"))
    jobs = [_job(selection, rule, base, options) for selection in options.selections_for(adapter) for rule in rules]
    with Progress(f"{adapter.info.name}: ablation of {contexts.form.name} (passes)", 0) as bar:
        subject = Subject(adapter, contexts, table, saliency, store, bar.advance)
        return tuple(record for job in jobs for record in job(subject))


def _job(
    selection: Selection, rule: HeadRule, base: AblationOptions, options: MechanismOptions
) -> Callable[[Subject], tuple[AblationRecord, ...]]:
    def run(subject: Subject) -> tuple[AblationRecord, ...]:
        if selection == "crossfit":
            controls = base.controls if rule.denominator == "row" else base.controls[:1]
            return crossfit(subject, replace(base, rule=rule, controls=controls))
        return (instance(subject, replace(base, rule=rule, draws=min(base.draws, options.instance_draws))),)

    return run
