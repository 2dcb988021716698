"""Tokenized prompts of one form and the target words scored after each. Identical prompts are run once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Encoded, ModelInfo
from groundbench.api.errors import BadInputError, UnencodableError
from groundbench.api.testbed import EnvForm, Frame, Noun, Prompt, Testbed, TextSegment

Ints = npt.NDArray[np.int64]
Targets = tuple[tuple[int, ...], ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Contexts:
    """The prompts of one form, and the targets that are read after each.

    Attributes:
        frame, env: [n] indices into `frames` and `nouns` of each context.
        rows: [n] the encoded context.
        unique: [n] index of the first context with the same tokens and the same targets; equal contexts run once.
        targets: for each context the targets' token ids, in the order of `target_index`.
        target_index: for each context the indices of its target nouns.
        left_out: nouns that the model's tokenizer does not set apart in this form, with the reason.
    """

    form: EnvForm
    nouns: tuple[Noun, ...]
    frames: tuple[Frame, ...]
    frame_nouns: Ints
    frame: Ints
    env: Ints
    prompts: tuple[Prompt, ...]
    rows: tuple[Encoded, ...]
    unique: Ints
    targets: tuple[Targets, ...]
    target_index: tuple[Ints, ...]
    keep: npt.NDArray[np.bool_] | None
    """[frame, env, target] what the table holds (a sample of mismatches, or all but what is no mismatch); None: all."""
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def distinct(self) -> Ints:
        """The contexts that are run, each once."""
        return np.unique(self.unique)

    def target(self, context: int, noun: int) -> tuple[int, ...]:
        """Return the token ids of a noun (index) that is asked for after a context (index)."""
        return self.targets[context][int(np.flatnonzero(self.target_index[context] == noun)[0])]


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
) -> Contexts:
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
) -> Contexts:
    """Return the contexts of these nouns; what cannot be encoded is an UnencodableError by their indices."""
    index = {n.word: i for i, n in enumerate(chosen)}
    frames = tuple(f for f in testbed.frames(form) if f.noun is None or f.noun in index)
    own = np.array([-1 if f.noun is None else index[f.noun] for f in frames])
    keep = _kept(testbed, form, chosen, own, mismatches, seed)
    pairs = [
        (f, u)
        for f in range(len(frames))
        for u in range(len(chosen))
        if keep is None or own[f] < 0 or keep[f, u, own[f]]
    ]
    prompts = tuple(testbed.prompt(frames[f], chosen[u], form) for f, u in pairs)
    rows = tuple(_by_noun(lambda: adapter.encode(prompts), lambda i: pairs[i][1]))
    words = [testbed.target_in(n, form) for n in chosen]
    every = np.arange(len(chosen))
    cache: dict[object, Targets] = {}
    targets = tuple(
        _targets(adapter, p, words if own[f] < 0 else [words[own[f]]], int(own[f]), cache)
        for (f, _), p in zip(pairs, prompts, strict=True)
    )
    require_room(adapter.info, prompts, rows, targets)
    return Contexts(
        form=form,
        nouns=chosen,
        frames=frames,
        frame_nouns=own,
        frame=np.array([f for f, _ in pairs]),
        env=np.array([u for _, u in pairs]),
        prompts=prompts,
        rows=rows,
        unique=_first_equal(rows, targets),
        targets=targets,
        target_index=tuple(every if own[f] < 0 else every[own[f] : own[f] + 1] for f, _ in pairs),
        keep=keep,
    )


def require_room(
    info: ModelInfo, prompts: Sequence[Prompt], rows: Sequence[Encoded], targets: Sequence[Targets]
) -> None:
    """Raise BadInputError where a context and all tokens of a target are longer than the model's context.

    Asked of every model: some crash beyond it, those with rotary positions would read on and give other numbers.
    """
    longest: dict[int, int] = {}
    for prompt, row, after in zip(prompts, rows, targets, strict=True):
        if id(after) not in longest:
            longest[id(after)] = max(map(len, after), default=0)
        if len(row) + longest[id(after)] > info.max_length:
            raise BadInputError(
                f"{prompt.where}: {len(row)} tokens and {longest[id(after)]} of the longest target do not fit "
                f"{info.name}'s context of {info.max_length:,}; nothing is truncated, since ENV could be lost"
            )


def of_prompts(
    prompts: Sequence[Prompt], rows: Sequence[Encoded], targets: Sequence[Targets], frames: Sequence[str]
) -> Contexts:
    """Return contexts of single prompts, each with targets of its own, for the scoring engine.

    Args:
        frames: what each prompt belongs to; those of one frame begin alike and may share a cache.
    """
    same: dict[Targets, Targets] = {}
    shared = tuple(same.setdefault(t, t) for t in targets)  # equal targets are one object: their contexts merge
    number = {name: i for i, name in enumerate(dict.fromkeys(frames))}
    none = np.zeros(0, dtype=np.int64)
    return Contexts(
        form=EnvForm("prompts"),
        nouns=(),
        frames=(),
        frame_nouns=none,
        frame=np.array([number[f] for f in frames], dtype=np.int64),
        env=np.zeros(len(prompts), dtype=np.int64),
        prompts=tuple(prompts),
        rows=tuple(rows),
        unique=_first_equal(rows, shared),
        targets=shared,
        target_index=tuple(np.arange(len(t)) for t in shared),
        keep=None,
    )


def matched(contexts: Contexts) -> tuple[Ints, Ints]:
    """Return the items: (context index, target noun) of every matched prompt, in order of frame and noun."""
    target = np.where(contexts.frame_nouns[contexts.frame] < 0, contexts.env, contexts.frame_nouns[contexts.frame])
    index = np.flatnonzero(contexts.env == target)
    return index, contexts.env[index]


def of_frames(contexts: Contexts, frames: Ints, nouns: Ints | None = None) -> Contexts:
    """Return the contexts of some frames, with only some nouns shown and asked for; numbers stay."""
    kept = np.isin(contexts.frame, frames)
    if nouns is None:
        return _take(contexts, np.flatnonzero(kept), None)
    return _asking(_take(contexts, np.flatnonzero(kept & np.isin(contexts.env, nouns)), None), nouns)


def _asking(contexts: Contexts, nouns: Ints) -> Contexts:
    """Return the same contexts with only these nouns for targets; contexts that shared their targets still do."""
    made: dict[tuple[int, bytes], tuple[Targets, Ints]] = {}
    pairs = []
    for targets, index in zip(contexts.targets, contexts.target_index, strict=True):
        key = id(targets), index.tobytes()
        if key not in made:
            kept = np.flatnonzero(np.isin(index, nouns))
            made[key] = tuple(targets[k] for k in kept), index[kept]
        pairs.append(made[key])
    return replace(contexts, targets=tuple(t for t, _ in pairs), target_index=tuple(i for _, i in pairs))


def of_pairs(contexts: Contexts, index: Ints, target: Ints) -> Contexts:
    """Return one context for each pair (context index, target noun), with that target only; a pair is never merged."""
    return _take(contexts, index, target)


def _take(contexts: Contexts, index: Ints, target: Ints | None) -> Contexts:
    rows = tuple(contexts.rows[i] for i in index)
    if target is None:
        targets = tuple(contexts.targets[i] for i in index)
        target_index = tuple(contexts.target_index[i] for i in index)
        unique = _first_equal(rows, targets)
    else:
        targets = tuple((contexts.target(i, v),) for i, v in zip(index, target, strict=True))
        target_index = tuple(np.array([v]) for v in target)
        unique = np.arange(len(index))
    return replace(
        contexts,
        frame=contexts.frame[index],
        env=contexts.env[index],
        prompts=tuple(contexts.prompts[i] for i in index),
        rows=rows,
        unique=unique,
        targets=targets,
        target_index=target_index,
        keep=contexts.keep if target is None else None,
    )


def _kept(
    testbed: Testbed, form: EnvForm, nouns: tuple[Noun, ...], own: Ints, mismatches: int | None, seed: int
) -> npt.NDArray[np.bool_] | None:
    """Return [frame, env, target]: what the table holds; None if everything."""
    index = {n.word: i for i, n in enumerate(nouns)}
    none = [(index[u], index[v]) for u, v in testbed.excluded_pairs(form) if u != v and {u, v} <= index.keys()]
    keep = None
    if mismatches is not None and mismatches < len(nouns) - 1:
        keep = _sampled(own, len(nouns), mismatches, seed)
    if none:
        keep = np.ones((len(own), len(nouns), len(nouns)), dtype=bool) if keep is None else keep
        env, target = np.array(none).T
        keep[:, env, target] = False
    return keep


def _sampled(own: Ints, n_nouns: int, mismatches: int, seed: int) -> npt.NDArray[np.bool_]:
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


def _targets(adapter: Adapter, prompt: Prompt, words: Sequence[str], own: int, cache: dict[object, Targets]) -> Targets:
    """Encode targets after a prompt; contexts that end in the same text share them."""
    last = prompt.segments[-1]
    key = (last.text if isinstance(last, TextSegment) else prompt.text, prompt.join, own)
    if key not in cache:
        made = tuple(_by_noun(lambda: adapter.encode_targets(words, prompt), lambda i: i if own < 0 else own))
        cache[key] = cache.setdefault(made, made)  # equal targets are one object, so that frames share batches
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


def _first_equal(rows: Sequence[Encoded], targets: Sequence[Targets]) -> Ints:
    first: dict[tuple[Encoded, int], int] = {}
    return np.array([first.setdefault((r, id(t)), i) for i, (r, t) in enumerate(zip(rows, targets, strict=True))])


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
