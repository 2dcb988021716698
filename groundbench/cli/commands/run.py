"""`groundbench run MODEL`: measure a model on a testbed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundbench.cli import console
from groundbench.cli.options import (
    BATCH_TOKENS,
    AblationNouns,
    AsJson,
    AtLeast,
    AtPositions,
    BatchTokens,
    Bos,
    ByControl,
    ByDenominator,
    ByLoss,
    BySelection,
    Chat,
    Corpus,
    Device,
    DeviceMap,
    Draws,
    Dtype,
    Edit,
    Factor,
    Force,
    Forms,
    Limit,
    MaxMemory,
    Measures,
    Mismatches,
    Model,
    Out,
    Quantize,
    RandomWeights,
    Revision,
    Seed,
    ShuffleForms,
    Subfolder,
    SwapRings,
    Testbed,
    TrustRemoteCode,
    examples,
    loading,
    number_or_all,
    numbers,
    split,
)
from groundbench.cli.tables.result import show_result

if TYPE_CHECKING:
    from pathlib import Path

    from groundbench.evaluation.dry_run import DryRun
    from groundbench.results.run import Result

EPILOG = examples(
    (
        "gain and heads on the model's own testbed",
        "groundbench run runs/demo/training/gpt2-mini/seed-42/step-001500 --out runs/mine",
    ),
    (
        "the whole ladder of a pretrained model: gain, heads and ablation of every form",
        "groundbench run MODEL --out DIR",
    ),
    ("behaviour only", "groundbench run MODEL --measure gain --out DIR"),
    (
        "a quick look: one form, 20 nouns, 5 mismatches",
        "groundbench run MODEL --env-form word --limit 20 --mismatches 5",
    ),
    (
        "the ladder's falsifier: every noun in another noun's form",
        "groundbench run MODEL --shuffle-forms --measure gain",
    ),
    ("how long it will take", "groundbench run MODEL --dry-run"),
)


def run(
    model: Model,
    testbed: Testbed = None,
    env_form: Forms = None,
    measure: Measures = None,
    out: Out = None,
    force: Force = False,
    seed: Seed = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")] = False,
    as_json: AsJson = False,
    limit: Limit = None,
    mismatches: Mismatches = None,
    at_least: AtLeast = None,
    corpus: Corpus = None,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    draws: Draws = None,
    ablation_nouns: AblationNouns = None,
    selection: BySelection = None,
    denominator: ByDenominator = None,
    control: ByControl = None,
    loss: ByLoss = "first",
    edit: Edit = "zero",
    factor: Factor = None,
    positions: AtPositions = "all",
    swap_rings: SwapRings = None,
    shuffle_forms: ShuffleForms = False,
    random_weights: RandomWeights = False,
    dtype: Dtype = "auto",
    device: Device = "auto",
    device_map: DeviceMap = None,
    max_memory: MaxMemory = None,
    quantize: Quantize = None,
    bos: Bos = "auto",
    chat: Chat = False,
    trust_remote_code: TrustRemoteCode = False,
    revision: Revision = None,
    subfolder: Subfolder = None,
) -> None:
    """Measure a model: does a noun become less surprising when it was shown?

    The gain is the mean surprisal (nats) of a noun after another noun was shown, minus after it was shown itself.
    Results are written to --out as they come, and an interrupted run goes on from them to identical numbers.
    Under `accelerate launch -m groundbench run …` or `torchrun` the items are spread over the processes.
    """
    asked: dict[str, Any] = {
        "forms": split(env_form),
        "limit": limit,
        "mismatches": mismatches,
        "seed": seed,
        "batch_tokens": batch_tokens,
        "load": loading(
            dtype, device, device_map, max_memory, quantize, bos, trust_remote_code, chat, revision, subfolder
        ),
        "shuffle_forms": shuffle_forms,
        "random_weights": random_weights,
        "corpus": corpus,
        "at_least": at_least,
    }
    if dry_run:
        from groundbench.evaluation.dry_run import dry_run as plan

        _show_plan(plan(model, testbed, **asked), as_json)
        return
    from groundbench.engine import distributed as processes
    from groundbench.evaluation.evaluate import evaluate
    from groundbench.evaluation.mechanism import MechanismOptions
    from groundbench.measures.ablation.head_edits import EditStyle

    asked["mechanism"] = MechanismOptions(
        denominator=denominator,
        selections=(selection,) if selection else None,
        controls=split(control) or None,  # type: ignore[arg-type]  # checked there
        loss=loss,
        draws=draws,
        ablation_nouns=number_or_all("--ablation-nouns", ablation_nouns),
        swap_rings=() if swap_rings is None else numbers("--swap-rings", swap_rings),
        style=EditStyle(edit, positions, factor),
        seed=seed,
        batch_tokens=batch_tokens,
    )
    with processes.joined() as team:  # one process, unless a launcher started several
        result = evaluate(model, testbed, measures=split(measure) or None, out=out, force=force, **asked)
    if team.first:
        _show(result, out, as_json)


def _show(result: Result, out: Path | None, as_json: bool) -> None:
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
    else:
        show_result(result)
    if out is None:
        console.note("nothing was written: give --out DIR to keep the result and the table of items")
    else:
        console.note(f"wrote {out / 'result.json'} and items.parquet; a page: groundbench report {out}")


def _show_plan(plans: list[DryRun], as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        console.show_json([asdict(p) for p in plans])
        return
    console.show_table(
        ("ENV form", "nouns", "frames", "contexts", "batches", "tokens", "about", "cache"),
        [
            (
                p.form,
                str(p.n_nouns),
                str(p.n_frames),
                f"{p.contexts:,}",
                f"{p.batches:,}",
                f"{p.tokens:,}",
                console.duration(p.seconds),
                f"{p.cache_bytes / 2**20:,.0f} MiB",
            )
            for p in plans
        ],
        title="Scoring: one forward pass for each context reads all targets",
        right=("nouns", "frames", "contexts", "batches", "tokens", "about", "cache"),
    )
    total = sum(p.seconds for p in plans)
    console.out().print(
        f"gain: about {console.duration(total)} from one timed batch; heads, ablation and lens come on top"
    )
