"""The measurements of one screening, one after the other, and what could not be measured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, ModelInfo
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.question import Question
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS
from groundbench.measures.causal.options import headline_size
from groundbench.results.risk_card import GenerationRecord, HeadsUsed, StrengthenRecord
from groundbench.results.run import Failure
from groundbench.screening.answer_reading import GivenAnswer
from groundbench.screening.answer_signals import Watched
from groundbench.screening.answering import Answers, Asked, ask, read_questions
from groundbench.screening.generation import generate
from groundbench.screening.given_answers import read_set, risks_of_answers, wanted_for
from groundbench.screening.heads import Head, activity, carrier_heads, detect, given_heads, measured_heads, watch
from groundbench.screening.induction import induction_heads
from groundbench.screening.lens_entropy import lens_entropy
from groundbench.screening.policy import Policy
from groundbench.screening.signals import CARRIERS, Signal, behaviour, choose, of_heads
from groundbench.screening.splits import Splits, split
from groundbench.screening.strengthening import StrengthenOptions, raising_heads, strengthen
from groundbench.stats.grouped import group_numbers
from groundbench.util.progress import Progress

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RecordOptions:
    """The options of reading a user's own records (see `groundbench.tasks.questions.records.ReadOptions`).

    Attributes:
        template: a prompt with `{evidence}` and `{question}`.
        keep_going: leave faulty records out and count them.
        max_evidence: cut evidence at a sentence border to at most so many characters.
        calibrate: mode C: the card (or its folder) whose fits turn signals into probabilities.
        fields: our name of a field -> the file's; recognised if not given.
    """

    template: str | None = None
    keep_going: bool = False
    max_evidence: int | None = None
    calibrate: Path | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScreenOptions:
    """The measures of a screening.

    Attributes:
        policy: what is required; without one nothing is, and the card's verdict is None.
        signals: names or families of signals (see `groundbench.screening.signals`); all by default.
        heads: (layer from 1, head from 0); by default those detected in the split `detect`.
        carriers: a run of the same model with the measure `causal`, whose heads are watched beside the detected ones.
        limit: at most so many questions, drawn by the seed as whole groups.
        generate: also answer by a greedy continuation.
        own_records: the questions are a user's own records: every signal is measured unless some are named.
        records: how users' own files of records are read.
        strengthen: multiply the heads' outputs and see; not by default.
        weaken: the same, by factors below 1, of heads that raise wrong answers; not by default.
    """

    policy: Policy | None = None
    signals: tuple[str, ...] = ()
    heads: tuple[Head, ...] = ()
    carriers: Path | None = None
    limit: int | None = None
    generate: bool = False
    strengthen: StrengthenOptions | None = None
    weaken: StrengthenOptions | None = None
    own_records: bool = False
    records: RecordOptions = field(default_factory=lambda: RecordOptions())
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS

    def __post_init__(self) -> None:
        self.signals_of(records=self.own_records)  # before a model is opened
        if self.carriers is not None:
            measured_heads(self.carriers)  # before a model is opened

    @property
    def chosen(self) -> tuple[Signal, ...]:
        """The signals that are measured. Raises BadInputError for an unknown name, or carriers that no run names."""
        return self.signals_of(records=self.own_records)

    def signals_of(self, *, records: bool) -> tuple[Signal, ...]:
        """Return the signals that are measured on question sets, or on a user's own records."""
        found = choose(self.signals, records=records)
        if self.carriers is None and (asked := [s.name for s in found if s.needs == "carriers"]):
            raise BadInputError(f"signal {asked[0]}: expected --carriers RUN, a run of the model with --measure causal")
        missing = self.carriers is not None and not any(s.needs == "carriers" for s in found)
        return (*found, *CARRIERS) if missing else found

    @property
    def compares(self) -> bool:
        """True if questions are also asked without their evidence and on other evidence."""
        gain = self.policy is not None and self.policy.min_gain is not None
        return gain or any(s.needs in ("without", "mismatched") for s in self.chosen)


@dataclass
class Run:
    """One screening under way: what was asked and answered, and what could not be measured."""

    adapter: Adapter
    options: ScreenOptions
    store: RunStore | None
    asked: Asked
    answers: Answers
    splits: Splits
    carriers: HeadsUsed | None = None
    missing: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def bar(self, what: str, n: int) -> Progress:
        """Return a progress bar of one measurement."""
        return Progress(f"{self.adapter.info.name}: {what}", n)

    def wants(self, need: str) -> list[Signal]:
        """Return the chosen signals that need this."""
        return [s for s in self.options.chosen if s.needs == need]


