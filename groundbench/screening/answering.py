"""Questions answered by likelihood: every candidate after every prompt, through the scoring engine.

No text is generated and none is parsed: the answer is the candidate with the least surprisal, all its tokens counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Encoded, HeadEdit
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.question import MENTION, Question
from groundbench.api.testbed import EnvSegment, ImageSegment, Prompt
from groundbench.engine.contexts import Contexts, Targets, of_prompts
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import DEFAULT_BATCH_TOKENS, surprisals
from groundbench.results.run import Failure

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Advance = Callable[[int], None]
MOST_SHARED = 32
"""Candidates that all questions of a kind may have together and still all be read after each prompt."""


@dataclass(frozen=True)
class ReadPrompt:
    """One prompt of a question as a model reads it; `answers`: the tokens of the question's candidates after it."""

    prompt: Prompt
    row: Encoded
    answers: Targets


@dataclass(frozen=True)
class ReadQuestion:
    """A question as a model reads it: with its evidence (`shown`), without it, and with other evidence."""

    question: Question
    shown: ReadPrompt
    without: ReadPrompt | None = None
    mismatched: tuple[ReadPrompt, ...] = ()

    @property
    def prompts(self) -> tuple[ReadPrompt, ...]:
        """Its prompts in order: shown, without if there is one, mismatched."""
        return (self.shown, *([] if self.without is None else [self.without]), *self.mismatched)

    def alone(self) -> ReadQuestion:
        """Return the question with its own prompt only."""
        return ReadQuestion(replace(self.question, without=None, mismatched=()), self.shown)


@dataclass(frozen=True)
class Asked:
    """Questions as a model reads them.

    Attributes:
        contexts: the prompts of all questions, one question after another; questions of one kind may share their
            targets, so that they share batches.
        left_out: questions that the model's tokenizer cannot read; `failures`: why not, in their order.
        unreadable: for questions of the kind `mention` (their ids) the number of candidates left out for that reason.
    """

    read: tuple[ReadQuestion, ...]
    contexts: Contexts
    left_out: tuple[Question, ...] = ()
    failures: tuple[Failure, ...] = ()
    unreadable: Mapping[str, int] = field(default_factory=dict)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions that are asked."""
        return tuple(read.question for read in self.read)

    @cached_property
    def place(self) -> tuple[Ints, ...]:
        """For each context the places of the question's own candidates among its targets."""
        answers = (p.answers for read in self.read for p in read.prompts)
        return tuple(
            np.array([c.targets.tokens.index(t) for t in own]) for c, own in zip(self.contexts, answers, strict=True)
        )

    def row(self, question: int) -> Encoded:
        """Return a question's own prompt."""
        return self.read[question].shown.row

    def answer(self, question: int, answer: int) -> tuple[int, ...]:
        """Return the tokens of one of a question's candidates."""
        return self.read[question].shown.answers[answer]

    def comparison_rows(self, question: int) -> tuple[Encoded | None, Encoded | None]:
        """Return a question's prompt without evidence, and the first with other evidence; None where there is none."""
        read = self.read[question]
        return (
            None if read.without is None else read.without.row,
            read.mismatched[0].row if read.mismatched else None,
        )

    def only(self, chosen: Ints, *, others: bool = False) -> Asked:
        """Return some of the questions; with their own prompts only unless `others` are wanted too."""
        return _make_asked([self.read[q] if others else self.read[q].alone() for q in chosen.tolist()])


@dataclass(frozen=True)
class Answers:
    """Surprisals (nats) of the candidates; NaN beyond a question's own number of candidates, and where not asked.

    Attributes:
        shown: [questions, A] after the prompt with the evidence.
        without: [questions, A] after the one without.
        mismatched: [questions, K, A] after those with other evidence.
    """

    questions: tuple[Question, ...]
    shown: Floats
    without: Floats
    mismatched: Floats

    @property
    def truth(self) -> Ints:
        """[questions] the right answers."""
        return np.array([q.target for q in self.questions])

    @property
    def right(self) -> Bools:
        """[questions, A] which candidates are right: one, or several where any of several things may be mentioned."""
        return right_answers(self.questions, self.shown.shape[1])

    @property
    def given(self) -> Ints:
        """[questions] the likeliest answers; where a right one is no likelier than a wrong one, that wrong one."""
        return given_answers(self.shown, self.right)

    @property
    def errors(self) -> Bools:
        """[questions] whether the answer is wrong."""
        return wrong_answers(self.given, self.right)

    @property
    def probabilities(self) -> Floats:
        """[questions, A] the candidates' probabilities, normalised over the candidates; NaN where there is none."""
        return normalise(self.shown)


