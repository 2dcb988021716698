"""model x testbed -> Result: the order of the measurements, nothing else.

`evaluate` is the same call as `groundbench run` on the command line.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from groundbench._version import __version__
from groundbench.api.adapter import Adapter, Capability
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.engine import distributed as processes
from groundbench.engine.contexts import Contexts, EmptyFormError, build_contexts
from groundbench.engine.provenance import (
    environment_record,
    excluded_nouns,
    model_record,
    testbed_record,
    unknown_record,
)
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS, score
from groundbench.engine.traced_scoring import probe_table
from groundbench.evaluation.mechanism import MechanismOptions, Reference, ablations_of, heads_of, saliency_of
from groundbench.evaluation.options import (
    Options,
    choose_forms,
    choose_measures,
    limited_nouns,
    refuse_split_marks,
    subject_of,
    unread,
)
from groundbench.evaluation.training_provenance import Trained, training_record
from groundbench.measures.gain.copy_corrected import copy_corrected
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads_table import write_heads
from groundbench.measures.heads.shared_heads import head_forms
from groundbench.measures.image.examples import rule_for
from groundbench.measures.image.measure import ImageSubject, measure_image
from groundbench.measures.lens.measure import measure_lens
from groundbench.results.items import write_items
from groundbench.results.picture_examples import FOLDER as PICTURES
from groundbench.results.picture_examples import Picture, Pictures
from groundbench.results.run import Failure, FormRecord, LensRecord, Result
from groundbench.results.unknown_words import KEY as UNKNOWN
from groundbench.util.progress import Progress

NEEDS: dict[str, Capability] = {"heads": "tap", "ablation": "tap", "lens": "hidden"}


def evaluate(
    model: str | Adapter,
    testbed: str | Testbed | None = None,
    *,
    forms: Sequence[str] = (),
    measures: Sequence[str] | None = None,
    limit: int | None = None,
    mismatches: int | None = None,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    out: str | Path | None = None,
    force: bool = False,
    load: dict[str, Any] | None = None,
    mechanism: MechanismOptions | None = None,
    corpus: Any = None,
    at_least: int | None = None,
    shuffle_forms: bool = False,
    random_weights: bool = False,
) -> Result:
    """Measure a model on a testbed.

    Args:
        model: a hub id, a folder, a `.gguf` file, `module:object`, or an Adapter.
        testbed: a testbed or its name; by default that of what our own checkpoints were trained on, and `ladder` for
            all others.
        forms: names of ENV forms, or `("all",)`; by default all of a ladder, else the testbed's default form.
        measures: among gain, heads, ablation, lens, image; by default gain and heads, of a ladder the ablation too,
            and of a testbed with pictures where the heads read in them.
        out: a run directory: results are written as they come, and an interrupted run goes on from it. Inside
            `groundbench.engine.distributed.joined` a launcher's processes share the batches and the first one writes.
        force: start over where `out` holds another run.
        load: options of loading (dtype, device, quantize, ...), see `groundbench.adapters.huggingface.open_causal`.
        mechanism: how heads, ablation and lens are measured; the defaults depend on the model's size.
        corpus: whose held-out text the tuned lens is trained on; by default the checkpoint's or the testbed's own,
            where there is one. A path says where the imported corpus that a checkpoint was trained on lies now.
        at_least: of a checkpoint trained on an imported corpus, ask for the nouns that it shows and says so often; by
            default the published threshold, 0 for all (protocol §3).
        shuffle_forms: a falsifier: every noun is shown in another noun's form, so that the gain must be 0.
        random_weights: a falsifier: the model's architecture with fresh random weights, so that the gain must be 0.

    Raises:
        BadInputError: model, testbed, form or option is unknown; or `out` holds another run.
        GroundbenchError: a fault while running; what was computed is kept in `out`.

    Example:
        >>> import groundbench
        >>> result = groundbench.evaluate(MODEL, "ladder", forms=("word",), measures=("gain",), limit=3)
        >>> len(result.gain.by_noun), result.gain.ci_low <= result.gain.mean <= result.gain.ci_high
        (3, True)
    """
    mechanism = mechanism or MechanismOptions(seed=seed, batch_tokens=batch_tokens)
    asked = None if measures is None else tuple(measures)
    folder = Path(corpus) if isinstance(corpus, str | Path) else None
    options = Options(tuple(forms), asked, limit, mismatches, seed, batch_tokens, mechanism)
    adapter, bed = subject_of(
        model, testbed, load, seed, shuffle_forms, random_weights, folder=folder, at_least=at_least
    )
    if corpus is None or folder is not None:
        corpus = Trained(training_record(adapter.info), folder).corpus(bed)
    options = replace(options, measures=choose_measures(bed, asked), corpus=corpus)
    started = time.perf_counter()
    rungs_asked = choose_forms(bed, options.forms, adapter)
    _refuse_idle_rings(options, rungs_asked)
    store = open_store(adapter, bed, options, None if out is None else Path(out), force)
    rungs = measure_forms(adapter, bed, rungs_asked, options, store)
    measured = [r for r in rungs if isinstance(r, Measured)]
    result = _result(adapter, bed, options, rungs, time.perf_counter() - started)
    if out is not None and processes.current().first:
        _write(Path(out), measured, result)
    return result


def _refuse_idle_rings(options: Options, forms: Sequence[EnvForm]) -> None:
    """Rings are exchanged by the measure image, of forms that are pictures: elsewhere they would be passed over."""
    if not options.mechanism.swap_rings or ("image" in (options.measures or ()) and any(_is_image(f) for f in forms)):
        return
    names, measures = (", ".join(x) for x in ((f.name for f in forms), options.measures or ()))
    raise BadInputError(
        f"swap_rings is given, but the forms are {names} and the measures {measures}; expected the measure image and a "
        "form that is a picture"
    )


def _is_image(form: EnvForm) -> bool:
    return form.modality == "image"


def _write(out: Path, measured: Sequence[Measured], result: Result) -> None:
    write_items(out / "items.parquet", [m.table for m in measured], result)
    salient = [(m.record.env_form, m.saliency) for m in measured if m.saliency is not None]
    if salient:
        write_heads(out / "heads.parquet", salient, result)
    if pictures := tuple(p for m in measured for p in m.pictures):
        Pictures(rule=rule_for(measured[0].pictures or pictures), items=pictures).save(out)
    result.save(out / "result.json")


@dataclass(frozen=True)
class Measured:
    """One form's contexts, table, saliency and record; `failures` are measurements that could not be made, `pictures`
    those kept for the page."""

    contexts: Contexts
    table: SurprisalTable
    record: FormRecord
    saliency: HeadSaliency | None = None
    failures: tuple[Failure, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Unmeasured:
    """A form of which fewer than two nouns are left: its record says which were left out, its failure why."""

    record: FormRecord
    failures: tuple[Failure, ...]


def measure_forms(
    adapter: Adapter, testbed: Testbed, forms: Sequence[EnvForm], options: Options, store: RunStore | None
) -> list[Measured | Unmeasured]:
    """All measurements of each form; a form that the model cannot read does not keep the others from being measured.

    Raises:
        EmptyFormError: none of the forms has two nouns that the model can read.
    """
    reference = Reference(adapter, options.mechanism.seed)
    rungs: list[Measured | Unmeasured] = []
    empty: list[EmptyFormError] = []
    for form in forms:
        try:
            rungs.append(measure_form(adapter, testbed, form, options, store, reference))
        except EmptyFormError as error:
            empty.append(error)
            record = FormRecord(env_form=form.name, n_nouns=0, excluded=excluded_nouns(testbed, form, error.left_out))
            rungs.append(Unmeasured(record, (Failure(where=f"form {form.name}", reason=str(error)),)))
    if len(empty) == len(rungs):
        raise empty[0]
    return rungs


def measure_form(
    adapter: Adapter,
    testbed: Testbed,
    form: EnvForm,
    options: Options,
    store: RunStore | None,
    reference: Reference,
) -> Measured:
    """All measurements of one form, in order: scores, gain, heads, ablation, lens, pictures."""
    measures = options.measures or ()
    contexts = build_contexts(
        adapter,
        testbed,
        form,
        nouns=limited_nouns(testbed, form, options),
        mismatches=options.mismatches,
        seed=options.seed,
    )
    refuse_split_marks(adapter, testbed, contexts)
    with Progress(f"{adapter.info.name}: scoring {form.name}", len(contexts.distinct)) as bar:
        table = score(
            adapter,
            contexts,
            batch_tokens=options.batch_tokens,
            store=store,
            stage=f"scores/{form.name}",
            advance=bar.advance,
        )
    pictured = _is_image(form) and "image" in measures
    headed = "tap" in adapter.info.capabilities and (bool({"heads", "ablation"} & set(measures)) or pictured)
    mechanism = options.mechanism
    probe = probe_table(adapter, contexts) if headed else None
    saliency = saliency_of(adapter, contexts, mechanism, store) if headed else None
    record = FormRecord(
        env_form=form.name,
        n_nouns=len(contexts.nouns),
        excluded=excluded_nouns(testbed, form, contexts.left_out),
        gain=measure_gain(table, seed=options.seed, ideal=testbed.ideal_gain(form), probe=probe),
        heads=() if saliency is None else heads_of(adapter, contexts, saliency, mechanism, reference),
        ablations=()
        if saliency is None or "ablation" not in measures
        else ablations_of(adapter, contexts, table, saliency, mechanism, store),
    )
    lens, failures = _lens(adapter, contexts, testbed, options, store)
    record = record.model_copy(update={"lens": lens})
    if not pictured:
        return Measured(contexts, table, record, saliency, failures)
    image, pictures = measure_image(
        ImageSubject(adapter, contexts, table, saliency, store), mechanism.image_for(adapter), testbed.form_digest(form)
    )
    return Measured(contexts, table, record.model_copy(update={"image": image}), saliency, failures, pictures)


def _lens(
    adapter: Adapter, contexts: Contexts, testbed: Testbed, options: Options, store: RunStore | None
) -> tuple[tuple[LensRecord, ...], tuple[Failure, ...]]:
    """The lens records, and everything asked for that cannot be measured on this model."""
    failures = _unmeasured(adapter, options)
    if "lens" not in (options.measures or ()) or "hidden" not in adapter.info.capabilities:
        return (), failures
    try:
        return measure_lens(adapter, contexts, testbed, options.mechanism.lens, store, options.corpus), failures
    except UnsupportedModelError as error:
        return (), (*failures, Failure(where="lens", reason=str(error)))


def _unmeasured(adapter: Adapter, options: Options) -> tuple[Failure, ...]:
    """What was asked for and cannot be measured on this model, with the reason; never a zero."""
    info = adapter.info
    return tuple(
        Failure(where=measure, reason=f"{info.name}: {info.why_not(needs)}")
        for measure, needs in NEEDS.items()
        if measure in (options.measures or ()) and needs not in info.capabilities
    )


def open_store(adapter: Adapter, testbed: Testbed, options: Options, out: Path | None, force: bool) -> RunStore | None:
    """The run directory under this run's key."""
    if out is None:
        return None
    if force:
        processes.current().from_first(lambda: _clear(out))
    return RunStore(out, run_key(adapter, testbed, options))


