"""The rules of a testbed, without which its numbers mislead (protocol §4); the check of `tasks validate`."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, EnvSegment, Frame, ImageSegment, Noun, Prompt, Testbed, TextSegment
from groundbench.tasks.written_contexts import ContextTestbed
from groundbench.tasks.written_contexts_check import context_faults
from groundbench.util.collection import collection_paused

_ARTICLES = frozenset({"a", "an"})
_TAG = re.compile(r"<[^>]*>")

Words = tuple[str, ...]


class Fault(NamedTuple):
    """One broken rule: where, and what is wrong with it."""

    where: str
    what: str


def find_faults(testbed: Testbed) -> list[Fault]:
    """Return all broken rules of a testbed, in order; empty if it may be used."""
    faults = list(_nouns(testbed))
    forms = (*testbed.forms, *testbed.image_forms)
    names = [f.name for f in forms]
    faults += [Fault(f"form {n!r}", "is there twice") for n in _duplicates(names)]
    if testbed.default_form not in names:
        faults.append(Fault("default_form", f"is {testbed.default_form!r}; the forms are {', '.join(names)}"))
    with collection_paused():
        for form in forms:
            faults += _form(testbed, form)
        if isinstance(testbed, ContextTestbed):
            faults += [Fault(*fault) for fault in context_faults(testbed)]
    return faults


def _nouns(testbed: Testbed) -> Iterator[Fault]:
    if len(testbed.nouns) < 2:
        yield Fault("nouns", f"there are {len(testbed.nouns)}; a gain needs at least 2")
    for word in _duplicates([n.word for n in testbed.nouns]):
        yield Fault(f"noun {word!r}", "is there twice")
    words = [n.word for n in testbed.nouns]
    forms = (*testbed.forms, *testbed.image_forms)
    for targets in dict.fromkeys(tuple(testbed.target_in(n, f) for n in testbed.nouns) for f in forms):
        for target in _duplicates(targets):
            same = ", ".join(w for w, t in zip(words, targets, strict=True) if t == target)
            yield Fault(f"target {target!r}", f"is the target of several nouns: {same}")
        for word, target in zip(words, targets, strict=True):
            if not target or target != target.strip():
                yield Fault(f"noun {word!r}", f"has the target {target!r}; expected a word without space around it")


def _form(testbed: Testbed, form: EnvForm) -> Iterator[Fault]:
    nouns, frames = testbed.nouns_of(form), testbed.frames(form)
    place = f"form {form.name!r}"
    unknown = sorted(set(testbed.excluded(form)) - {n.word for n in testbed.nouns})
    if unknown:
        yield Fault(place, f"excludes {', '.join(unknown)}, not among the nouns")
    if len(nouns) < 2 or not frames:
        yield Fault(place, f"has {len(nouns)} nouns and {len(frames)} frames; expected at least 2 and 1")
        return
    for name in _duplicates([f.id for f in frames]):
        yield Fault(place, f"has two frames {name!r}")
    yield from _frame_counts(testbed, place, nouns, frames)
    prompts: list[tuple[Noun, Prompt]] = []
    never = testbed.excluded_pairs(form)  # in a frame of a noun's own what is no mismatch of it is never shown
    for frame in frames:
        for noun in nouns:
            if (noun.word, frame.noun) in never:
                continue
            try:
                prompts.append((noun, testbed.prompt(frame, noun, form)))
            except (KeyError, BadInputError) as error:
                yield Fault(f"{place}, frame {frame.id!r}", f"cannot show {noun.word!r}: {error}")
    words = inventory_words(testbed.nouns)
    # A text comes once for every noun shown in it.
    names = lru_cache(maxsize=1 << 14)(partial(find_nouns, inventory=words))
    shows_itself = all(_shown_words(prompt) == split_words(noun.word) for noun, prompt in prompts)
    own = {f.id: f.noun for f in frames}
    seen: dict[tuple[object, ...], str] = {}
    told: set[tuple[str, str]] = set()
    for noun, prompt in prompts:
        yield from _check_shown(prompt)
        if not shows_itself:
            yield from (
                Fault(prompt.where, f"shows the word {' '.join(word)!r} itself")
                for word in names(_shown_words(prompt))
                if words[word] == noun.word
            )
        for fault in _check_surroundings(testbed, noun, prompt, names):
            if (prompt.frame, fault.what) not in told:  # once for a frame, not for every noun shown in it
                told.add((prompt.frame, fault.what))
                yield fault
        # A photo has many objects: with one text it may stand for several nouns, and be asked about several.
        photo = own[prompt.frame] is not None and any(isinstance(s, ImageSegment) for s in prompt.segments)
        which = (own[prompt.frame], noun.word) if photo else ()
        same = seen.setdefault((*which, *prompt.segments), prompt.where)
        if same != prompt.where:
            yield Fault(prompt.where, f"is the same prompt as {same}")


def _frame_counts(testbed: Testbed, place: str, nouns: Sequence[Noun], frames: Sequence[Frame]) -> Iterator[Fault]:
    own = Counter(f.noun for f in frames)
    if testbed.frame_kind == "shared":
        named = [f.id for f in frames if f.noun is not None]
        if named:
            yield Fault(place, f"has shared frames, but {named[0]!r} names a noun")
        return
    missing = [n.word for n in nouns if not own[n.word]]
    if missing:
        yield Fault(place, f"has no frame for {', '.join(missing[:5])}" + (" ..." if len(missing) > 5 else ""))
    if None in own:
        yield Fault(place, "has per-noun frames, but one of them names no noun")


def inventory_words(nouns: Sequence[Noun]) -> dict[Words, str]:
    """Return every singular and plural as its words (`ice cream` has two), with the noun it belongs to."""
    found = {split_words(form): n.word for n in nouns for form in (n.plural, n.word) if form}
    found.pop((), None)  # a noun without letters, as an emoji, is in no text by name
    return found


@lru_cache(maxsize=1 << 12)  # a frame's text comes once for every noun
def split_words(text: str) -> Words:
    """Return the words of a text in one case and one normal form, without tags such as <CHI> and :<ENV>.

    A word is a run of letters, digits and the marks that combine with them in any script; hyphens and apostrophes part
    words, so that `T-shirt`, `t-shirt` and `t shirt` are the same two.
    """
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", _TAG.sub(" ", text)).casefold())
    return tuple("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in plain).split())


def find_nouns(found: Words, inventory: Mapping[Words, str]) -> list[Words]:
    """Return the inventory's nouns among some words, the longest first where one is part of another."""
    longest = max(map(len, inventory), default=0)
    names: list[Words] = []
    start = 0
    while start < len(found):
        ends = range(min(start + longest, len(found)), start, -1)
        end = next((e for e in ends if found[start:e] in inventory), None)
        if end is not None:
            names.append(found[start:end])
        start = start + 1 if end is None else end
    return names


