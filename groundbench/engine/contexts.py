"""Prompts as a model reads them, and the targets that are read after each. Equal contexts are run once.

`Contexts` is what the engine runs: any prompts, such as a question's or lm-eval's. `FormContexts` are those of one form
of a testbed: every noun shown in every frame, with the nouns that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Encoded, ModelInfo
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.testbed import EnvForm, Frame, Noun, Prompt, Testbed, TextSegment
from groundbench.engine.encoded_rows import EncodedRows, Made, Selection, read_column
from groundbench.engine.trials import encode_untried, try_at_length
from groundbench.util.collection import collection_paused

Ints = npt.NDArray[np.int64]
Targets = tuple[tuple[int, ...], ...]
T = TypeVar("T")
BLOCK = 1024
"""Prompts that are encoded together: tokenizers keep many times what a prompt is, and let it go after the block."""


@dataclass(frozen=True)
class TargetSet:
    """The targets that are read after a context, in order.

    Sets of the same tokens are equal, whatever their nouns: contexts that differ in nothing else run once.

    Attributes:
        tokens: the token ids of each target.
        nouns: the index of each target's noun; empty where targets are no nouns of a testbed.
        longest: the number of tokens of the longest target.
    """

    tokens: Targets
    nouns: tuple[int, ...] = field(default=(), compare=False)
    longest: int = field(init=False, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # once: sets of a hundred targets are looked up for every context
        object.__setattr__(self, "longest", max(map(len, self.tokens), default=0))
        object.__setattr__(self, "_hash", hash(self.tokens))

    def __hash__(self) -> int:
        return self._hash

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def noun_index(self) -> Ints:
        """[targets] `nouns` as an array."""
        return np.array(self.nouns, dtype=np.int64)

    def of_noun(self, noun: int) -> tuple[int, ...]:
        """Return the token ids of a noun (index) among the targets."""
        return self.tokens[self.nouns.index(noun)]

    def only(self, nouns: Container[int]) -> TargetSet:
        """Return the set with only the targets of these nouns (indices), in its own order."""
        kept = [k for k, noun in enumerate(self.nouns) if noun in nouns]
        return TargetSet(tuple(self.tokens[k] for k in kept), tuple(self.nouns[k] for k in kept))


@dataclass(frozen=True)
class Context:
    """A prompt, its tokens, and the targets that are read after it.

    Contexts of one `group` begin alike, and may share the cache of their common prefix.
    """

    prompt: Prompt
    row: Encoded
    targets: TargetSet
    group: int = 0


@dataclass(frozen=True)
class FormContext(Context):
    """A frame with one noun shown in it; the contexts of a frame are a group.

    Attributes:
        env: the index of the noun that is shown.
    """

    env: int = 0

    @property
    def frame(self) -> int:
        """The index of the frame."""
        return self.group


@dataclass(frozen=True, eq=False)
class Contexts:
    """Contexts in order, as the engine runs them: columns, of which a context is made when it is asked for.

    Attributes:
        prompts: [n] the prompts.
        rows: [n] the same, encoded.
        target_sets: the different sets of targets.
        target_set: [n] the number of each context's set.
        group: [n] the number of each context's group.
        merged: equal contexts (rows and targets) are run once; False where each is run under a head edit of its own.
    """

    prompts: Sequence[Prompt]
    rows: Sequence[Encoded]
    target_sets: tuple[TargetSet, ...]
    target_set: Ints
    group: Ints
    merged: bool = True

    COLUMNS: ClassVar[tuple[str, ...]] = ("prompts", "target_set", "group")

    def __post_init__(self) -> None:
        for name in self.COLUMNS:
            n = len(getattr(self, name))
            if n != len(self.rows):
                raise ValueError(f"there are {len(self.rows)} rows, but {name} has {n}")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Context:
        return Context(self.prompts[index], self.rows[index], self.targets(index), int(self.group[index]))

    def __iter__(self) -> Iterator[Context]:
        return map(self.__getitem__, range(len(self)))

    def targets(self, index: int) -> TargetSet:
        """Return the targets of a context."""
        return self.target_sets[int(self.target_set[index])]

    @cached_property
    def lengths(self) -> Ints:
        """[n] the tokens of each prompt."""
        return read_column(self.rows, EncodedRows.lengths)

    @cached_property
    def with_images(self) -> npt.NDArray[np.bool_]:
        """[n] True for each prompt that holds an image."""
        return read_column(self.rows, EncodedRows.with_images)

    @cached_property
    def unique(self) -> Ints:
        """[n] the index of the context that is run for each: of equal ones the first."""
        if not self.merged:
            return np.arange(len(self))
        number: dict[TargetSet, int] = {}
        equal_sets = np.array([number.setdefault(t, len(number)) for t in self.target_sets], dtype=np.int64)
        code: Ints = (
            read_column(self.rows, EncodedRows.first_equal) * len(self.target_sets) + equal_sets[self.target_set]
        )
        _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
        return first[inverse].astype(np.int64)

    @cached_property
    def distinct(self) -> Ints:
        """The contexts that are run, each once."""
        return np.unique(self.unique)


@dataclass(frozen=True, eq=False, kw_only=True)
class FormContexts(Contexts):
    """The prompts of one form, and the nouns that are asked for after each.

    Attributes:
        env: [n] the index of the noun shown in each context; its `group` is the index of its frame.
        frame_nouns: [frames] the index of the noun that a frame is about; -1 where all nouns share it.
        keep: [frame, env, target] what the table holds (a sample of mismatches, or all but what is no mismatch); None:
            all.
        left_out: nouns that the model's tokenizer does not set apart in this form, with the reason.
    """

    env: Ints
    form: EnvForm
    nouns: tuple[Noun, ...]
    frames: tuple[Frame, ...]
    frame_nouns: Ints
    keep: npt.NDArray[np.bool_] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    COLUMNS: ClassVar[tuple[str, ...]] = (*Contexts.COLUMNS, "env")

    def __getitem__(self, index: int) -> FormContext:
        frame, env = int(self.group[index]), int(self.env[index])
        return FormContext(self.prompts[index], self.rows[index], self.targets(index), frame, env)

    def __iter__(self) -> Iterator[FormContext]:
        return map(self.__getitem__, range(len(self)))

    @property
    def frame(self) -> Ints:
        """[n] the index of each context's frame."""
        return self.group

    @cached_property
    def place(self) -> dict[tuple[int, int], int]:
        """The context of each frame and noun shown (indices)."""
        return {where: i for i, where in enumerate(zip(self.frame.tolist(), self.env.tolist(), strict=True))}

    def pick(self, index: Ints) -> FormContexts:
        """Return the contexts with these indices, in this order; frames and nouns keep their numbers."""
        return replace(
            self,
            prompts=Selection(self.prompts, index),
            rows=Selection(self.rows, index),
            target_set=self.target_set[index],
            group=self.group[index],
            env=self.env[index],
        )


