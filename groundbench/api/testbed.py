"""Nouns, ENV forms, frames, prompts and testbeds: everything that a model is shown and asked (protocol §2-§4).

This module knows nothing of models. A testbed turns (frame, noun shown, ENV form) into a `Prompt`;
everything measured is a function of such prompts and of the words that may follow them.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from groundbench.api.errors import BadInputError

if TYPE_CHECKING:
    from PIL.Image import Image

FrameKind = Literal["shared", "per-noun"]
Modality = Literal["text", "image"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Noun:
    """A concrete noun with its MacArthur-Bates CDI category (protocol §3)."""

    word: str
    category: str
    article: str = "a"
    plural: str = ""


@dataclass(frozen=True)
class EnvForm:
    """A way of showing a noun: one form of the ladder (protocol §13), e.g. `token`, `word`, `gloss`, `image`.

    Raises:
        BadInputError: the name is none that `form_name_fault` allows.
    """

    name: str
    description: str = ""
    modality: Modality = "text"

    def __post_init__(self) -> None:
        fault = form_name_fault(self.name)
        if fault is not None:
            raise BadInputError(fault)


def form_name_fault(name: str) -> str | None:
    """Return the reason for which a text cannot name an ENV form, or None.

    A form's name is asked for on the command line and becomes part of the names of files.
    """
    if not name or name != name.strip() or not name.isprintable():
        return f"the form {name!r} has no name that can be read: expected text without spaces around it"
    if "/" in name or "\\" in name or name in (".", ".."):
        return f"the form {name!r} is named like a path: expected a name without / and \\"
    if len(name) > 80:
        return f"the form {name[:20]!r}… has a name of {len(name)} characters, expected at most 80"
    return None


class ImageSource(Protocol):
    """An image that is made or read only when it is needed."""

    @property
    def key(self) -> str:
        """A content key: two sources with one key give the same pixels."""
        ...

    def load(self) -> Image:
        """Load the image in RGB."""
        ...


@dataclass(frozen=True)
class TextSegment:
    """Text that is the same whichever noun is shown."""

    text: str


@dataclass(frozen=True)
class EnvSegment:
    """The text of the ENV form: its tokens are the ENV span of saliency and head detection."""

    text: str


@dataclass(frozen=True)
class ImageSegment:
    """An image; `box` (x0, y0, x1, y1 as fractions of width and height) is where the noun's object is."""

    image: ImageSource
    box: Box | None = None


Segment = TextSegment | EnvSegment | ImageSegment


@dataclass(frozen=True)
class Frame:
    """A context with a slot for the ENV form; `noun` is the only target of a per-noun frame, None if shared.

    `template` holds the slot `{env}` exactly once for text forms; image testbeds leave it out.
    """

    id: str
    template: str
    noun: str | None = None

    def __post_init__(self) -> None:
        if self.template.count("{env}") > 1:
            raise BadInputError(
                f"frame {self.id!r}: the template has {self.template.count('{env}')} slots '{{env}}', expected one"
            )


@dataclass(frozen=True)
class Prompt:
    """One context: the text and images before the target word. `join` is put between the prompt and the target."""

    frame: str
    env: str
    form: str
    segments: tuple[Segment, ...]
    join: str = " "

    @property
    def text(self) -> str:
        """The text of all text and ENV segments, in order."""
        return "".join(s.text for s in self.segments if not isinstance(s, ImageSegment))

    @property
    def content(self) -> list[list[object]]:
        """The segments as plain values, for hashes: an image by its key."""
        return [
            ["image", s.image.key, s.box]
            if isinstance(s, ImageSegment)
            else ["env" if isinstance(s, EnvSegment) else "text", s.text]
            for s in self.segments
        ]

    @property
    def where(self) -> str:
        """A name for messages: which prompt this is. A prompt in which nothing is shown has its frame's name alone."""
        return f"frame {self.frame!r} with {self.env!r} shown as {self.form!r}" if self.env else self.frame


