"""The installed testbeds as a submission is held against: which nouns, forms and frames a result must speak of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

from groundbench.api.testbed import EnvForm, FrameKind, Testbed
from groundbench.registry import load_testbed, testbed_names


@dataclass(frozen=True)
class FormReference:
    """One ENV form: its nouns with their categories, its frames, and the frames' owners (None where shared).

    `excluded_pairs` are (shown, asked) that the testbed never counts as a mismatch; `digest` is set for image forms,
    whose images are no part of the testbed's own hash.
    """

    nouns: tuple[str, ...]
    categories: tuple[str, ...]
    frames: tuple[str, ...]
    owners: tuple[str | None, ...]
    excluded_pairs: frozenset[tuple[str, str]] = frozenset()
    digest: str | None = None

    def restrict_to(self, nouns: Iterable[str]) -> FormReference:
        """Return the form of some of its nouns, and of the frames that are left with an owner."""
        wanted = set(nouns)
        pairs = [(n, c) for n, c in zip(self.nouns, self.categories, strict=True) if n in wanted]
        frames = [(f, o) for f, o in zip(self.frames, self.owners, strict=True) if o is None or o in wanted]
        return replace(
            self,
            nouns=tuple(n for n, _ in pairs),
            categories=tuple(c for _, c in pairs),
            frames=tuple(f for f, _ in frames),
            owners=tuple(o for _, o in frames),
        )


@dataclass(frozen=True)
class TestbedReference:
    """The facts of a testbed that the board checks: plain data, to be handed to a reading process."""

    __test__: ClassVar[bool] = False  # not a test, whatever pytest thinks of the name

    name: str
    version: str
    hash: str
    frames: FrameKind
    default_form: str
    ladder: bool
    forms: Mapping[str, FormReference]
    names: frozenset[str] = frozenset()
    """All of its nouns, those too that a form or a corpus leaves out."""

    def restrict_to(self, nouns: Iterable[str], digest: str) -> TestbedReference:
        """Return the testbed of the nouns that a corpus chose, under the hash that the choice gives it."""
        wanted = tuple(nouns)
        return replace(self, hash=digest, forms={name: form.restrict_to(wanted) for name, form in self.forms.items()})


ReferencesOf = Callable[[str, str], Mapping[str, TestbedReference]]
"""The testbeds of a name and version that can be checked, by their hashes; none for an unknown testbed."""


def reference_of(testbed: Testbed) -> TestbedReference:
    """Return the reference of a loaded testbed."""
    forms = {f.name: _form(testbed, f) for f in (*testbed.forms, *testbed.image_forms)}
    return TestbedReference(
        name=testbed.name,
        version=testbed.version,
        hash=testbed.digest(),
        frames=testbed.frame_kind,
        default_form=testbed.default_form,
        ladder=testbed.ladder,
        forms=forms,
        names=frozenset(n.word for n in testbed.nouns),
    )


def _form(testbed: Testbed, form: EnvForm) -> FormReference:
    nouns, frames = testbed.nouns_of(form), testbed.frames(form)
    return FormReference(
        nouns=tuple(n.word for n in nouns),
        categories=tuple(n.category for n in nouns),
        frames=tuple(f.id for f in frames),
        owners=tuple(f.noun for f in frames),
        excluded_pairs=testbed.excluded_pairs(form),
        digest=testbed.form_digest(form) if form.modality == "image" else None,
    )


@lru_cache
def installed_references(name: str, version: str) -> Mapping[str, TestbedReference]:
    """Return the installed testbed of that name, by its hash; nothing if none of that version is installed."""
    if name not in testbed_names():
        return {}
    found = reference_of(load_testbed(name))
    return {found.hash: found} if found.version == version else {}
