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
from groundbench.api.adapter import Adapter
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.engine import distributed
from groundbench.engine.contexts import EmptyFormError, FormContexts, matched_prompts
from groundbench.engine.provenance import (
    environment_record,
    excluded_nouns,
    model_record,
    testbed_record,
    unknown_record,
)
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS, score
from groundbench.engine.subject import Subject
from groundbench.evaluation.defaults import (
    check_swap_rings,
    choose_forms,
    choose_subject,
    probe_size,
    protocol_record,
    resolve,
    why_unread,
)
from groundbench.evaluation.form_contexts import form_contexts
from groundbench.evaluation.measures import FormRun, list_unmeasurable, measures_of_form, run_measures
from groundbench.evaluation.options import Options
from groundbench.evaluation.shuffled_forms import ShuffledForms
from groundbench.evaluation.training_provenance import Trained, training_record
from groundbench.measures.ablation.options import AblationOptions
from groundbench.measures.causal.cross_form import cross_form
from groundbench.measures.causal.head_identity import head_identity
from groundbench.measures.causal.measure import CausalRun
from groundbench.measures.causal.options import CausalOptions
from groundbench.measures.gain.copy_corrected import copy_corrected
from groundbench.measures.gain.ladder_score import ladder_score
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.heads_table import write_heads
from groundbench.measures.heads.measure import Reference
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.heads.shared_heads import head_forms
from groundbench.measures.image.examples import rule_for
from groundbench.measures.image.options import ImageOptions
from groundbench.measures.lens.options import LensOptions
from groundbench.results.causal import CausalRecord
from groundbench.results.image_examples import FOLDER as PICTURES
from groundbench.results.image_examples import ImageExample, ImageExamples
from groundbench.results.items import write_items
from groundbench.results.ladder_score import LadderScore
from groundbench.results.run import Failure, FormRecord, Result
from groundbench.results.unknown_words import KEY as UNKNOWN
from groundbench.util.progress import Progress


def evaluate(
    model: Any,
    testbed: str | Testbed | None = None,
    *,
    forms: Sequence[str] = (),
    measures: Sequence[str] | None = None,
    limit: int | None = None,
    mismatches: int | None = None,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    heads: HeadOptions | None = None,
    ablation: AblationOptions | None = None,
    causal: CausalOptions | None = None,
    lens: LensOptions | None = None,
    image: ImageOptions | None = None,
    out: str | Path | None = None,
    force: bool = False,
    load: dict[str, Any] | None = None,
    corpus: Any = None,
    at_least: int | None = None,
    shuffle_forms: bool = False,
    random_weights: bool = False,
) -> Result:
    """Measure a model on a testbed.

    Args:
        model: anything that `groundbench.open_model` opens.
        testbed: a testbed or its name; by default that of what our own checkpoints were trained on, and `ladder` for
            all others.
        forms: names of ENV forms, or `("all",)`; by default all of a ladder, else the testbed's default form.
        measures: among gain, heads, causal, ablation, lens, image; by default gain and heads, of a ladder causal too
            (of our own checkpoints ablation), and of a testbed with images also image.
        seed: of every sample, draw, half and bootstrap of every measure.
        batch_tokens: token budget of one batch of every pass; changes no number beyond rounding.
        heads: options of the measure. What is left open here and below depends on the model, see
            `groundbench.evaluation.defaults`, and is recorded in the result's `protocol`.
        ablation: options of the measure.
        causal: options of the measure.
        lens: options of the measure.
        image: options of the measure.
        out: a run directory: results are written as they come, and an interrupted run goes on from it. Inside
            `groundbench.engine.distributed.process_group` a launcher's processes share the batches and the first
            one writes.
        force: start over where `out` holds another run.
        load: options of loading (dtype, device, quantize, ...), see `groundbench.adapters.huggingface.open_causal`.
        corpus: whose held-out text the tuned lens is trained on; by default the checkpoint's or the testbed's own,
            where there is one. A path says where the imported corpus that a checkpoint was trained on lies now.
        at_least: of a checkpoint trained on an imported corpus, ask for the nouns that it shows and says so often; by
            default the published threshold, 0 for all (protocol §3).
        shuffle_forms: a null control: every noun is shown in another noun's form, so that the gain must be 0.
        random_weights: a null control: the model's architecture with fresh random weights, so that the gain must be 0.

    Raises:
        BadInputError: model, testbed, form or option is unknown; or `out` holds another run.
        GroundbenchError: a fault while running; what was computed is kept in `out`.

    Example:
        >>> import groundbench
        >>> result = groundbench.evaluate(MODEL, "ladder", forms=("word",), measures=("gain",), limit=3)
        >>> len(result.gain.by_noun), result.gain.ci_low <= result.gain.mean <= result.gain.ci_high
        (3, True)
    """
    options = Options(
        forms=tuple(forms),
        measures=None if measures is None else tuple(measures),
        limit=limit,
        mismatches=mismatches,
        seed=seed,
        batch_tokens=batch_tokens,
        heads=heads or HeadOptions(),
        ablation=ablation or AblationOptions(),
        causal=causal or CausalOptions(),
        lens=lens or LensOptions(),
        image=image or ImageOptions(),
        corpus=corpus,
    )
    adapter, bed = choose_subject(
        model,
        testbed,
        load,
        seed,
        shuffle_forms,
        random_weights,
        folder=options.corpus_folder,
        at_least=at_least,
        forms=options.forms,
    )
    return evaluate_with(options, adapter, bed, out=out, force=force)