@dataclass(frozen=True)
class FormPrompts(Made[Prompt]):
    """The prompts of a form, each made when it is asked for.

    Attributes:
        frame, env: [n] the indices of each prompt's frame and of the noun shown in it.
    """

    testbed: Testbed
    form: EnvForm
    frames: tuple[Frame, ...]
    nouns: tuple[Noun, ...]
    frame: Ints
    env: Ints

    def __len__(self) -> int:
        return len(self.frame)

    def make(self, index: int) -> Prompt:
        """Make a prompt."""
        return self.testbed.prompt(self.frames[self.frame[index]], self.nouns[self.env[index]], self.form)


class EmptyFormError(BadInputError):
    """Fewer than two nouns of a form can be measured; `left_out`: those the tokenizer does not set apart, and why."""

    def __init__(self, message: str, left_out: Mapping[str, str]) -> None:
        super().__init__(message)
        self.left_out = dict(left_out)


def build_contexts(
    adapter: Adapter,
    testbed: Testbed,
    form: EnvForm,
    *,
    nouns: Sequence[str] | None = None,
    mismatches: int | None = None,
    seed: int = 0,
) -> FormContexts:
    """Return prompts and targets of one form.

    A noun whose form or word the tokenizer merges with what stands beside it is left out where any model may read
    the testbed (natural language); elsewhere the model does not fit the testbed, which is refused.

    Args:
        nouns: only these nouns (a limit); all by default.
        mismatches: a seeded sample of M other nouns for each item instead of all (protocol §5).

    Raises:
        EmptyFormError: fewer than two nouns are left.
        BadInputError: a prompt or target cannot be encoded, e.g. is longer than the model's context.
    """
    chosen = tuple(n for n in testbed.nouns_of(form) if nouns is None or n.word in set(nouns))
    left_out: dict[str, str] = {}
    while len(kept := tuple(n for n in chosen if n.word not in left_out)) >= 2:
        try:
            with collection_paused():
                return replace(_contexts(adapter, testbed, form, kept, mismatches, seed), left_out=left_out)
        except UnencodableError as error:
            if not testbed.natural_language:
                raise
            left_out |= {kept[i].word: why for i, why in error.faults.items()}
    first = next((f"; {why}" for why in left_out.values()), "")
    raise EmptyFormError(
        f"testbed {testbed.name!r}, form {form.name!r}: {len(kept)} nouns are left, at least 2 are needed{first}",
        left_out,
    )


