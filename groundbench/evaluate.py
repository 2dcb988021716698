"""model x testbed -> Result: the order of the measurements, nothing else.

`evaluate` is the same call as `groundbench run` on the command line.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from groundbench import __version__
from groundbench.adapter import Adapter
from groundbench.contexts import Contexts, build_contexts
from groundbench.describe import environment_record, excluded_nouns, model_record, testbed_record
from groundbench.errors import BadInputError, UnsupportedModelError
from groundbench.gain import measure_gain
from groundbench.head_saliency import HeadSaliency
from groundbench.heads_file import write_heads
from groundbench.items import write_items
from groundbench.lens import measure_lens
from groundbench.mechanism import MechanismOptions, ablations_of, heads_of, probe_table, saliency_of
from groundbench.progress import Progress
from groundbench.registry import load_testbed, open_model
from groundbench.result import Failure, FormRecord, LensRecord, Result
from groundbench.scoring import DEFAULT_BATCH_TOKENS, score
from groundbench.store import RunStore
from groundbench.table import SurprisalTable
from groundbench.testbed import EnvForm, Testbed

MEASURES = ("gain", "heads", "ablation", "lens")


@dataclass(frozen=True)
class Options:
    """What to measure and how.

    Attributes:
        forms: names of ENV forms, `("all",)` for the whole ladder, or empty for the testbed's default.
        measures: among gain, heads, ablation, lens; gain is always measured.
        limit: only this many nouns, drawn by the seed.
        mismatches: a seeded sample of this many other nouns for each item; all by default (protocol §5).
        seed: of every sample, bootstrap and draw.
        batch_tokens: token budget of one batch; changes no number.
        mechanism: how heads, ablation and lens are measured.
        corpus: whose held-out text the tuned lens is trained on.
    """

    forms: tuple[str, ...] = ()
    measures: tuple[str, ...] = ("gain",)
    limit: int | None = None
    mismatches: int | None = None
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS
    mechanism: MechanismOptions = field(default_factory=MechanismOptions)
    corpus: Any = None

    def __post_init__(self) -> None:
        for measure in self.measures:
            if measure not in MEASURES:
                raise BadInputError(f"unknown measure {measure!r}: expected some of {', '.join(MEASURES)}")
        for name, low in (("limit", 2), ("mismatches", 1), ("batch_tokens", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise BadInputError(f"{name} is {value}; expected at least {low}")


def evaluate(
    model: str | Adapter,
    testbed: str | Testbed | None = None,
    *,
    forms: Sequence[str] = (),
    measures: Sequence[str] = ("gain",),
    limit: int | None = None,
    mismatches: int | None = None,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    out: str | Path | None = None,
    force: bool = False,
    load: dict[str, Any] | None = None,
    mechanism: MechanismOptions | None = None,
    corpus: Any = None,
) -> Result:
    """Measure a model on a testbed.

    Args:
        model: a hub id, a folder, a `.gguf` file, `module:object`, or an Adapter.
        testbed: a testbed or its name; by default `childworld` for our own checkpoints and `ladder` for all others.
        out: a run directory: results are written as they come, and an interrupted run goes on from it.
        force: start over where `out` holds another run.
        load: options of loading (dtype, device, quantize, ...), see `groundbench.adapters.causal.open_causal`.
        mechanism: how heads, ablation and lens are measured; the defaults depend on the model's size.
        corpus: whose held-out text the tuned lens is trained on; by default the testbed's own, where it has one.

    Raises:
        BadInputError: model, testbed, form or option is unknown; or `out` holds another run.
        GroundbenchError: a fault while running; what was computed is kept in `out`.
    """
    mechanism = mechanism or MechanismOptions(seed=seed, batch_tokens=batch_tokens)
    options = Options(tuple(forms), tuple(measures), limit, mismatches, seed, batch_tokens, mechanism, corpus)
    adapter = open_model(model, **(load or {})) if isinstance(model, str) else model
    bed = choose_testbed(adapter, testbed)
    started = time.perf_counter()
    store = open_store(adapter, bed, options, None if out is None else Path(out), force)
    chosen = choose_forms(bed, options.forms)
    measured = [measure_form(adapter, bed, form, options, store) for form in chosen]
    result = _result(adapter, bed, options, measured, time.perf_counter() - started)
    if out is not None:
        write_items(Path(out) / "items.parquet", [m.table for m in measured], result)
        salient = [(m.record.env_form, m.saliency) for m in measured if m.saliency is not None]
        if salient:
            write_heads(Path(out) / "heads.parquet", salient, result)
        result.save(Path(out) / "result.json")
    return result


@dataclass(frozen=True)
class Measured:
    """One form's contexts, table, saliency and record; `failures` are measurements that could not be made."""

    contexts: Contexts
    table: SurprisalTable
    record: FormRecord
    saliency: HeadSaliency | None = None
    failures: tuple[Failure, ...] = ()