def evaluate_with(
    options: Options, adapter: Adapter, bed: Testbed, *, out: str | Path | None = None, force: bool = False
) -> Result:
    """Measure an open model on a testbed; as `evaluate`, with all options of the measures in one object."""
    folder = options.corpus_folder
    if options.corpus is None or folder is not None:
        options = replace(options, corpus=Trained(training_record(adapter.info), folder).corpus(bed))
    options = resolve(options, bed, adapter.info)
    started = time.perf_counter()
    forms = choose_forms(bed, options.forms, adapter)
    check_swap_rings(options, forms)
    store = open_store(adapter, bed, options, None if out is None else Path(out), force)
    ladder_forms = measure_forms(adapter, bed, forms, options, store)
    measured = [r for r in ladder_forms if isinstance(r, Measured)]
    result = _result(adapter, bed, options, ladder_forms, time.perf_counter() - started)
    if out is not None and distributed.current().first:
        _write(Path(out), measured, result)
    return result


def _write(out: Path, measured: Sequence[Measured], result: Result) -> None:
    write_items(out / "items.parquet", [m.table for m in measured], result)
    salient = [(m.record.env_form, m.saliency) for m in measured if m.saliency is not None]
    if salient:
        write_heads(out / "heads.parquet", salient, result)
    if image_examples := tuple(p for m in measured for p in m.image_examples):
        ImageExamples(rule=rule_for(measured[0].image_examples or image_examples), items=image_examples).save(out)
    result.save(out / "result.json")


@dataclass(frozen=True)
class Measured:
    """One form's contexts, table, saliency and record.

    `failures` are measurements that could not be made, `image_examples` those kept for the page.
    """

    contexts: FormContexts
    table: SurprisalTable
    record: FormRecord
    saliency: HeadSaliency | None = None
    failures: tuple[Failure, ...] = ()
    image_examples: tuple[ImageExample, ...] = ()
    causal: CausalRun | None = None


@dataclass(frozen=True)
class Unmeasured:
    """A form with fewer than two nouns left: its record names those left out, its failure the reason."""

    record: FormRecord
    failures: tuple[Failure, ...]


def measure_forms(
    adapter: Adapter, testbed: Testbed, forms: Sequence[EnvForm], options: Options, store: RunStore | None
) -> list[Measured | Unmeasured]:
    """Measure each form; one that the model cannot read does not keep the others from being measured.

    Raises:
        EmptyFormError: none of the forms has two nouns that the model can read.
    """
    reference = Reference(adapter, options.seed)
    ladder_forms: list[Measured | Unmeasured] = []
    empty: list[EmptyFormError] = []
    for form in forms:
        try:
            ladder_forms.append(measure_form(adapter, testbed, form, options, store, reference))
        except EmptyFormError as error:
            empty.append(error)
            record = FormRecord(
                env_form=form.name, n_nouns=0, n_items=0, excluded=excluded_nouns(testbed, form, error.left_out)
            )
            ladder_forms.append(Unmeasured(record, (Failure(where=f"form {form.name}", reason=str(error)),)))
    if len(empty) == len(ladder_forms):
        raise empty[0]
    return ladder_forms


def measure_form(
    adapter: Adapter,
    testbed: Testbed,
    form: EnvForm,
    options: Options,
    store: RunStore | None,
    reference: Reference,
) -> Measured:
    """Score one form and make every measure of it that was asked for, in the order of the table of measures."""
    contexts = form_contexts(adapter, testbed, form, options)
    with Progress(f"{adapter.info.name}: scoring {form.name}", len(contexts.distinct)) as bar:
        table = score(
            adapter,
            contexts,
            batch_tokens=options.batch_tokens,
            store=store,
            stage=f"scores/{form.name}",
            advance=bar.advance,
        )
    asked = options.measures or ()
    names = measures_of_form(asked, form, adapter.info)
    subject = Subject(adapter, contexts, table, store, options.seed, options.batch_tokens)
    nouns = probe_size(subject.adapter.info)
    run = FormRun(subject, testbed, form, options, reference, heads_read="heads" in names, probed_nouns=nouns)
    fields = run_measures(run, names)
    record = FormRecord(
        env_form=form.name,
        n_nouns=len(contexts.nouns),
        n_items=len(matched_prompts(contexts)[0]),
        excluded=excluded_nouns(testbed, form, contexts.left_out),
        **fields,
    )
    saliency = run.saliency if record.heads else None
    return Measured(
        contexts,
        table,
        record,
        saliency,
        (*list_unmeasurable(asked, adapter.info), *run.failures),
        run.image_examples,
        run.causal,
    )


