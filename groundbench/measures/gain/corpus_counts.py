"""Counts of how often a noun's LAN form follows its ENV form in a checkpoint's training corpus (protocol §7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundbench.api.testbed import EnvForm, EnvSegment, Noun, Testbed
from groundbench.measures.gain.cooccurrence import Cooccurrence, count_cooccurrence
from groundbench.results.run import Result

COUNTED_ROWS = 4096
ROWS_AT_ONCE = 64
LENGTH = 64
"""Tokens of a row where the checkpoint does not say."""
ENV_SUFFIX = ":<ENV>"


def corpus_counts(
    testbed: Testbed, result: Result, training: Mapping[str, Any], corpus: Any | None
) -> tuple[Cooccurrence, ...]:
    """Return counts in both windows over 4,096 of the rows that the run's own seed was trained on.

    Args:
        training: what the checkpoint's training.json says.
        corpus: the corpus that it names (`groundbench.evaluation.training_provenance.Trained`).

    Returns:
        Nothing where there is no corpus. A noun that the corpus never has counts 0.
    """
    if corpus is None or result.gain is None:
        return ()
    vocabulary: dict[str, int] = corpus.tokenizer().get_vocab()
    nouns = [testbed.noun(g.noun) for g in result.gain.by_noun]
    form = testbed.form(result.testbed.env_form)
    env = _ids([_shown(testbed, n, form) for n in nouns], vocabulary)
    lan = _ids([testbed.target_in(n, form) for n in nouns], vocabulary)
    tags = [i for t, i in vocabulary.items() if t.startswith("<") and t[1:2].isupper()]
    scene = [i for t, i in vocabulary.items() if t.endswith(ENV_SUFFIX)]
    seed, length = int(training.get("seed", 0)), int(training.get("preset", {}).get("length", LENGTH))
    rows = [
        corpus.batch(step, seed=seed, batch_size=ROWS_AT_ONCE, length=length)
        for step in range(COUNTED_ROWS // ROWS_AT_ONCE)
    ]
    return tuple(
        count_cooccurrence(rows, env, lan, tags, window, scene_ids=scene) for window in ("chunk", "utterances")
    )


def _ids(tokens: list[str], vocabulary: Mapping[str, int]) -> list[int]:
    """Return their ids; a token that is not in the vocabulary gets an id of its own that no row has."""
    return [vocabulary.get(token, len(vocabulary) + i) for i, token in enumerate(tokens)]


def _shown(testbed: Testbed, noun: Noun, form: EnvForm) -> str:
    segments = testbed.prompt(testbed.frames(form)[0], noun, form).segments
    return next(s.text for s in segments if isinstance(s, EnvSegment))