def measure_form(
    adapter: Adapter, testbed: Testbed, form: EnvForm, options: Options, store: RunStore | None
) -> Measured:
    """All measurements of one form, in order: scores, gain, heads, ablation, lens."""
    contexts = build_contexts(
        adapter,
        testbed,
        form,
        nouns=limited_nouns(testbed, form, options),
        mismatches=options.mismatches,
        seed=options.seed,
    )
    with Progress(f"{adapter.info.name}: scoring {form.name}", len(contexts.distinct)) as bar:
        table = score(
            adapter,
            contexts,
            batch_tokens=options.batch_tokens,
            store=store,
            stage=f"scores/{form.name}",
            advance=bar.advance,
        )
    headed = "tap" in adapter.info.capabilities and bool({"heads", "ablation"} & set(options.measures))
    mechanism = options.mechanism
    probe = probe_table(adapter, contexts, mechanism) if headed else None
    saliency = saliency_of(adapter, contexts, mechanism, store) if headed else None
    record = FormRecord(
        env_form=form.name,
        n_nouns=len(contexts.nouns),
        excluded=excluded_nouns(testbed, form),
        gain=measure_gain(table, seed=options.seed, ideal=testbed.ideal_gain(form), probe=probe),
        heads=() if saliency is None else heads_of(adapter, contexts, saliency, mechanism),
        ablations=()
        if saliency is None or "ablation" not in options.measures
        else ablations_of(adapter, contexts, table, saliency, mechanism, store),
    )
    lens, failures = _lens(adapter, contexts, testbed, options, store)
    return Measured(contexts, table, record.model_copy(update={"lens": lens}), saliency, failures)


def _lens(
    adapter: Adapter, contexts: Contexts, testbed: Testbed, options: Options, store: RunStore | None
) -> tuple[tuple[LensRecord, ...], tuple[Failure, ...]]:
    """The lens records, and everything asked for that cannot be measured on this model."""
    failures = _unmeasured(adapter, options)
    if "lens" not in options.measures or "hidden" not in adapter.info.capabilities:
        return (), failures
    try:
        return measure_lens(adapter, contexts, testbed, options.mechanism.lens, store, options.corpus), failures
    except UnsupportedModelError as error:
        return (), (*failures, Failure(where="lens", reason=str(error)))


def _unmeasured(adapter: Adapter, options: Options) -> tuple[Failure, ...]:
    """What was asked for and cannot be measured on this model, with the reason; never a zero."""
    reasons = "; ".join(adapter.info.notes) or "the model has no heads"
    missing = []
    for measure, needs in (("heads", "tap"), ("ablation", "tap"), ("lens", "hidden")):
        if measure in options.measures and needs not in adapter.info.capabilities:
            why = reasons if needs == "tap" else "its hidden states, unembedded, do not give its own logits"
            missing.append(Failure(where=measure, reason=f"{adapter.info.name}: {why}"))
    return tuple(missing)


def choose_testbed(adapter: Adapter, testbed: str | Testbed | None) -> Testbed:
    """The testbed asked for, or the one that fits the model."""
    if testbed is None:
        testbed = "childworld" if adapter.info.checkpoint is not None else "ladder"
    return load_testbed(testbed) if isinstance(testbed, str) else testbed


def choose_forms(testbed: Testbed, names: Sequence[str]) -> list[EnvForm]:
    """The forms asked for: the testbed's default where none is named, all for `all`."""
    if not names:
        return [testbed.form(testbed.default_form)]
    if "all" in names:
        return list(testbed.forms)
    return [testbed.form(name) for name in dict.fromkeys(names)]


def limited_nouns(testbed: Testbed, form: EnvForm, options: Options) -> list[str] | None:
    """The seeded sample of nouns that a limit leaves, in the testbed's order."""
    words = [n.word for n in testbed.nouns_of(form)]
    if options.limit is None or options.limit >= len(words):
        return None
    picked = np.random.default_rng(options.seed).permutation(len(words))[: options.limit]
    return [words[i] for i in sorted(picked.tolist())]


def open_store(adapter: Adapter, testbed: Testbed, options: Options, out: Path | None, force: bool) -> RunStore | None:
    """The run directory under this run's key."""
    if out is None:
        return None
    if force and (out / "parts").is_dir():
        shutil.rmtree(out / "parts")
        (out / "manifest.json").unlink(missing_ok=True)
    return RunStore(out, run_key(adapter, testbed, options))


def run_key(adapter: Adapter, testbed: Testbed, options: Options) -> dict[str, object]:
    """Everything that decides a run's numbers."""
    info = adapter.info
    return {
        "model": info.name,
        "weights": info.fingerprint,
        "tokenizer": info.tokenizer,
        "dtype": info.dtype,
        "attention": info.attention,
        "bos": info.bos,
        "testbed": testbed.name,
        "testbed_hash": testbed.digest(),
        "limit": options.limit,
        "mismatches": options.mismatches,
        "seed": options.seed,
        "groundbench": __version__,
    }


def _result(
    adapter: Adapter, testbed: Testbed, options: Options, measured: Sequence[Measured], seconds: float
) -> Result:
    head = measured[0]
    several = len(measured) > 1
    return Result(
        model=model_record(adapter.info),
        testbed=testbed_record(testbed, head.contexts),
        gain=head.record.gain,
        heads=head.record.heads,
        ablations=head.record.ablations,
        lens=head.record.lens,
        forms=tuple(m.record for m in measured) if several else (),
        failures=tuple(dict.fromkeys(f for m in measured for f in m.failures)),
        protocol={
            "measures": list(options.measures),
            "mismatches": options.mismatches if options.mismatches is not None else "all",
            "limit": options.limit,
            "bos": adapter.info.bos,
            "attention": adapter.info.attention,
            "units": "nats",
        },
        environment=environment_record(adapter.info.device, (options.seed,), round(seconds, 2)),
    )