def _contexts(
    adapter: Adapter, testbed: Testbed, form: EnvForm, chosen: tuple[Noun, ...], mismatches: int | None, seed: int
) -> FormContexts:
    """Return the contexts of these nouns; what cannot be encoded is an UnencodableError by their indices."""
    index = {n.word: i for i, n in enumerate(chosen)}
    frames = tuple(f for f in testbed.frames(form) if f.noun is None or f.noun in index)
    own = np.array([-1 if f.noun is None else index[f.noun] for f in frames], dtype=np.int64)
    keep = _table_mask(testbed, form, chosen, own, mismatches, seed)
    shown = np.ones((len(frames), len(chosen)), dtype=bool)
    if keep is not None and (own >= 0).any():
        per_noun = np.flatnonzero(own >= 0)
        shown[per_noun] = keep[per_noun, :, own[per_noun]]
    frame, env = (axis.astype(np.int64) for axis in np.nonzero(shown))
    prompts = FormPrompts(testbed, form, frames, chosen, frame, env)
    words = [testbed.target_in(n, form) for n in chosen]
    rows, sets, target_set = _encode(adapter, prompts, words, own.tolist())
    contexts = FormContexts(
        prompts=prompts,
        rows=rows,
        target_sets=sets,
        target_set=target_set,
        group=frame,
        env=env,
        form=form,
        nouns=chosen,
        frames=frames,
        frame_nouns=own,
        keep=keep,
    )
    require_room(adapter.info, contexts)
    return contexts


def _encode(
    adapter: Adapter, prompts: FormPrompts, words: Sequence[str], own: Sequence[int]
) -> tuple[EncodedRows, tuple[TargetSet, ...], Ints]:
    """Return the rows of prompts, the sets of targets, and the number of each prompt's set; a block at a time.

    Args:
        words: the target of each noun.
        own: the noun (index) that each frame is about and asks for; -1 where it asks for all.

    Raises:
        UnencodableError: with the faults of all prompts, by noun; of targets, with those after one prompt.
    """
    rows, numbers = EncodedRows(), np.zeros(len(prompts), dtype=np.int64)
    sets: dict[tuple[TargetSet, tuple[int, ...]], int] = {}
    known: dict[tuple[tuple[str, str], int], int] = {}
    every = tuple(range(len(words)))
    faults: dict[int, str] = {}
    apart: UnencodableError | None = None
    for start in range(0, len(prompts), BLOCK):
        block = prompts[start : start + BLOCK]
        try:
            env = prompts.env[start : start + BLOCK].tolist()
            rows.extend(_by_noun(partial(encode_untried, adapter, block), env.__getitem__))
        except UnencodableError as error:
            faults |= {noun: why for noun, why in error.faults.items() if noun not in faults}
            continue
        if faults or apart is not None:
            continue
        if len(rows) != start + len(block):
            raise ValueError(f"{adapter.info.name} encoded {len(rows) - start} of {len(block)} prompts")
        try:
            for k, prompt in enumerate(block, start):
                noun = own[prompts.frame[k]]
                key = _ending(prompt), noun
                if key not in known:
                    nouns = every if noun < 0 else (noun,)
                    made = _targets(adapter, prompt, words, nouns)
                    known[key] = sets.setdefault((made, nouns), len(sets))
                numbers[k] = known[key]
        except UnencodableError as error:
            apart = error
    if faults:
        raise UnencodableError(faults)
    if apart is not None:
        raise apart
    try_at_length(adapter, int(rows.lengths().max(initial=0)))
    return rows, tuple(found for found, _ in sets), numbers


