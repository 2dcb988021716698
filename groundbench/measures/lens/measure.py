"""Lens by layer: matched and mismatched surprisal and their difference, tuned lens and logit lens (protocol §9)."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from groundbench.api.surprisal_table import Floats, SurprisalTable
from groundbench.api.testbed import Testbed
from groundbench.engine import distributed
from groundbench.engine.contexts import of_frames
from groundbench.engine.subject import Subject
from groundbench.measures.gain.measure import gain_items, noun_means
from groundbench.measures.lens.options import LensOptions
from groundbench.measures.lens.reading import LensReading, read_lenses
from groundbench.measures.lens.training import require_hidden, train_lens, training_key
from groundbench.measures.lens.training_text import HeldoutText, LensFold, lens_folds
from groundbench.measures.lens.tuned_lens import TunedLens
from groundbench.results.run import LensLayer, LensRecord
from groundbench.util.atomic_files import file_name
from groundbench.util.progress import Progress

FIRST_TOKEN = "read at each target's first token"


def measure(
    subject: Subject, options: LensOptions, testbed: Testbed, corpus: HeldoutText | None = None
) -> tuple[LensRecord, ...]:
    """Train a tuned lens and read it, and the logit lens, at every layer.

    In a run directory lenses are kept under `lens/` and finished batches under `parts/lens/`.

    Args:
        corpus: whose held-out rows to train on, see `lens_folds`.

    Returns:
        The tuned lens, then the logit lens; the note says on what the lens was trained. Where there is nothing to
        train it on but the prompts it is read in, only the logit lens.

    Raises:
        UnsupportedModelError: the model gives no hidden states.
        BadInputError: a layer is unknown, or the held-out text cannot be read.
    """
    adapter, contexts = subject.adapter, subject.contexts
    require_hidden(adapter)
    form = contexts.form.name
    layers = options.translated_layers(adapter.info)
    folds, text = lens_folds(adapter, contexts, testbed, options, corpus, seed=subject.seed)
    if not folds:
        (logit,) = read_lenses(adapter, contexts, (None,), layers, batch_tokens=subject.batch_tokens)
        return (LensRecord(kind="logit", layers=lens_layers(logit), note=f"{FIRST_TOKEN}; {text}"),)
    read = []
    work = options.steps * len(folds) * bool(layers) + len(contexts.distinct)
    with Progress(f"{adapter.info.name}: lens of {form}", work) as bar:
        for fold in folds:
            lens = trained_lens(replace(subject, advance=bar.advance), fold, options)
            read.append(
                read_lenses(
                    adapter,
                    of_frames(contexts, fold.frames),
                    (lens, None),
                    layers,
                    batch_tokens=subject.batch_tokens,
                    store=subject.store,
                    stage=f"lens/{form}/{fold.name}",
                    advance=bar.advance,
                )
            )
    tuned, logit = (reduce(LensReading.concat, part) for part in zip(*read, strict=True))
    return (
        LensRecord(kind="tuned", layers=lens_layers(tuned), note=f"{FIRST_TOKEN}; {text}"),
        LensRecord(kind="logit", layers=lens_layers(logit), note=FIRST_TOKEN),
    )


def trained_lens(subject: Subject, fold: LensFold, options: LensOptions) -> TunedLens:
    """Return the lens of one fold; read from the run directory where one trained alike is there already."""
    adapter, store, advance = subject.adapter, subject.store, subject.advance
    name = file_name(f"{subject.contexts.form.name}-{fold.name}.safetensors")
    path = None if store is None else store.directory / "lens" / name

    def load_or_train() -> TunedLens:
        if path is not None and path.exists():
            lens = TunedLens.load(path, adapter.info)
            if lens.training == training_key(fold.rows, options, subject.seed):
                if advance is not None:
                    advance(options.steps)
                return lens
        lens = train_lens(
            adapter, fold.rows, options, seed=subject.seed, batch_tokens=subject.batch_tokens, advance=advance
        )
        if path is not None:
            lens.save(path)
        return lens

    # Several processes: the first trains it, the others wait; each reads it on its own device.
    return distributed.current().from_first(lambda: load_or_train().to("cpu")).to(adapter.info.device)


def lens_layers(reading: LensReading) -> tuple[LensLayer, ...]:
    """For each layer the means over nouns, as for the gain (protocol §5), and the mean KL over contexts."""
    return tuple(
        _layer(layer, table, kl) for layer, table, kl in zip(reading.layers, reading.tables, reading.kl, strict=True)
    )


def _layer(layer: int, table: SurprisalTable, kl: Floats) -> LensLayer:
    items = gain_items(table)
    matched, mismatched, gain = (
        float(np.nanmean(noun_means(x))) for x in (items.matched, items.mismatched, items.gain)
    )
    return LensLayer(layer=layer, matched=matched, mismatched=mismatched, gain=gain, kl=float(kl.mean()))
