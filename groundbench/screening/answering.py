"""Questions answered by likelihood: every candidate after every prompt, through the scoring engine.

No text is generated and none is parsed: the answer is the candidate with the least surprisal, all its tokens counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
class Asked:
    """Questions as a model reads them.

    Attributes:
        contexts: of every question its prompt, then (where asked for) the one without evidence, then the mismatched;
            questions of one kind may share their targets, so that they share batches.
        answers: [contexts] the tokens of the question's own candidates; `place`: where these stand among the targets.
        shown: [questions] where each question's own prompt stands in `contexts`.
        without: [questions] the same of the prompt without evidence; -1 where there is none.
        mismatched: for each question where its prompts with other evidence stand.
        left_out: questions that the model's tokenizer cannot read; `failures`: why not, in their order.
        unreadable: for questions of the kind `mention` (their ids) the number of candidates left out for that reason.
    """

    questions: tuple[Question, ...]
    contexts: Contexts
    answers: tuple[Targets, ...]
    place: tuple[Ints, ...]
    shown: Ints
    without: Ints
    mismatched: tuple[Ints, ...]
    left_out: tuple[Question, ...] = ()
    failures: tuple[Failure, ...] = ()
    unreadable: Mapping[str, int] = field(default_factory=dict)

    def row(self, question: int) -> Encoded:
        """Return a question's own prompt."""
        return self.contexts[int(self.shown[question])].row

    def answer(self, question: int, answer: int) -> tuple[int, ...]:
        """Return the tokens of one of a question's candidates."""
        return self.answers[int(self.shown[question])][answer]

    def compared(self, question: int) -> tuple[Encoded | None, Encoded | None]:
        """Return a question's prompt without evidence, and the first with other evidence; None where there is none."""
        without, others = int(self.without[question]), self.mismatched[question]
        rows = self.contexts.rows
        return (rows[without] if without >= 0 else None, rows[int(others[0])] if len(others) else None)

    def only(self, chosen: Ints, *, others: bool = False) -> Asked:
        """Return some of the questions; with their own prompts only unless `others` are wanted too."""
        return _laid_out([_Read.of(self, int(q), others) for q in chosen])


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
        return normalised(self.shown)


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


def normalised(surprisal: Floats) -> Floats:
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
    encoded, faults = _encoded(adapter, flat, owner)
    found: list[_Read] = []
    at = 0
    for i, (question, own) in enumerate(zip(questions, prompts, strict=True)):
        rows = encoded[at : at + len(own)]
        at += len(own)
        if i in faults:
            continue
        read, why = _with_candidates(adapter, question, own)
        if read is None:
            faults[i] = why
            continue
        asked, targets = read
        found.append(_Read(asked, tuple(own), tuple(r for r in rows if r is not None), targets))
    if not found:
        why = next(iter(faults.values()), "there are none")
        raise BadInputError(f"no question can be asked of {adapter.info.name}: {why}")
    left_out = tuple(questions[i] for i in sorted(faults))
    failures = tuple(Failure(where=f"question {questions[i].id}", reason=faults[i]) for i in sorted(faults))
    by_id = {q.id: len(q.choices) for q in questions}
    unreadable = {r.question.id: by_id[r.question.id] - len(r.question.choices) for r in found}
    short = {id_: n for id_, n in unreadable.items() if n}
    return replace(_laid_out(found), left_out=left_out, failures=failures, unreadable=short)


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
    every = np.full((len(asked.contexts) + 1, width), np.nan)  # the last row is that of no prompt: -1
    for i, first in enumerate(asked.contexts.unique.tolist()):
        own = asked.place[i]
        every[i, : len(own)] = found[first][own]
    most = max(map(len, asked.mismatched), default=0)
    other = np.full((len(asked.questions), most), -1)
    for i, own in enumerate(asked.mismatched):
        other[i, : len(own)] = own
    return Answers(asked.questions, every[asked.shown], every[asked.without], every[other])


@dataclass(frozen=True)
class _Read:
    """One question's prompts in order (own, without if there is one, mismatched), encoded."""

    question: Question
    prompts: tuple[Prompt, ...]
    rows: tuple[Encoded, ...]
    targets: tuple[Targets, ...]

    @classmethod
    def of(cls, asked: Asked, question: int, others: bool) -> _Read:
        c, q = asked.contexts, asked.questions[question]
        at = [int(asked.shown[question])]
        if others:
            at += [int(a) for a in (asked.without[question], *asked.mismatched[question]) if a >= 0]
        else:
            q = replace(q, without=None, mismatched=())
        return cls(
            question=q,
            prompts=tuple(c[a].prompt for a in at),
            rows=tuple(c[a].row for a in at),
            targets=tuple(asked.answers[a] for a in at),
        )


def _laid_out(found: Sequence[_Read]) -> Asked:
    shown, without, mismatched = [], [], []
    at = 0
    for read in found:
        has = int(read.question.without is not None and len(read.prompts) > 1)
        shown.append(at)
        without.append(at + 1 if has else -1)
        mismatched.append(np.arange(at + 1 + has, at + len(read.prompts)))
        at += len(read.prompts)
    prompts = [p for read in found for p in read.prompts]
    answers = tuple(t for read in found for t in read.targets)
    targets = _shared(answers, [read.question.kind for read in found for _ in read.prompts])
    rows = [row for read in found for row in read.rows]
    return Asked(
        questions=tuple(read.question for read in found),
        contexts=of_prompts(prompts, rows, targets, [_opening(p) for p in prompts]),
        answers=answers,
        place=tuple(np.array([all_.index(t) for t in own]) for own, all_ in zip(answers, targets, strict=True)),
        shown=np.array(shown),
        without=np.array(without),
        mismatched=tuple(mismatched),
    )


def _shared(answers: Sequence[Targets], kinds: Sequence[str]) -> list[Targets]:
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


def _encoded(
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
