"""How often a noun's LAN form follows its ENV form in the corpus that a checkpoint was trained on (protocol §7)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from groundbench.cooccurrence import Cooccurrence, count_cooccurrence
from groundbench.result import Result
from groundbench.testbed import EnvForm, EnvSegment, Noun, Testbed, Trainable

COUNTED_ROWS = 4096
ROWS_AT_ONCE = 64
ENV_SUFFIX = ":<ENV>"


def corpus_counts(testbed: Testbed, result: Result, training: Mapping[str, Any]) -> tuple[Cooccurrence, ...]:
    """Counts in both windows over 4,096 of the rows that the run's own seed was trained on.

    Args:
        training: what the checkpoint's training.json says; its `corpus` holds the corpus' options.

    Returns:
        Nothing where the testbed has no corpus or the checkpoint does not say which it saw.
    """
    corpus = trained_on(testbed, training)
    if corpus is None or result.gain is None:
        return ()
    vocabulary: dict[str, int] = corpus.tokenizer().get_vocab()
    nouns = [testbed.noun(g.noun) for g in result.gain.by_noun]
    form = testbed.form(result.testbed.env_form)
    env = [vocabulary[_shown(testbed, n, form)] for n in nouns]
    lan = [vocabulary[testbed.target(n)] for n in nouns]
    tags = [i for t, i in vocabulary.items() if t.startswith("<") and t[1:2].isupper()]
    scene = [i for t, i in vocabulary.items() if t.endswith(ENV_SUFFIX)]
    seed, length = int(training.get("seed", 0)), int(training.get("length", 64))
    rows = [
        corpus.batch(step, seed=seed, batch_size=ROWS_AT_ONCE, length=length)
        for step in range(COUNTED_ROWS // ROWS_AT_ONCE)
    ]
    return tuple(
        count_cooccurrence(rows, env, lan, tags, window, scene_ids=scene) for window in ("chunk", "utterances")
    )


def trained_on(testbed: Testbed, training: Mapping[str, Any]) -> Any | None:
    """The corpus that a checkpoint's training.json names; None where the testbed has none or nothing is named."""
    identity = training.get("corpus")
    if not isinstance(testbed, Trainable) or not isinstance(identity, Mapping):
        return None
    known = inspect.signature(testbed.corpus).parameters
    return testbed.corpus(**{k: v for k, v in identity.items() if k in known})


def _shown(testbed: Testbed, noun: Noun, form: EnvForm) -> str:
    segments = testbed.prompt(testbed.frames(form)[0], noun, form).segments
    return next(s.text for s in segments if isinstance(s, EnvSegment))