def open_store(adapter: Adapter, testbed: Testbed, options: Options, out: Path | None, force: bool) -> RunStore | None:
    """Return the run directory under this run's key."""
    if out is None:
        return None
    if force:
        distributed.current().from_first(lambda: _clear(out))
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
    """Return everything that decides a run's numbers."""
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
    adapter: Adapter, testbed: Testbed, options: Options, ladder_forms: Sequence[Measured | Unmeasured], seconds: float
) -> Result:
    measured = [r for r in ladder_forms if isinstance(r, Measured)]
    head = measured[0]
    records = (head.record, *(r.record for r in ladder_forms if r is not head))
    return Result(
        model=model_record(adapter.info),
        testbed=testbed_record(testbed, head.contexts),
        forms=records,
        head_forms=head_forms(records) if len(records) > 1 else (),
        causal=_causes(adapter, options, measured),
        copy_corrected=copy_corrected([m.table for m in measured]),
        ladder_score=_ladder_score(testbed, ladder_forms, options.seed),
        failures=tuple(dict.fromkeys(f for r in ladder_forms for f in r.failures)),
        protocol=_protocol(adapter, testbed, options)
        | _null_controls(adapter, testbed)
        | _count_unknown(adapter, measured),
        environment=environment_record(adapter.info.device, (options.seed,), round(seconds, 2)),
    )


def _ladder_score(testbed: Testbed, ladder_forms: Sequence[Measured | Unmeasured], seed: int) -> LadderScore | None:
    """Return the ladder score of a ladder, with the forms that were not measured named; None of other testbeds."""
    if not testbed.ladder:
        return None
    tables = [r.table for r in ladder_forms if isinstance(r, Measured)]
    measured = {t.form for t in tables}
    empty = {r.record.env_form: "fewer than two nouns can be read" for r in ladder_forms if isinstance(r, Unmeasured)}
    rest = {f.name: empty.get(f.name, "not measured") for f in testbed.forms if f.name not in measured}
    return ladder_score(tables, unmeasured=rest, seed=seed)


def _causes(adapter: Adapter, options: Options, measured: Sequence[Measured]) -> tuple[CausalRecord, ...]:
    """Return the records of all forms with the cross-form matrix; the first also holds the identity of the heads."""
    runs = [m.causal for m in measured if m.causal is not None]
    records = cross_form(runs)
    if records and options.causal.identity:
        row = runs[0].setting.subject.contexts.rows[0]
        first = row.ids[:1] if adapter.info.bos == "added" else ()
        identity = head_identity(adapter, first=first, seed=options.seed, batch_tokens=options.batch_tokens)
        records[0] = records[0].model_copy(update={"identity": identity})
    return tuple(records)


def _null_controls(adapter: Adapter, testbed: Testbed) -> dict[str, JsonValue]:
    """Return the null controls that this run is of; nothing where it is none."""
    found: list[JsonValue] = ["shuffle-forms"] if isinstance(testbed, ShuffledForms) else []
    if adapter.info.name.endswith(" (untrained)"):  # as every adapter names what `untrained` makes
        found.append("random-weights")
    return {"null_controls": found} if found else {}


def _protocol(adapter: Adapter, testbed: Testbed, options: Options) -> dict[str, JsonValue]:
    """Return the choices of this run, as its result records them."""
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
    if skipped := _skipped_forms(adapter, testbed, options):
        found["skipped"] = skipped
    if adapter.info.chat is not None:
        found["chat"] = adapter.info.chat
    if adapter.info.notes:
        found["notes"] = list(adapter.info.notes)
    if adapter.info.chat_date is not None:
        found["chat_date"] = adapter.info.chat_date
    return found | protocol_record(options, adapter.info)


def _count_unknown(adapter: Adapter, measured: Sequence[Measured]) -> dict[str, JsonValue]:
    """Return the prompt words of each form that the tokenizer does not know (§4); nothing where it knows all."""
    found = {m.record.env_form: unknown_record(adapter.info, m.contexts) for m in measured}
    counted: dict[str, JsonValue] = {name: u.model_dump() for name, u in found.items() if u is not None}
    return {UNKNOWN: counted} if counted else {}


def _skipped_forms(adapter: Adapter, testbed: Testbed, options: Options) -> dict[str, JsonValue]:
    """Return the forms that joined the testbed and were left out, with the reason."""
    if options.forms and "all" not in options.forms:
        return {}
    return {f.name: why for f in testbed.image_forms if (why := why_unread(adapter, testbed, f)) is not None}