def answer_questions(
    adapter: Adapter, chosen: Sequence[Question], options: ScreenOptions, store: RunStore | None
) -> Run:
    """Ask and answer the questions, and split them. For the errors see `read_questions` and `ask`."""
    carriers = carriers_of(adapter.info, options)  # a run of another model is refused before anything is asked
    asked = read_questions(adapter, chosen, others=options.compares)
    with Progress(f"{adapter.info.name}: answering", len(asked.contexts.distinct)) as bar:
        answers = ask(adapter, asked, batch_tokens=options.batch_tokens, store=store, advance=bar.advance)
    run = Run(adapter, options, store, asked, answers, split(asked.questions, options.seed), carriers)
    run.failures += asked.failures
    return run


def carriers_of(info: ModelInfo, options: ScreenOptions) -> HeadsUsed | None:
    """Return the heads of the run that the options name; None without one, or where the model has no hooks."""
    if options.carriers is None or "hooks" not in info.capabilities:
        return None
    return carrier_heads(info, options.carriers)


def risks_of(run: Run) -> tuple[HeadsUsed | None, dict[str, Floats]]:
    """Return the heads that were used, and every signal's risk of every question."""
    n = len(run.answers.questions)
    risks = behaviour(run.answers, run.answers.given)
    heads, of_these = _heads(run)
    risks |= of_these
    if run.wants("hidden"):
        risks["lens-entropy"] = _lens(run)
    if run.wants("answer"):
        risks |= _of_given_answers(run)
    names = [s.name for s in run.options.chosen]
    return heads, {name: risks.get(name, np.full(n, np.nan)) for name in names}


def _of_given_answers(run: Run) -> dict[str, Floats]:
    """Compute signals of the given answer (the likeliest candidate), read token by token after its prompts."""
    signals, n = run.wants("answer"), len(run.answers.questions)
    answers = []
    for q, (question, number) in enumerate(zip(run.asked.questions, run.answers.given.tolist(), strict=True)):
        row, target = run.asked.row(q), run.asked.answer(q, number)
        answers.append(GivenAnswer(f"question {question.id}", row, target, *run.asked.comparison_rows(q)))
    info = run.adapter.info
    none = np.zeros(info.n_heads, dtype=bool)
    induction = induction_heads(run.adapter, run.options.seed) if any(s.name == "sink" for s in signals) else none
    with run.bar("reading answers", n) as bar:
        readings = read_set(run.adapter, answers, wanted_for(signals), run.store, bar.advance)
    group = group_numbers([q.group for q in run.answers.questions])
    found = risks_of_answers(signals, readings, Watched(info, none, induction), run.answers.errors, group, run.splits)
    run.missing |= found.missing
    return found.risks


def _heads(run: Run) -> tuple[HeadsUsed | None, dict[str, Floats]]:
    """Detect heads where the right answer is the loss, in one split; watch them for the given one in the others.

    Returns:
        the detected heads, and the risks that they and the carriers tell.
    """
    wanted = [s.name for s in run.wants("heads")]
    told = [s.name for s in run.wants("carriers")]
    if not wanted and not told and run.options.strengthen is None:
        return None, {}
    info = run.adapter.info
    if "hooks" not in info.capabilities:
        return None, _note_unmeasured(run, [*wanted, *told], f"{info.name}: {info.why_not('hooks')}")
    heads = _heads_used(run) if wanted or run.options.strengthen is not None else None
    if heads is not None and not heads.heads:
        _note_unmeasured(run, wanted, f"no head was detected in half of {heads.n_items} questions")
    sets: dict[Literal["heads", "carriers"], HeadsUsed] = {}
    if wanted and heads is not None and heads.heads:
        sets["heads"] = heads
    if told and run.carriers is not None:
        sets["carriers"] = run.carriers
    return heads, _watch_heads(run, sets) if sets else {}


def _watch_heads(run: Run, sets: Mapping[Literal["heads", "carriers"], HeadsUsed]) -> dict[str, Floats]:
    """Return the risks that sets of heads tell, by one pass for each question; NaN where questions detect heads."""
    scored = run.splits.scored
    with run.bar("watching heads", len(scored)) as bar:
        given = run.answers.given[scored]
        options = run.options
        saliency = watch(run.adapter, run.asked, scored, given, seed=options.seed, store=run.store, advance=bar.advance)
    risks = {}
    for family, used in sets.items():
        for name, values in of_heads(activity(saliency, used.heads), family).items():
            risks[name] = np.full(len(run.answers.questions), np.nan)
            risks[name][scored] = values
    return risks


