"""`groundbench screen MODEL`: a risk card, and a gate for pipelines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundbench.api.errors import BadInputError, GateFailedError
from groundbench.cli import console
from groundbench.cli.completion import complete_questions
from groundbench.cli.help_examples import examples
from groundbench.cli.load_options import LoadOptions
from groundbench.cli.option_groups import expand_option_groups
from groundbench.cli.option_values import split
from groundbench.cli.options import BATCH_TOKENS, AsJson, BatchTokens, Force, Model, Out, Seed, TryIt

if TYPE_CHECKING:
    from groundbench.results.risk_card import RiskCard
    from groundbench.screening.dry_run import ScreenPlan
    from groundbench.screening.policy import Policy
    from groundbench.screening.strengthening import StrengthenOptions

POLICY, CONTROL, RECORDS = "What is required", "Control", "Files of records"

EPILOG = examples(
    ("the risk card of a model", "groundbench screen MODEL --out DIR"),
    ("a gate: exit code 3 unless at most 15 % of the answers are wrong", "groundbench screen MODEL --max-risk 0.15"),
    ("your own questions, passages and answers", "groundbench screen MODEL --questions my.jsonl --out DIR"),
    ("of a model behind an API", "groundbench screen lm-eval:local-completions,base_url=URL --questions my.jsonl"),
    ("a policy file in a pipeline", "groundbench screen MODEL --policy policy.yaml --out DIR"),
    ("do the heads help if they are strengthened?", "groundbench screen MODEL --strengthen auto --out DIR"),
    ("what that would cost", "groundbench screen MODEL --dry-run"),
)

Questions = Annotated[
    list[str] | None,
    typer.Option(
        "--questions",
        help="A file of your own records (.jsonl, .csv, .parquet), a question set, a YAML file, or module:object.",
        show_default="text-scenes; image-scenes for a model that reads images",
        autocompletion=complete_questions,
        metavar="SET",
    ),
]


@expand_option_groups
def screen(
    model: Model,
    *,
    questions: Questions = None,
    out: Out = None,
    force: Force = False,
    seed: Seed = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print how long it would take, and stop.")] = False,
    try_it: TryIt = False,
    as_json: AsJson = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print every table of the card.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(help="At most this many questions, whole scenes drawn by the seed.", min=1, metavar="N"),
    ] = None,
    signals: Annotated[
        list[str] | None,
        typer.Option(
            help="Risk signals: names or families, or all; --signals x lists them.",
            show_default="gain, heads, lens, probability, entropy, contrast; of a file of records, all",
            metavar="WHICH",
        ),
    ] = None,
    carriers: Annotated[
        Path | None,
        typer.Option(
            help="Also watch the heads that carry the gain in this run of the model (measure causal).",
            show_default=False,
            metavar="RUN",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Of a file of records: a prompt with {evidence} and {question}.",
            show_default="a short one of ours",
            metavar="TEXT",
            rich_help_panel=RECORDS,
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            help="Your file's names of fields, where they are not recognised: question=Frage,answer=Antwort.",
            show_default="recognised",
            metavar="OURS=YOURS",
            rich_help_panel=RECORDS,
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave faulty records out and count them.", rich_help_panel=RECORDS)
    ] = False,
    max_evidence: Annotated[
        int | None,
        typer.Option(
            help="Cut evidence to at most this many characters, at the end of a sentence.",
            min=1,
            show_default=False,
            metavar="N",
            rich_help_panel=RECORDS,
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Answers without labels: a card whose fits turn signals into probabilities.",
            show_default=False,
            metavar="CARD",
            rich_help_panel=RECORDS,
        ),
    ] = None,
    generate: Annotated[bool, typer.Option("--generate", help="Also answer by a short greedy continuation.")] = False,
    policy: Annotated[
        Path | None,
        typer.Option(help="Requirements in YAML.", show_default=False, metavar="FILE", rich_help_panel=POLICY),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            help="Also write the requirements as JUnit XML.",
            show_default=False,
            metavar="FILE",
            rich_help_panel=POLICY,
        ),
    ] = None,
    annotations: Annotated[
        bool,
        typer.Option("--annotations", help="Print GitHub's annotations on stdout.", rich_help_panel=POLICY),
    ] = False,
    max_risk: Annotated[
        float | None,
        typer.Option(help="The largest error rate.", min=0, max=1, show_default=False, rich_help_panel=POLICY),
    ] = None,
    min_gain: Annotated[
        float | None,
        typer.Option(
            help="The true answer's least gain from the evidence (nats).", show_default=False, rich_help_panel=POLICY
        ),
    ] = None,
    strengthen: Annotated[
        str | None,
        typer.Option(
            help="Multiply the detected heads' outputs by this, or by the best of several (auto).",
            show_default=False,
            metavar="X|auto",
            rich_help_panel=CONTROL,
        ),
    ] = None,
    weaken: Annotated[
        str | None,
        typer.Option(
            help="Multiply heads that raise wrong answers by this (below 1), or by the best of several (auto).",
            show_default=False,
            metavar="X|auto",
            rich_help_panel=CONTROL,
        ),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(
            help="Number of random head sets that are multiplied in the same way.",
            min=1,
            metavar="N",
            rich_help_panel=CONTROL,
        ),
    ] = 20,
    text: Annotated[
        Path | None,
        typer.Option(
            help="Ordinary text; its perplexity shows what the edit costs.",
            show_default="a text of ours",
            metavar="FILE",
            rich_help_panel=CONTROL,
        ),
    ] = None,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    loading: LoadOptions,
) -> None:
    """Screen a model before it ships: does it say what was shown, or what is usual, and can its heads tell?

    Questions are answered by likelihood, with the evidence, without it and on other evidence. The risk card tells the
    error rates by kind, which signal predicts errors best, and whether the policy is met: exit code 0, or 3 if not.
    What a policy asks for and was not measured is not met.
    """
    from groundbench.engine import distributed
    from groundbench.screening.measure import RecordOptions
    from groundbench.screening.screen import ScreenOptions
    from groundbench.screening.screen import dry_run as plan
    from groundbench.screening.screen import screen as run

    options = ScreenOptions(
        policy=_policy(policy, max_risk, min_gain),
        signals=split(signals),
        carriers=carriers,
        limit=limit,
        generate=generate,
        records=RecordOptions(template, keep_going, max_evidence, calibrate, _fields(fields)),
        strengthen=_strength("--strengthen", strengthen, draws, text),
        weaken=_strength("--weaken", weaken, draws, text),
        seed=seed,
        batch_tokens=batch_tokens,
    )
    load = loading.load()
    if dry_run:
        _show_plan(plan(model, split(questions), options, load=load, timed=try_it), as_json)
        return
    with distributed.process_group() as team:  # one process, unless a launcher started several
        card = run(model, split(questions), options, out=out, force=force, load=load)
    if team.first:
        _show(card, out, as_json, explain)
        _tell_pipeline(card, junit, annotations)
    if card.verdict.passed is False:
        failed = next(c for c in card.verdict.checks if not c.passed)
        count = sum(not c.passed for c in card.verdict.checks)
        more = f" (and {count - 1} more)" if count > 1 else ""
        raise GateFailedError(f"{card.model.name} fails {failed.name} {failed.wanted}{more}: {failed.reason}")


def _tell_pipeline(card: RiskCard, junit: Path | None, annotations: bool) -> None:
    """Return the outcome for CI systems, written before the exit code says it."""
    if junit is None and not annotations:
        return
    from groundbench.export.card_checks import github_annotations, junit_xml
    from groundbench.util.atomic_files import write_text

    if junit is not None:
        write_text(junit, junit_xml(card))
    for line in github_annotations(card) if annotations else ():
        typer.echo(line)


def _fields(said: list[str] | None) -> dict[str, str]:
    """Return pairs `ours=yours`, given by repetition or separated by commas; their names may hold commas."""
    found: dict[str, str] = {}
    for pair in (p for text in said or () for p in re.split(r",(?=\s*\w+=)", text)):
        ours, mark, theirs = (part.strip() for part in pair.partition("="))
        if not mark or not ours or not theirs:
            raise BadInputError(f"--fields {pair.strip()!r}: expected pairs such as question=Frage,answer=Antwort")
        if ours in found:
            raise BadInputError(f"--fields: {ours} is given twice, as {found[ours]!r} and {theirs!r}")
        found[ours] = theirs
    return found


def _policy(path: Path | None, max_risk: float | None, min_gain: float | None) -> Policy | None:
    """Return the policy of a file; options of the command line replace its values."""
    from pydantic import ValidationError

    from groundbench.screening.policy import Policy
    from groundbench.util.validation import first_fault

    said: dict[str, Any] = {"max_risk": max_risk, "min_gain": min_gain}
    said = {name: value for name, value in said.items() if value is not None}
    if path is None and not said:
        return None
    written = {} if path is None else Policy.load(path).model_dump(exclude_unset=True)
    try:
        return Policy.model_validate({**written, **said})
    except ValidationError as error:
        raise BadInputError(f"--max-risk or --min-gain: {first_fault(error)}") from None


def _strength(option: str, wanted: str | None, draws: int, text: Path | None) -> StrengthenOptions | None:
    from groundbench.screening.strengthening import FACTORS, WEAKER, StrengthenOptions

    weaker = option == "--weaken"
    if wanted is None:
        return None
    if wanted == "auto":
        return StrengthenOptions(WEAKER if weaker else FACTORS, draws, text)
    expected = "a number between 0 and 1, such as 0.5" if weaker else "a number such as 1.5"
    try:
        factor = float(wanted)
    except ValueError:
        raise BadInputError(f"{option} {wanted!r}: expected {expected}, or auto") from None
    if weaker and not 0 < factor < 1:
        raise BadInputError(f"{option} {wanted}: expected {expected}, or auto")
    return StrengthenOptions((factor,), draws, text)


def _show(card: RiskCard, out: Path | None, as_json: bool, explain: bool) -> None:
    from groundbench.cli.tables.risk_card import show_card
    from groundbench.report.pages import render_card, render_card_markdown
    from groundbench.util.atomic_files import write_text

    if as_json:
        typer.echo(card.model_dump_json(indent=1))
    else:
        show_card(card, explain=explain)
    if out is None:
        console.note("nothing was written: give --out DIR to keep the card")
        return
    write_text(out / "card.html", render_card(card))
    write_text(out / "card.md", render_card_markdown(card))
    console.note(f"wrote {out / 'card.json'}, card.md, card.html and answers.parquet")


def _show_plan(plan: ScreenPlan, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        console.show_json(asdict(plan))
        return
    rows = (
        ("questions", f"{plan.questions:,} in {plan.groups:,} scenes, {plan.unreadable:,} unreadable"),
        ("prompts", f"{plan.prompts:,} distinct, {plan.tokens:,} tokens in {plan.batches:,} batches"),
        ("answering", console.about(plan.seconds)),
        ("heads", _cost(plan.traced, "forward and backward passes", plan.seconds_heads) if plan.traced else "not read"),
        ("strengthened", _cost(plan.strengthened, "prompts", plan.seconds_strengthened)),
        ("in all", f"{console.about(plan.seconds_in_all)}, {plan.basis}"),
    )
    console.show_list("A screening would cost", rows)


def _cost(count: int, what: str, seconds: float) -> str:
    return f"{count:,} {what}" + (f", {console.about(seconds)}" if seconds else "")