def _clear(out: Path) -> None:
    """Remove what a run wrote, and nothing else; a folder without a run's manifest is left as it is."""
    if not (out / "manifest.json").exists():
        return
    for folder in ("parts", "lens", PICTURES):
        shutil.rmtree(out / folder, ignore_errors=True)
    for name in ("result.json", "items.parquet", "heads.parquet", "manifest.json"):
        (out / name).unlink(missing_ok=True)


def run_key(adapter: Adapter, testbed: Testbed, options: Options) -> dict[str, object]:
    """Everything that decides a run's numbers."""
    info = adapter.info
    return {
        "model": info.name,
        "weights": info.fingerprint,
        **info.identity,
        "tokenizer": info.tokenizer,
        "dtype": info.dtype,
        "attention": info.attention,
        "bos": info.bos,
        "chat": info.chat,
        "testbed": testbed.name,
        "testbed_hash": testbed.digest(),
        "limit": options.limit,
        "mismatches": options.mismatches,
        "seed": options.seed,
        "groundbench": __version__,
    }


def _result(
    adapter: Adapter, testbed: Testbed, options: Options, rungs: Sequence[Measured | Unmeasured], seconds: float
) -> Result:
    measured = [r for r in rungs if isinstance(r, Measured)]
    head, several = measured[0], len(rungs) > 1
    records = tuple(r.record for r in rungs)
    return Result(
        model=model_record(adapter.info),
        testbed=testbed_record(testbed, head.contexts),
        gain=head.record.gain,
        heads=head.record.heads,
        ablations=head.record.ablations,
        lens=head.record.lens,
        forms=records if several else (),
        head_forms=head_forms(records) if several else (),
        copy_corrected=copy_corrected([m.table for m in measured]),
        image=next((r.image for r in records if r.image is not None), None),
        failures=tuple(dict.fromkeys(f for r in rungs for f in r.failures)),
        protocol=_protocol(adapter, testbed, options) | _unknown(adapter, measured),
        environment=environment_record(adapter.info.device, (options.seed,), round(seconds, 2)),
    )