class Testbed(ABC):
    """A set of nouns, ENV forms and frames, and the prompts they make."""

    name: str
    version: str
    nouns: tuple[Noun, ...]
    forms: tuple[EnvForm, ...]
    default_form: str
    frame_kind: FrameKind
    natural_language: bool
    """True if any pretrained model can read the prompts; False if they need a vocabulary of ENV and LAN tokens."""
    ladder: bool = False
    """True if the forms are the forms of one ladder (protocol §13): measured together unless some are named."""
    image_forms: tuple[EnvForm, ...] = ()
    """Forms for models that read images, measured together with the others. They are no part of `digest`, so that
    the others' numbers stay comparable with those of models that do not read them; see `form_digest`."""

    @abstractmethod
    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        """Return the frames in which this form is shown."""

    @abstractmethod
    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        """Return the context that shows `env` in `frame`. Raises KeyError if the noun has no such form."""

    @abstractmethod
    def target(self, noun: Noun) -> str:
        """Return the language form of the noun: the word whose surprisal is measured."""

    def target_in(self, noun: Noun, form: EnvForm) -> str:
        """Return `target` as it is in this form; the same in all forms unless a testbed says otherwise."""
        return self.target(noun)

    def excluded(self, form: EnvForm) -> Mapping[str, str]:
        """Return the nouns left out of this form, with the reason."""
        return {}

    def excluded_pairs(self, form: EnvForm) -> frozenset[tuple[str, str]]:
        """Return pairs (noun shown, noun asked for) that are no mismatch though the nouns differ, e.g. synonyms.

        In a frame of the noun asked for, the other one is never shown.
        """
        return frozenset()

    @property
    def default_forms(self) -> tuple[EnvForm, ...]:
        """The forms measured where none is named: all of a ladder, else the default form."""
        first = self.form(self.default_form)
        return (first, *(f for f in self.forms if f != first)) if self.ladder else (first,)

    def nouns_of(self, form: EnvForm) -> tuple[Noun, ...]:
        """Return the nouns that have this form."""
        left_out = self.excluded(form)
        return tuple(n for n in self.nouns if n.word not in left_out)

    def form(self, name: str) -> EnvForm:
        """Return the form of that name. Raises BadInputError."""
        known = (*self.forms, *self.image_forms)
        for form in known:
            if form.name == name:
                return form
        near = difflib.get_close_matches(name, [f.name for f in known], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadInputError(
            f"testbed {self.name!r} has no ENV form {name!r}: it has {', '.join(f.name for f in known)}{hint}"
        )

    def noun(self, word: str) -> Noun:
        """Return the noun of that name. Raises BadInputError."""
        for noun in self.nouns:
            if noun.word == word:
                return noun
        raise BadInputError(f"testbed {self.name!r} has no noun {word!r} among its {len(self.nouns)}")

    def ideal_gain(self, form: EnvForm) -> float | None:
        """Return the ideal observer's gain in nats, where the corpus' generator is known; else None."""
        return None

    def identity(self) -> dict[str, object]:
        """Return what besides the prompts tells two testbeds apart, e.g. a corpus' tier set; part of the hash."""
        return {}

    def digest(self) -> str:
        """Hash everything that decides a number: prompts, targets and identity (16 hex digits)."""
        parts: list[object] = [self.name, self.version, self.identity()]
        for form in self.forms:
            parts += self._parts(form)
        return _hash(parts)

    def form_digest(self, form: EnvForm) -> str:
        """Hash everything that decides one form's numbers (16 hex digits)."""
        return _hash([self.name, self.version, self.identity(), *self._parts(form)])

    def _parts(self, form: EnvForm) -> list[object]:
        """Return a form's prompts (one noun in every frame, every noun in one), targets and pairs without mismatch."""
        parts: list[object] = []
        nouns = self.nouns_of(form)
        for frame in self.frames(form):
            env = nouns[0] if frame.noun is None else self.noun(frame.noun)
            shown = self.prompt(frame, env, form)
            parts.append([form.name, frame.id, frame.noun, shown.content])
        first, pairs = self.frames(form)[0], sorted(self.excluded_pairs(form))
        shown_in_it = [n for n in nouns if (n.word, first.noun) not in pairs]
        parts.append([[n.word, self.target_in(n, form), self.prompt(first, n, form).content] for n in shown_in_it])
        if pairs:
            parts.append(["not mismatched", pairs])
        return parts


def _hash(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@runtime_checkable
class Trainable(Protocol):
    """A testbed with a corpus that models can be trained on (a `groundbench.training.corpus.Corpus`)."""

    def corpus(self, **options: Any) -> Any:
        """Return the corpus under these options, e.g. its density."""
        ...


def text_prompt(frame: Frame, env: Noun, form: str, shown: str, join: str = " ") -> Prompt:
    """Return a prompt of a text form: the frame's template with `shown` in its slot.

    Raises:
        BadInputError: the template has no slot.
    """
    before, slot, after = frame.template.partition("{env}")
    if not slot:
        raise BadInputError(f"frame {frame.id!r} has no slot '{{env}}' for the form {form!r}")
    parts: list[Segment] = [TextSegment(before), EnvSegment(shown), TextSegment(after)]
    return Prompt(frame.id, env.word, form, tuple(p for p in parts if not _empty(p)), join)


def _empty(segment: Segment) -> bool:
    return isinstance(segment, TextSegment) and not segment.text