def right_answers(questions: Sequence[Question], width: int) -> Bools:
    """Return [questions, width] which candidates are right."""
    found = np.zeros((len(questions), width), dtype=bool)
    for own, q in zip(found, questions, strict=True):
        own[[q.target, *q.also_correct]] = True
    return found


def given_answers(surprisal: Floats, right: Bools) -> Ints:
    """Return [questions] the candidate of least surprisal [questions, A]; a tie of right and wrong is an error."""
    at = np.arange(len(surprisal))
    best, lure = (np.nanargmin(np.where(part, surprisal, np.nan), axis=1) for part in (right, ~right))
    found: Ints = np.where(surprisal[at, best] < surprisal[at, lure], best, lure)
    return found


def wrong_answers(given: Ints, right: Bools) -> Bools:
    """Return [questions] whether an answer (-1: none) is not among the right ones [questions, A]."""
    wrong: Bools = (given < 0) | ~right[np.arange(len(given)), given]
    return wrong


def normalise(surprisal: Floats) -> Floats:
    """Turn surprisals in nats into probabilities over the last axis; NaN stays NaN."""
    if surprisal.size == 0:
        return surprisal
    least = np.where(np.isnan(surprisal), np.inf, surprisal).min(-1, keepdims=True)
    weight = np.exp(np.where(np.isfinite(least), least, 0.0) - surprisal)
    total = np.nansum(weight, -1, keepdims=True)
    found: Floats = np.divide(weight, total, out=np.full_like(weight, np.nan), where=total > 0)
    return found


def read_questions(adapter: Adapter, questions: Sequence[Question], *, others: bool = True) -> Asked:
    """Encode every prompt and candidate once.

    Args:
        others: also the prompts without evidence and with other evidence.

    Raises:
        BadInputError: two questions have one id, a prompt is longer than the model's context, or no question is left.
    """
    seen: set[str] = set()
    for q in questions:
        if q.id in seen:
            raise BadInputError(f"question {q.id!r} comes twice; expected different ids in all question sets together")
        seen.add(q.id)
    prompts = [list(_prompts(q, others)) for q in questions]
    flat = [p for own in prompts for p in own]
    owner = [i for i, own in enumerate(prompts) for _ in own]
    encoded, faults = _encode_prompts(adapter, flat, owner)
    found: list[ReadQuestion] = []
    at = 0
    for i, (question, own) in enumerate(zip(questions, prompts, strict=True)):
        rows = encoded[at : at + len(own)]
        at += len(own)
        if i in faults:
            continue
        answered, why = _with_candidates(adapter, question, own)
        if answered is None:
            faults[i] = why
            continue
        asked, answers = answered
        read = [ReadPrompt(p, r, t) for p, r, t in zip(own, rows, answers, strict=True) if r is not None]
        without = int(others and asked.without is not None)
        found.append(ReadQuestion(asked, read[0], read[1] if without else None, tuple(read[1 + without :])))
    if not found:
        why = next(iter(faults.values()), "there are none")
        raise BadInputError(f"no question can be asked of {adapter.info.name}: {why}")
    left_out = tuple(questions[i] for i in sorted(faults))
    failures = tuple(Failure(where=f"question {questions[i].id}", reason=faults[i]) for i in sorted(faults))
    by_id = {q.id: len(q.choices) for q in questions}
    unreadable = {r.question.id: by_id[r.question.id] - len(r.question.choices) for r in found}
    short = {id_: n for id_, n in unreadable.items() if n}
    return replace(_make_asked(found), left_out=left_out, failures=failures, unreadable=short)