def _protocol(adapter: Adapter, testbed: Testbed, options: Options) -> dict[str, JsonValue]:
    """The choices of this run, as they stand in its result."""
    found: dict[str, JsonValue] = {
        "measures": list(options.measures or ()),
        "mismatches": options.mismatches if options.mismatches is not None else "all",
        "limit": options.limit,
        "bos": adapter.info.bos,
        "attention": adapter.info.attention,
        "units": "nats",
    }
    if "nouns" in (identity := testbed.identity()):  # how a corpus chose them
        found["nouns"] = cast(JsonValue, identity["nouns"])
    if skipped := _skipped(adapter, testbed, options):
        found["skipped"] = skipped
    if adapter.info.chat is not None:
        found["chat"] = adapter.info.chat
    if adapter.info.notes:
        found["notes"] = list(adapter.info.notes)
    if {"heads", "ablation"} & set(options.measures or ()) and "tap" in adapter.info.capabilities:
        found |= options.mechanism.record_for(adapter)
    return found


def _unknown(adapter: Adapter, measured: Sequence[Measured]) -> dict[str, JsonValue]:
    """Of each form what of its prompts the tokenizer does not know (§4); nothing where it knows every word."""
    found = {m.record.env_form: unknown_record(adapter.info, m.contexts) for m in measured}
    counted: dict[str, JsonValue] = {name: u.model_dump() for name, u in found.items() if u is not None}
    return {UNKNOWN: counted} if counted else {}


def _skipped(adapter: Adapter, testbed: Testbed, options: Options) -> dict[str, JsonValue]:
    """The forms that joined the testbed and were left out, with the reason."""
    if options.forms and "all" not in options.forms:
        return {}
    return {f.name: why for f in testbed.joined if (why := unread(adapter, testbed, f)) is not None}