def require_room(info: ModelInfo, contexts: Contexts) -> None:
    """Raise BadInputError where a context and all tokens of a target are longer than the model's context.

    Asked of every model: some crash beyond it, those with rotary positions would read on and give other numbers.
    """
    longest = np.array([t.longest for t in contexts.target_sets], dtype=np.int64)[contexts.target_set]
    too_long = np.flatnonzero(contexts.lengths + longest > info.max_length)
    if too_long.size:
        i = int(too_long[0])
        raise BadInputError(
            f"{contexts.prompts[i].where}: {contexts.lengths[i]} tokens and {longest[i]} of the longest target do not "
            f"fit {info.name}'s context of {info.max_length:,}; nothing is truncated, since ENV could be lost"
        )


def of_prompts(
    prompts: Sequence[Prompt], rows: Sequence[Encoded], targets: Sequence[Targets], groups: Sequence[str] | None = None
) -> Contexts:
    """Return contexts of single prompts, each with targets of its own, for the scoring engine.

    Args:
        groups: a name of what each prompt belongs to; those of one group begin alike and may share a cache. All by
            default.
    """
    names = [""] * len(prompts) if groups is None else groups
    set_of = {after: i for i, after in enumerate(dict.fromkeys(targets))}
    group_of = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return Contexts(
        prompts=tuple(prompts),
        rows=EncodedRows(rows),
        target_sets=tuple(TargetSet(after) for after in set_of),
        target_set=np.array([set_of[t] for t in targets], dtype=np.int64),
        group=np.array([group_of[n] for n in names], dtype=np.int64),
    )


def matched_prompts(contexts: FormContexts) -> tuple[Ints, Ints]:
    """Return the items: (context index, target noun) of every matched prompt, in order of frame and noun."""
    target = np.where(contexts.frame_nouns[contexts.frame] < 0, contexts.env, contexts.frame_nouns[contexts.frame])
    index = np.flatnonzero(contexts.env == target)
    return index, contexts.env[index]


def of_frames(contexts: FormContexts, frames: Ints, nouns: Ints | None = None) -> FormContexts:
    """Return the contexts of some frames, with only some nouns shown and asked for; numbers stay."""
    kept = np.isin(contexts.frame, frames)
    if nouns is not None:
        kept &= np.isin(contexts.env, nouns)
    part = replace(contexts.pick(np.flatnonzero(kept)), merged=True)
    if nouns is None:
        return part
    wanted = set(nouns.tolist())
    return replace(part, target_sets=tuple(t.only(wanted) for t in part.target_sets))


def of_pairs(contexts: FormContexts, index: Ints, target: Ints) -> FormContexts:
    """Return one context for each pair (context index, target noun), with that target only; a pair is never merged."""
    sets: dict[tuple[int, int], int] = {}
    pairs = zip(contexts.target_set[index].tolist(), target.tolist(), strict=True)
    number = np.array([sets.setdefault(pair, len(sets)) for pair in pairs], dtype=np.int64)
    single = tuple(TargetSet((contexts.target_sets[own].of_noun(noun),), (noun,)) for own, noun in sets)
    return replace(contexts.pick(index), target_sets=single, target_set=number, merged=False, keep=None)