def _shown_words(prompt: Prompt) -> Words:
    return tuple(w for s in prompt.segments if isinstance(s, EnvSegment) for w in split_words(s.text))


def _check_shown(prompt: Prompt) -> Iterator[Fault]:
    shown = [s for s in prompt.segments if isinstance(s, EnvSegment | ImageSegment)]
    if len(shown) != 1:
        yield Fault(prompt.where, f"shows the noun {len(shown)} times; expected once")
    if any(isinstance(s, EnvSegment) and not s.text.strip() for s in shown):
        yield Fault(prompt.where, "shows nothing")
    if prompt.join and prompt.text != prompt.text.rstrip():
        yield Fault(prompt.where, f"ends in space, and {prompt.join!r} is put before the target")


def _check_surroundings(
    testbed: Testbed, noun: Noun, prompt: Prompt, names: Callable[[Words], Sequence[Words]]
) -> Iterator[Fault]:
    """Find inventory nouns beside the shown one, and a/an before the cut or a shared slot (protocol §4)."""
    for i, segment in enumerate(prompt.segments):
        if not isinstance(segment, TextSegment):
            continue
        found = split_words(segment.text)
        for word in names(found):
            yield Fault(prompt.where, f"has the inventory noun {' '.join(word)!r} besides the shown one")
        last = i + 1 == len(prompt.segments)
        before_slot = not last and isinstance(prompt.segments[i + 1], EnvSegment)
        if not (last or before_slot) or not found or found[-1] not in _ARTICLES:
            continue
        if last or testbed.frame_kind == "shared":
            place = "cut" if last else "slot"
            yield Fault(prompt.where, f"has {found[-1]!r} before the {place}: it gives away the noun's first letter")
        elif found[-1] != noun.article:
            yield Fault(prompt.where, f"has {found[-1]!r} before a noun that takes {noun.article!r}")


def _duplicates(values: Sequence[str]) -> list[str]:
    return [v for v, n in Counter(values).items() if n > 1]
