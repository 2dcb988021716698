"""Prompts as a model reads them, and the targets that are read after each. Equal contexts are run once.

`Contexts` is what the engine runs: any prompts, such as a question's or lm-eval's. `FormContexts` are those of one form
of a testbed: every noun shown in every frame, with the nouns that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Encoded, ModelInfo
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.testbed import EnvForm, Frame, Noun, Prompt, Testbed, TextSegment
from groundbench.util.collection import collection_paused

Ints = npt.NDArray[np.int64]
Targets = tuple[tuple[int, ...], ...]
T = TypeVar("T")


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
    """Contexts in order, as the engine runs them.

    Attributes:
        merged: equal contexts (rows and targets) are run once; False where each is run under a head edit of its own.
    """

    items: tuple[Context, ...]
    merged: bool = True

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Context:
        return self.items[index]

    def __iter__(self) -> Iterator[Context]:
        return iter(self.items)

    @cached_property
    def rows(self) -> tuple[Encoded, ...]:
        """[n] the encoded prompts."""
        return tuple(c.row for c in self.items)

    @cached_property
    def unique(self) -> Ints:
        """[n] the index of the context that is run for each: of equal ones the first."""
        if not self.merged:
            return np.arange(len(self))
        first: dict[tuple[Encoded, TargetSet], int] = {}
        return np.array([first.setdefault((c.row, c.targets), i) for i, c in enumerate(self.items)], dtype=np.int64)

    @cached_property
    def distinct(self) -> Ints:
        """The contexts that are run, each once."""
        return np.unique(self.unique)


@dataclass(frozen=True, eq=False, kw_only=True)
class FormContexts(Contexts):
    """The prompts of one form, and the nouns that are asked for after each.

    Attributes:
        frame_nouns: [frames] the index of the noun that a frame is about; -1 where all nouns share it.
        keep: [frame, env, target] what the table holds (a sample of mismatches, or all but what is no mismatch); None:
            all.
        left_out: nouns that the model's tokenizer does not set apart in this form, with the reason.
    """

    items: tuple[FormContext, ...]
    form: EnvForm
    nouns: tuple[Noun, ...]
    frames: tuple[Frame, ...]
    frame_nouns: Ints
    keep: npt.NDArray[np.bool_] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, index: int) -> FormContext:
        return self.items[index]

    def __iter__(self) -> Iterator[FormContext]:
        return iter(self.items)

    @cached_property
    def frame(self) -> Ints:
        """[n] the index of each context's frame."""
        return np.array([c.group for c in self.items], dtype=np.int64)

    @cached_property
    def env(self) -> Ints:
        """[n] the index of the noun shown in each context."""
        return np.array([c.env for c in self.items], dtype=np.int64)

    @cached_property
    def place(self) -> dict[tuple[int, int], int]:
        """The context of each frame and noun shown (indices)."""
        return {(c.group, c.env): i for i, c in enumerate(self.items)}


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
    own = np.array([-1 if f.noun is None else index[f.noun] for f in frames])
    keep = _table_mask(testbed, form, chosen, own, mismatches, seed)
    pairs = [
        (f, u)
        for f in range(len(frames))
        for u in range(len(chosen))
        if keep is None or own[f] < 0 or keep[f, u, own[f]]
    ]
    prompts = [testbed.prompt(frames[f], chosen[u], form) for f, u in pairs]
    rows = _by_noun(lambda: adapter.encode(prompts), lambda i: pairs[i][1])
    words = [testbed.target_in(n, form) for n in chosen]
    asked = [tuple(range(len(chosen))) if noun < 0 else (noun,) for noun in own.tolist()]
    cache: dict[object, TargetSet] = {}
    targets = [_targets(adapter, p, words, asked[f], cache) for (f, _), p in zip(pairs, prompts, strict=True)]
    contexts = FormContexts(
        items=tuple(
            FormContext(prompt, row, after, f, u)
            for (f, u), prompt, row, after in zip(pairs, prompts, rows, targets, strict=True)
        ),
        form=form,
        nouns=chosen,
        frames=frames,
        frame_nouns=own,
        keep=keep,
    )
    require_room(adapter.info, contexts)
    return contexts


def require_room(info: ModelInfo, contexts: Contexts) -> None:
    """Raise BadInputError where a context and all tokens of a target are longer than the model's context.

    Asked of every model: some crash beyond it, those with rotary positions would read on and give other numbers.
    """
    for c in contexts:
        if len(c.row) + c.targets.longest > info.max_length:
            raise BadInputError(
                f"{c.prompt.where}: {len(c.row)} tokens and {c.targets.longest} of the longest target do not fit "
                f"{info.name}'s context of {info.max_length:,}; nothing is truncated, since ENV could be lost"
            )


def of_prompts(
    prompts: Sequence[Prompt], rows: Sequence[Encoded], targets: Sequence[Targets], groups: Sequence[str] | None = None
) -> Contexts:
    """Return contexts of single prompts, each with targets of its own, for the scoring engine.

    Args:
        groups: a name of what each prompt belongs to; those of one group begin alike and may share a cache. All by
            default.
    """
    sets = {after: TargetSet(after) for after in dict.fromkeys(targets)}
    names = [""] * len(prompts) if groups is None else groups
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    parts = zip(prompts, rows, targets, names, strict=True)
    return Contexts(tuple(Context(prompt, row, sets[after], number[name]) for prompt, row, after, name in parts))


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
    items = tuple(contexts[i] for i in np.flatnonzero(kept).tolist())
    if nouns is not None:
        fewer: dict[tuple[TargetSet, tuple[int, ...]], TargetSet] = {}
        wanted = set(nouns.tolist())
        for c in items:
            key = c.targets, c.targets.nouns
            if key not in fewer:
                fewer[key] = c.targets.only(wanted)
        items = tuple(replace(c, targets=fewer[c.targets, c.targets.nouns]) for c in items)
    return replace(contexts, items=items, merged=True)


def of_pairs(contexts: FormContexts, index: Ints, target: Ints) -> FormContexts:
    """Return one context for each pair (context index, target noun), with that target only; a pair is never merged."""
    items = []
    for i, noun in zip(index.tolist(), target.tolist(), strict=True):
        c = contexts[i]
        items.append(replace(c, targets=TargetSet((c.targets.of_noun(noun),), (noun,))))
    return replace(contexts, items=tuple(items), merged=False, keep=None)


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


def _targets(
    adapter: Adapter, prompt: Prompt, words: Sequence[str], nouns: tuple[int, ...], cache: dict[object, TargetSet]
) -> TargetSet:
    """Encode the words of some nouns after a prompt; contexts that end in the same text share them."""
    last = prompt.segments[-1]
    key = last.text if isinstance(last, TextSegment) else prompt.text, prompt.join, nouns
    if key not in cache:
        tokens = _by_noun(lambda: adapter.encode_targets([words[v] for v in nouns], prompt), lambda i: nouns[i])
        made = TargetSet(tuple(tokens), nouns)
        cache[key] = cache.setdefault((made, nouns), made)
    return cache[key]


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
    keys = np.random.default_rng(seed).random((len(targets), n_nouns - 1))
    others = np.sort(np.argpartition(keys, m - 1, axis=1)[:, :m], axis=1)
    return (others + (others >= np.asarray(targets)[:, None])).astype(np.int64)