def _table_mask(
    testbed: Testbed, form: EnvForm, nouns: tuple[Noun, ...], own: Ints, mismatches: int | None, seed: int
) -> npt.NDArray[np.bool_] | None:
    """Return [frame, env, target]: what the table holds; None if everything."""
    index = {n.word: i for i, n in enumerate(nouns)}
    none = [(index[u], index[v]) for u, v in testbed.excluded_pairs(form) if u != v and {u, v} <= index.keys()]
    keep = None
    if mismatches is not None and mismatches < len(nouns) - 1:
        keep = _sampled_mask(own, len(nouns), mismatches, seed)
    if none:
        keep = np.ones((len(own), len(nouns), len(nouns)), dtype=bool) if keep is None else keep
        env, target = np.array(none).T
        keep[:, env, target] = False
    return keep


def _sampled_mask(own: Ints, n_nouns: int, mismatches: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return [frame, env, target]: matched pairs and the seeded sample of mismatches of every item."""
    n_frames = len(own)
    keep = np.zeros((n_frames, n_nouns, n_nouns), dtype=bool)
    shared = bool((own < 0).all())
    targets = np.tile(np.arange(n_nouns), n_frames) if shared else own
    frames = np.repeat(np.arange(n_frames), n_nouns) if shared else np.arange(n_frames)
    sample = sample_mismatches(targets, n_nouns, mismatches, seed)
    keep[frames[:, None], sample, targets[:, None]] = True
    keep[frames, targets, targets] = True
    return keep


def _ending(prompt: Prompt) -> tuple[str, str]:
    """Return the end of a prompt; what is encoded after prompts with the same end is the same."""
    last = prompt.segments[-1]
    return last.text if isinstance(last, TextSegment) else prompt.text, prompt.join


def _targets(adapter: Adapter, prompt: Prompt, words: Sequence[str], nouns: tuple[int, ...]) -> TargetSet:
    """Encode the words of some nouns after a prompt."""
    tokens = _by_noun(lambda: adapter.encode_targets([words[v] for v in nouns], prompt), lambda i: nouns[i])
    return TargetSet(tuple(tokens), nouns)


def _by_noun(encode: Callable[[], Sequence[T]], noun: Callable[[int], int]) -> Sequence[T]:
    """Encode prompts; of an error's faults keep the first of each noun, by the noun's index."""
    try:
        return encode()
    except UnencodableError as error:
        faults: dict[int, str] = {}
        for i, why in error.faults.items():
            faults.setdefault(noun(i), why)
        raise UnencodableError(faults) from None


def sample_mismatches(targets: Ints, n_nouns: int, m: int, seed: int) -> Ints:
    """Draw for each item a seeded sample of `m` nouns other than its target, ascending (protocol §5, §11).

    Args:
        targets: [I], the target noun of each item. Shared frames: `np.tile(np.arange(V), N)`; per-noun frames: the
            table's `frame_nouns`. Item i's sample does not depend on the items after it.
        n_nouns: V; the sample is drawn among all V - 1 others.
        m: how many, 1 <= m <= V - 1.

    Returns:
        [I, m] noun indices.
    """
    if not 1 <= m < n_nouns:
        raise ValueError(f"cannot draw {m} mismatches among {n_nouns - 1} other nouns")
    rng = np.random.default_rng(seed)
    found = np.empty((len(targets), m), dtype=np.int64)
    for start in range(0, len(targets), BLOCK):  # drawn in the same order as all at once
        own = np.asarray(targets)[start : start + BLOCK, None]
        keys = rng.random((len(own), n_nouns - 1))
        others = np.sort(np.argpartition(keys, m - 1, axis=1)[:, :m], axis=1)
        found[start : start + BLOCK] = others + (others >= own)
    return found
