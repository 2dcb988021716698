"""The null control of an ENV form: every noun is shown in another's form, so nothing that is shown is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, Frame, Noun, Prompt, Testbed

TRIES = 10_000


class ShuffledForms(Testbed):
    """A testbed in which each noun v is shown as another noun: a seeded derangement of each form's nouns, the same in
    all its frames.

    The model must then have a gain of 0. What shows v truly is another noun's form now: that pair is neither matched
    nor a mismatch. (Among the mismatches it would put the gain at -G / (V - 1), G the true gain of V nouns.)

    Raises:
        BadInputError: a form has fewer than two nouns.
    """

    def __init__(self, inner: Testbed, seed: int = 0) -> None:
        self.inner, self.seed = inner, seed
        self.name, self.version = f"{inner.name}-shuffled", inner.version
        self.nouns, self.forms, self.default_form = inner.nouns, inner.forms, inner.default_form
        self.frame_kind, self.natural_language = inner.frame_kind, inner.natural_language
        self.ladder, self.image_forms = inner.ladder, inner.image_forms
        every = (*inner.forms, *inner.image_forms)
        self._shown_as = {f.name: _derangement(inner.nouns_of(f), f, inner.excluded_pairs(f), seed) for f in every}

    def shown_as(self, noun: Noun, form: EnvForm) -> Noun:
        """Return the noun whose form is shown instead. Raises KeyError if the noun has no such form."""
        return self._shown_as[form.name][noun.word]

    def frames(self, form: EnvForm) -> tuple[Frame, ...]:
        """Return the frames of the testbed that was shuffled."""
        return self.inner.frames(form)

    def prompt(self, frame: Frame, env: Noun, form: EnvForm) -> Prompt:
        """Return the other noun's prompt under this noun's name."""
        return replace(self.inner.prompt(frame, self.shown_as(env, form), form), env=env.word)

    def target(self, noun: Noun) -> str:
        """Return the noun's own word."""
        return self.inner.target(noun)

    def target_in(self, noun: Noun, form: EnvForm) -> str:
        """Return the noun's own word in this form."""
        return self.inner.target_in(noun, form)

    def excluded(self, form: EnvForm) -> Mapping[str, str]:
        """Return the nouns that the form leaves out."""
        return self.inner.excluded(form)

    def excluded_pairs(self, form: EnvForm) -> frozenset[tuple[str, str]]:
        """Return the pairs in which the noun asked for is truly shown, or what is shown is no mismatch for it."""
        shown_as = self._shown_as[form.name]
        truly = frozenset((env, shown.word) for env, shown in shown_as.items())
        none = self.inner.excluded_pairs(form)
        return truly | {(env, asked) for env, s in shown_as.items() for shown, asked in none if shown == s.word}

    def identity(self) -> dict[str, object]:
        """Return the inner testbed's identity with the seed, so that neither is ever taken for the other."""
        return {**self.inner.identity(), "shuffled_forms": self.seed}


def _derangement(
    nouns: tuple[Noun, ...], form: EnvForm, none: frozenset[tuple[str, str]], seed: int
) -> dict[str, Noun]:
    """Return each noun's word and another noun: drawn uniformly among the permutations that leave no noun in its place.

    What is no mismatch for a noun (`none`: shown, asked) does not take its place either.

    Raises:
        BadInputError: fewer than two nouns, or no such permutation among `TRIES`.
    """
    if len(nouns) < 2:
        raise BadInputError(f"form {form.name!r} has {len(nouns)} nouns; to shuffle them at least 2 are needed")
    index = {n.word: i for i, n in enumerate(nouns)}
    barred = np.eye(len(nouns), dtype=bool)
    for shown, asked in none:
        if {shown, asked} <= index.keys():
            barred[index[asked], index[shown]] = True
    rng = np.random.default_rng(seed)
    places = np.arange(len(nouns))
    for _ in range(TRIES):
        order = rng.permutation(len(nouns))
        if not barred[places, order].any():
            return {noun.word: nouns[other] for noun, other in zip(nouns, order.tolist(), strict=True)}
    raise BadInputError(f"form {form.name!r}: found no way to show every noun as another that is a mismatch for it")
