"""The measure `heads`: the saliency of every matched item, then the heads detected in it (protocol §8, §10)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from groundbench.api.adapter import Adapter, StartsAtLayer, Untrainable
from groundbench.api.errors import UnsupportedModelError
from groundbench.engine import distributed
from groundbench.engine.subject import Subject, require_value
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads import all_head_records
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.heads.saliency import (
    DEFAULT_BATCH_TOKENS,
    SaliencyItem,
    SaliencyOptions,
    matched_items,
    measure_saliency,
    mismatched_items,
)
from groundbench.measures.heads.single_heads import missing_capabilities, sweep_heads
from groundbench.results.run import HeadsRecord
from groundbench.util.atomic_files import file_name
from groundbench.util.progress import Progress


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


def measure(
    subject: Subject, options: HeadOptions, saliency: HeadSaliency, reference: Reference
) -> tuple[HeadsRecord, ...]:
    """Count heads under every standard definition, the headline first, with their references (protocol §10).

    The headline's heads also carry what each does alone (`effect`), at the prediction position, on a seeded sample of
    items.

    Args:
        saliency: of the matched items, see `read_saliency`.
        reference: the untrained model, shared by all forms.
    """
    headline, *others = all_head_records(saliency, untrained_saliency(subject, options, reference))
    effects = single_head_effects(subject, options)
    if effects is not None:
        by_head = tuple(c.model_copy(update=effects[c.layer, c.head]) for c in headline.by_head)
        headline = headline.model_copy(update={"by_head": by_head})
    return (headline, *others)


def read_saliency(subject: Subject, options: HeadOptions) -> HeadSaliency:
    """Measure the saliency of every matched item, or of a seeded sample (`options.items`).

    It is read from the run directory where it is there already.
    """
    path = None if subject.store is None else _saliency_path(subject, options)
    team = distributed.current()
    kept = team.from_first(lambda: HeadSaliency.load(path) if path is not None and path.exists() else None)
    if kept is not None:
        return kept
    name, form = subject.adapter.info.name, subject.contexts.form.name
    items = matched_items(subject.contexts)
    if (most := sampled_items(options)) is not None:
        items = _sample(items, most, subject.seed)
    found = _saliency(subject, options, subject.adapter, items, f"{name}: saliency of {form}")
    if path is not None and team.first:
        found.save(path)
    return found


def sampled_items(options: HeadOptions) -> int | None:
    """Return the size of the sample of items; None for all."""
    items = require_value(options.items, "items")
    return items if isinstance(items, int) else None


def saliency_options(options: HeadOptions) -> SaliencyOptions:
    """Return the part of the options that one saliency pass needs."""
    return SaliencyOptions(denominator=require_value(options.denominator, "denominator"), loss=options.loss)


def _saliency(
    subject: Subject, options: HeadOptions, adapter: Adapter, items: list[SaliencyItem], title: str
) -> HeadSaliency:
    with Progress(title, len(items)) as bar:
        return measure_saliency(
            adapter,
            items,
            saliency_options(options),
            seed=subject.seed,
            batch_tokens=min(subject.batch_tokens, DEFAULT_BATCH_TOKENS),
            advance=bar.advance,
        )


def _saliency_path(subject: Subject, options: HeadOptions) -> Path:
    assert subject.store is not None
    how = [require_value(options.denominator, "denominator"), *(["all-tokens"] if options.loss == "all" else [])]
    how += [f"seed-{subject.seed}"] if subject.seed else []
    how += [] if (most := sampled_items(options)) is None else [f"items-{most}"]
    return (
        subject.store.directory
        / "parts"
        / "saliency"
        / file_name(f"{'-'.join([subject.contexts.form.name, *how])}.npz")
    )


def untrained_saliency(subject: Subject, options: HeadOptions, reference: Reference) -> HeadSaliency | None:
    """Measure the same architecture with random weights on a seeded sample of items; None if it cannot be made."""
    adapter = reference.adapter
    if adapter is None:
        return None
    items = _sample(
        matched_items(subject.contexts), require_value(options.untrained_items, "untrained_items"), subject.seed
    )
    return _saliency(subject, options, adapter, items, f"{reference.of.info.name}: the same, untrained")


def single_head_effects(
    subject: Subject, options: HeadOptions
) -> dict[tuple[int, int], dict[str, float | None]] | None:
    """Measure each head alone, by (layer, head): `effect` and `gain_effect` of HeadCount, in nats.

    The gain is that of one seeded mismatch for each item. None if the model cannot be swept.
    """
    adapter = subject.adapter
    if not isinstance(adapter, StartsAtLayer) or missing_capabilities(adapter.info):
        return None
    every = matched_items(subject.contexts)
    chosen = _sample_indices(len(every), require_value(options.swept_items, "swept_items"), subject.seed)
    others = mismatched_items(subject.contexts, chosen, subject.seed)
    items = [every[i] for i in chosen] + [o for o in others if o is not None]
    with Progress(f"{adapter.info.name}: single heads", len(items)) as bar:
        rise = sweep_heads(adapter, items, batch_tokens=subject.batch_tokens, advance=bar.advance)
    own, other = rise[: len(chosen)], rise[len(chosen) :]
    paired = [i for i, o in enumerate(others) if o is not None]
    lost = (own[paired] - other).mean(0).tolist() if paired else [None] * adapter.info.n_heads
    return {
        head: {"effect": effect, "gain_effect": gain}
        for head, effect, gain in zip(adapter.info.head_index, own.mean(0).tolist(), lost, strict=True)
    }


def _sample(items: list[SaliencyItem], most: int, seed: int) -> list[SaliencyItem]:
    return [items[i] for i in _sample_indices(len(items), most, seed)]


def _sample_indices(n: int, most: int, seed: int) -> list[int]:
    return [int(i) for i in np.sort(np.random.default_rng(seed).permutation(n)[:most])]
