"""Co-occurrence analysis: does the gain merely mirror how often the two forms meet in training? (protocol §7)

`corpus_counts` reads the rows that a checkpoint was trained on. `count_cooccurrence` counts in them how often a noun's
language form is said where another's (or its own) environment form came shortly before. `measure_cooccurrence`
regresses the gain on those counts:

- unit `noun`: G(v) on the statistic of (v ENV, v LAN), one point for each noun;
- unit `pair`: for each pair the surprisal difference d[u, v] = mean over the other nouns w of s(v | w shown) - s(v | u
  shown), averaged over frames, on the statistic of (u ENV, v LAN); its diagonal is G(v).

R² also falls when the gain saturates and no longer varies over nouns: the variance of G(v) stands beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.api.testbed import EnvForm, EnvSegment, Noun, Testbed
from groundbench.measures.gain.measure import gain_items, noun_means
from groundbench.results.run import CooccurrenceRecord, Regression, Result
from groundbench.stats.regression import noun_r2, pair_r2
from groundbench.stats.significance import N_RESAMPLES, Estimate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Window = Literal["chunk", "utterances"]
Statistic = Literal["log-count", "pmi"]
UTTERANCES = 5
"""The published analysis leaves the window open; ours are the chunk and the next 5 utterances (protocol §7)."""


@dataclass(frozen=True)
class Cooccurrence:
    """Counts in one window; the event counted is a language form said.

    Attributes:
        window: `chunk`, or the next `UTTERANCES` utterances.
        counts: [V, V]; counts[u, v] = how often v LAN was said with u ENV before it in the window. An occurrence
            of v LAN counts once for each u, however often u ENV stood there.
        said: [V], how often v LAN was said at all.
    """

    window: Window
    counts: Ints
    said: Ints

    def statistic(self, name: Statistic) -> Floats:
        """Return [V, V]: log(1 + count), or pointwise mutual information in nats.

        PMI compares the count with what independence predicts among the nouns said, e = n_u n_v / T, where n_u is
        how many were said with u ENV in the window, n_v how many were v, T how many there were. Both get one added,
        log((1 + count) / (1 + e)), so that pairs never seen have a value and rare ones are drawn to 0.
        """
        log_count: Floats = np.log1p(self.counts)
        if name == "log-count":
            return log_count
        expected = self.counts.sum(1)[:, None] * self.said[None, :] / max(int(self.said.sum()), 1)
        pmi: Floats = log_count - np.log1p(expected)
        return pmi


def count_cooccurrence(
    rows: Iterable[npt.NDArray[np.integer]],
    env_ids: Sequence[int],
    lan_ids: Sequence[int],
    utterance_ids: Iterable[int],
    window: Window,
    *,
    scene_ids: Iterable[int] = (),
) -> Cooccurrence:
    """Count over batches of training chunks; one pass, memory of one batch.

    Args:
        rows: batches [B, T] (or single chunks [T]) of token ids, one chunk in each row; pad with any other id.
        env_ids, lan_ids: the token of each noun's environment and language form, in the order of the table's nouns.
        utterance_ids: the speaker tags; each begins an utterance. Only the window `utterances` reads them.
        window: how far back an ENV form counts: its chunk, or until `UTTERANCES` more utterances have begun.
        scene_ids: all tokens of ENV text. A tag followed by one of them leads a scene description, which is no
            utterance; without them every tag counts.
    """
    env_of, lan_of = _lookup(env_ids), _lookup(lan_ids)
    tags = np.fromiter(utterance_ids, dtype=np.int64)
    scene = np.fromiter(scene_ids, dtype=np.int64)
    v = len(env_ids)
    counts, said = np.zeros((v, v), dtype=np.int64), np.zeros(v, dtype=np.int64)
    reach = 0 if window == "chunk" else UTTERANCES
    for batch in rows:
        ids = np.atleast_2d(np.asarray(batch, dtype=np.int64))
        clock = np.zeros(ids.shape, dtype=np.int64)
        if window == "utterances":
            clock = _count_utterances(ids, tags, scene)
        clock += np.arange(len(ids))[:, None] * (ids.shape[1] + UTTERANCES + 1)  # no window reaches the next row
        seen, lan = _find_shown_before(
            _look_up(env_of, ids.ravel()), _look_up(lan_of, ids.ravel()), clock.ravel(), v, reach
        )
        by_noun = sparse.csr_array((np.ones(len(lan), dtype=np.int64), (lan, np.arange(len(lan)))), (v, len(lan)))
        counts += (by_noun @ seen.astype(np.int64)).T
        said += np.bincount(lan, minlength=v)
    return Cooccurrence(window, counts, said)


def measure_cooccurrence(
    table: SurprisalTable, counts: Sequence[Cooccurrence], *, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> CooccurrenceRecord:
    """Regress per-noun gains and pairwise differences on every window and statistic.

    Args:
        table: the scored items; its nouns are those of `counts`, in the same order (ValueError otherwise).
        counts: one entry for each window.
        seed, n_resamples: of the bootstrap over nouns.

    Returns:
        R² is None where the gain or the statistic does not vary (a model blind to the ENV slot).
    """
    v = len(table.nouns)
    gains, differences = noun_means(gain_items(table).gain), pair_differences(table)
    regressions = []
    for c in counts:
        if c.counts.shape != (v, v):
            raise ValueError(f"co-occurrence counts of shape {c.counts.shape}, expected {(v, v)}: the table's nouns")
        for name in ("log-count", "pmi"):
            x = c.statistic(name)
            by_noun = noun_r2(np.diagonal(x), gains, n_resamples=n_resamples, seed=seed)
            by_pair = pair_r2(x, differences, n_resamples=n_resamples, seed=seed)
            regressions += [
                _regression(c.window, name, "noun", by_noun),
                _regression(c.window, name, "pair", by_pair),
            ]
    measured = gains[~np.isnan(gains)]
    variance = float(measured.var(ddof=1)) if measured.size > 1 else None
    return CooccurrenceRecord(regressions=tuple(regressions), gain_variance=variance)


def pair_differences(table: SurprisalTable) -> Floats:
    """Compute d[u, v] in nats, [V, V]: how much less surprising v is after u than after another noun.

    NaN where no frame scored the pair, or scored only that one. Its diagonal is the per-noun gain.
    """
    v = len(table.nouns)
    item = table.frame * v + table.target
    base = np.full(len(table.frames) * v, np.nan)
    diagonal = table.env == table.target
    base[item[diagonal]] = table.surprisal[diagonal]
    # relative to the matched surprisal, so that a blind model's differences are exactly 0
    relative = table.surprisal - base[item]
    own = table.frame_nouns[table.frame]
    valid = ~np.isnan(relative) & ((own < 0) | (own == table.target))
    item, relative = item[valid], relative[valid]
    n_rows = np.bincount(item, minlength=base.size)[item]
    total = np.bincount(item, weights=relative, minlength=base.size)[item]
    alone = n_rows < 2
    difference = (total - relative) / np.maximum(n_rows - 1, 1) - relative
    pair = (table.env[valid] * v + table.target[valid])[~alone]
    n_frames = np.bincount(pair, minlength=v * v)
    summed = np.bincount(pair, weights=difference[~alone], minlength=v * v)
    return np.where(n_frames > 0, summed / np.maximum(n_frames, 1), np.nan).reshape(v, v)


def _regression(window: Window, statistic: Statistic, unit: Literal["noun", "pair"], r2: Estimate) -> Regression:
    return Regression(
        window=window,
        statistic=statistic,
        unit=unit,
        r2_adjusted=r2.value,
        ci_low=r2.ci_low,
        ci_high=r2.ci_high,
        n=r2.n,
    )


def _lookup(ids: Sequence[int]) -> Ints:
    """Map token id -> noun index, -1 for every other token up to the largest of them."""
    table = np.full(max(ids, default=-1) + 2, -1, dtype=np.int64)
    table[np.asarray(ids, dtype=np.int64)] = np.arange(len(ids))
    return table


def _look_up(table: Ints, ids: Ints) -> Ints:
    return table[np.where((ids >= 0) & (ids < len(table)), ids, -1)]  # the last entry is -1: no noun


def _count_utterances(ids: Ints, tags: Ints, scene: Ints) -> Ints:
    """Return [B, T]: how many utterances have begun up to and including each position."""
    begins = np.isin(ids, tags)
    begins[:, :-1] &= ~np.isin(ids[:, 1:], scene)
    return np.cumsum(begins, axis=1)


def _find_shown_before(env: Ints, lan: Ints, clock: Ints, v: int, reach: int) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Find for each noun said: [L, V] the ENV forms before it within `reach`; and [L] the noun."""
    events = np.flatnonzero((env >= 0) | (lan >= 0))
    env, lan, clock = env[events], lan[events], clock[events]
    last = np.full((len(events), v), np.iinfo(np.int64).min // 2)
    is_env, is_lan = env >= 0, lan >= 0
    last[is_env, env[is_env]] = clock[is_env]
    np.maximum.accumulate(last, axis=0, out=last)
    return clock[is_lan, None] - last[is_lan] <= reach, lan[is_lan]


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
    env = _ids([_env_text(testbed, n, form) for n in nouns], vocabulary)
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


def _env_text(testbed: Testbed, noun: Noun, form: EnvForm) -> str:
    segments = testbed.prompt(testbed.frames(form)[0], noun, form).segments
    return next(s.text for s in segments if isinstance(s, EnvSegment))