def _with_candidates(
    adapter: Adapter, question: Question, prompts: Sequence[Prompt]
) -> tuple[tuple[Question, tuple[Targets, ...]] | None, str]:
    """Return the question with the tokens of its candidates after each prompt; None, and why, where one cannot be read.

    What may be mentioned is whatever the model can say: there, candidates that cannot be read are left out.
    """
    try:
        return (question, tuple(tuple(adapter.encode_targets(question.choices, p)) for p in prompts)), ""
    except UnencodableError as error:
        fewer = question.without_answers(error.faults) if question.kind == MENTION else None
        if fewer is None or len(fewer.choices) == len(question.choices):
            return None, str(error)
        return _with_candidates(adapter, fewer, prompts)


def ask(
    adapter: Adapter,
    asked: Asked,
    *,
    edit: HeadEdit | None = None,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    store: RunStore | None = None,
    stage: str = "answers",
    advance: Advance | None = None,
) -> Answers:
    """Return surprisals of all candidates; every distinct prompt runs once. For the errors see `surprisals`."""
    found = surprisals(
        adapter, asked.contexts, batch_tokens=batch_tokens, edit=edit, store=store, stage=stage, advance=advance
    )
    width = max(len(q.choices) for q in asked.questions)
    most = max(len(read.mismatched) for read in asked.read)
    shown, without = (np.full((len(asked.read), width), np.nan) for _ in range(2))
    mismatched = np.full((len(asked.read), most, width), np.nan)
    values = iter([found[first][own] for first, own in zip(asked.contexts.unique.tolist(), asked.place, strict=True)])
    for q, read in enumerate(asked.read):
        n = len(read.question.choices)
        shown[q, :n] = next(values)
        if read.without is not None:
            without[q, :n] = next(values)
        for other in range(len(read.mismatched)):
            mismatched[q, other, :n] = next(values)
    return Answers(asked.questions, shown, without, mismatched)


def _make_asked(found: Sequence[ReadQuestion]) -> Asked:
    prompts = [p for read in found for p in read.prompts]
    targets = _share_targets([p.answers for p in prompts], [read.question.kind for read in found for _ in read.prompts])
    groups = [_opening(p.prompt) for p in prompts]
    contexts = of_prompts([p.prompt for p in prompts], [p.row for p in prompts], targets, groups)
    return Asked(tuple(found), contexts)


def _share_targets(answers: Sequence[Targets], kinds: Sequence[str]) -> list[Targets]:
    """Share continuations: the candidates of all questions of a kind where these are few, or not many more
    than each question's own; else its own.

    Contexts run together only if their targets of several tokens are the same: eleven colours, of which each question
    asks four in an order of its own, would else part every question from all others.
    """
    union: dict[str, dict[tuple[int, ...], None]] = {}
    fewest: dict[str, int] = {}
    for own, kind in zip(answers, kinds, strict=True):
        union.setdefault(kind, {}).update(dict.fromkeys(own))
        fewest[kind] = min(fewest.get(kind, len(own)), len(own))
    shared = {
        kind: tuple(sorted(found)) for kind, found in union.items() if len(found) <= max(MOST_SHARED, 2 * fewest[kind])
    }
    return [shared.get(kind, own) for own, kind in zip(answers, kinds, strict=True)]


def _prompts(question: Question, others: bool) -> Iterable[Prompt]:
    yield question.prompt
    if others:
        if question.without is not None:
            yield question.without
        yield from question.mismatched


def _encode_prompts(
    adapter: Adapter, prompts: Sequence[Prompt], owner: Sequence[int]
) -> tuple[list[Encoded | None], dict[int, str]]:
    """Return every prompt encoded; for questions with one that cannot be (their number), why."""
    try:
        return list(adapter.encode(prompts)), {}
    except UnencodableError as error:
        bad = {owner[i]: why for i, why in reversed(error.faults.items())}
    kept = [i for i, q in enumerate(owner) if q not in bad]
    rows: list[Encoded | None] = [None] * len(prompts)
    for i, row in zip(kept, adapter.encode([prompts[i] for i in kept]), strict=True):
        rows[i] = row
    return rows, bad


def _opening(prompt: Prompt) -> str:
    """Return the start of a prompt, evidence included: questions about one scene share it."""
    last = max((i for i, s in enumerate(prompt.segments) if isinstance(s, EnvSegment | ImageSegment)), default=0)
    return repr([s.image.key if isinstance(s, ImageSegment) else s.text for s in prompt.segments[: last + 1]])