def _heads_used(run: Run) -> HeadsUsed:
    """Return the heads that were named, or those detected in the split `detect`."""
    info, part = run.adapter.info, run.splits.detect
    if run.options.heads:
        return given_heads(info, run.options.heads)
    if not len(part):
        return HeadsUsed(heads=(), selection="share", threshold=0.0, min_rate=0.0, n_items=0, total=info.n_heads)
    with run.bar("detecting heads", len(part)) as bar:
        truth = run.answers.truth[part]
        seed, store = run.options.seed, run.store
        saliency = watch(run.adapter, run.asked, part, truth, seed=seed, store=store, advance=bar.advance)
    return detect(saliency, [run.asked.questions[q].kind for q in part])


def _note_unmeasured(run: Run, names: Sequence[str], why: str) -> dict[str, Floats]:
    run.missing |= dict.fromkeys(names, why)
    if names:
        run.failures.append(Failure(where="heads", reason=why))
    return {}


def _lens(run: Run) -> Floats:
    """Return [questions] the lens' entropy; NaN where it was not read, or cannot be."""
    found = np.full(len(run.answers.questions), np.nan)
    scored = run.splits.scored
    if not len(scored):
        return found
    try:
        with run.bar("lens", len(scored)) as bar:
            contexts = run.asked.only(scored).contexts
            budget, store = run.options.batch_tokens, run.store
            found[scored] = lens_entropy(run.adapter, contexts, batch_tokens=budget, store=store, advance=bar.advance)
    except UnsupportedModelError as error:
        run.missing["lens-entropy"] = str(error)
        run.failures.append(Failure(where="lens", reason=str(error)))
    return found


def measure_generation(run: Run) -> GenerationRecord | None:
    """Generate answers greedily; None where they were not asked for, or the adapter cannot show text."""
    if not run.options.generate:
        return None
    try:
        with run.bar("generating", len(run.asked.questions)) as bar:
            budget = run.options.batch_tokens
            return generate(run.adapter, run.asked, run.answers, batch_tokens=budget, advance=bar.advance)
    except UnsupportedModelError as error:
        run.failures.append(Failure(where="generation", reason=str(error)))
        return None


def measure_strengthened(run: Run, heads: HeadsUsed | None) -> StrengthenRecord | None:
    """Measure with the detected heads strengthened; None if not asked for, or nothing can be strengthened or tested."""
    wanted = run.options.strengthen
    found = () if heads is None else heads.heads
    return None if wanted is None else _measure_multiplied(run, found, wanted, "strengthen", "no head was detected")


def measure_weakened(run: Run) -> StrengthenRecord | None:
    """Measure with the heads that raise wrong answers weakened; None if not asked for, or impossible.

    They are chosen on wrongly answered questions of the split `fit`, as many as the measure `causal` exchanges.
    """
    wanted, info = run.options.weaken, run.adapter.info
    if wanted is None:
        return None
    if "hooks" not in info.capabilities:
        run.failures.append(Failure(where="weaken", reason=f"{info.name}: {info.why_not('hooks')}"))
        return None
    wrong = run.splits.fit[run.answers.errors[run.splits.fit]]
    heads: tuple[Head, ...] = ()
    if len(wrong):
        with run.bar("finding heads that raise wrong answers", 2 * len(wrong)) as bar:
            given, truth = (
                watch(
                    run.adapter,
                    run.asked,
                    wrong,
                    of[wrong],
                    seed=run.options.seed,
                    store=run.store,
                    advance=bar.advance,
                )
                for of in (run.answers.given, run.answers.truth)
            )
        heads = raising_heads(given, truth, headline_size(info.n_heads))
    return _measure_multiplied(run, heads, wanted, "weaken", "no head raises wrong answers, or none is wrong")


def _measure_multiplied(
    run: Run, heads: Sequence[Head], wanted: StrengthenOptions, name: str, nothing: str
) -> StrengthenRecord | None:
    empty = not len(run.splits.fit) or not len(run.splits.test)
    if empty or not heads:
        why = "the questions are too few to split" if empty else nothing
        run.failures.append(Failure(where=name, reason=why))
        return None
    passes = len(wanted.factors) * len(run.splits.fit) + (1 + wanted.draws) * len(run.splits.test)
    with run.bar(f"{name}ing", passes) as bar:
        return strengthen(
            run.adapter,
            run.asked,
            run.answers,
            run.splits,
            heads,
            wanted,
            seed=run.options.seed,
            batch_tokens=run.options.batch_tokens,
            store=run.store,
            advance=bar.advance,
        )
