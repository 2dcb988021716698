"""The contexts of one form that a run measures: limited nouns, seeded mismatches, and a check that the model fits."""

from __future__ import annotations

import numpy as np

from groundbench.api.adapter import Adapter
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.engine.contexts import FormContexts, build_contexts
from groundbench.evaluation.options import Options


def form_contexts(adapter: Adapter, testbed: Testbed, form: EnvForm, options: Options) -> FormContexts:
    """Build the contexts of a form under a run's limit, mismatches and seed.

    Raises:
        EmptyFormError: the model reads fewer than two of its nouns.
        BadInputError: the testbed's marked words are no tokens of the model.
    """
    contexts = build_contexts(
        adapter,
        testbed,
        form,
        nouns=limited_nouns(testbed, form, options),
        mismatches=options.mismatches,
        seed=options.seed,
    )
    refuse_split_marks(adapter, testbed, contexts)
    return contexts


def limited_nouns(testbed: Testbed, form: EnvForm, options: Options) -> list[str] | None:
    """Return the seeded sample of nouns that a limit leaves, in the testbed's order.

    All forms draw from one order of the testbed's nouns, so that they share as many as they can.
    """
    words = {n.word for n in testbed.nouns_of(form)}
    if options.limit is None or options.limit >= len(words):
        return None
    order = np.random.default_rng(options.seed).permutation(len(testbed.nouns)).tolist()
    picked = [i for i in order if testbed.nouns[i].word in words][: options.limit]
    return [testbed.nouns[i].word for i in sorted(picked)]


def refuse_split_marks(adapter: Adapter, testbed: Testbed, contexts: FormContexts) -> None:
    """Refuse marked words (`book:<LAN>`) that the tokenizer splits: they are tokens to the models they are for.

    Raises:
        BadInputError: the model's tokenizer splits the marked word of a testbed that is not natural language.
    """
    form = contexts.form
    marked = [n for n in contexts.nouns if testbed.target_in(n, form) != n.word]
    if testbed.natural_language or not marked or all(t.longest == 1 for t in contexts.target_sets):
        return
    plain = [f.name for f in testbed.forms if testbed.target_in(marked[0], f) == marked[0].word]
    hint = (
        f"; try --env-form {plain[0]}" if plain else f"; testbed {testbed.name!r} is for models trained on its corpus"
    )
    raise BadInputError(
        f"{adapter.info.name}: its vocabulary has no token {testbed.target_in(marked[0], form)!r}, which the form "
        f"{form.name!r} of {testbed.name!r} asks for{hint}"
    )
