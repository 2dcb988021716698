"""Episodes of caregiver and child, drawn for many transcripts at once.

A transcript is a sequence of scenes. A scene has an object that is there (sometimes a second one); it may begin with
an ENV tier that shows it; then come utterances. A noun said is the object's with that noun's relevance, otherwise
the second object's or any noun by its frequency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.tasks.childworld.counter_rng import Words32, cumulative, draws, pick, pick_even, threshold
from groundbench.tasks.childworld.grammar import Grammar
from groundbench.tasks.childworld.token_tables import Compiled, Ids

SCENE_DRAWS = ("object", "second", "second_object", "described", "utterances")
SENTENCE_DRAWS = ("speaker", "template", "filler", "relevant", "say_second", "noun")

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scenes:
    """K scenes of each of B transcripts: the nouns (indices into the inventory) that are there and that are said.

    Attributes:
        there, second: [B, K] the object, and the second object (-1 where there is none).
        described: [B, K] whether an ENV tier shows them.
        count: [B, K] utterances in the scene.
        said: [B, K, M] the noun of each utterance, -1 for utterances without one.
        noise: [B, K, 1 + M, n] draws for speaker, template and word classes: the ENV tier first, then utterances.
    """

    there: Ids
    second: Ids
    described: Flags
    count: Ids
    said: Ids
    noise: Words32


class Generator:
    """Draws scenes and writes them as token ids; all methods are pure functions of their arguments."""

    def __init__(self, grammar: Grammar, compiled: Compiled, described: float) -> None:
        self._g, self._c = grammar, compiled
        self._described = threshold(described)
        self._frequency = cumulative(grammar.frequency)
        self._relevance = np.array([threshold(r) for r in grammar.relevance], dtype=np.uint64)
        self._counts = np.array(list(grammar.utterances), dtype=np.int64)
        self._count_bounds = cumulative(list(grammar.utterances.values()))
        self._speaker_bounds = cumulative(list(grammar.speakers.values()))
        self._most = max(grammar.utterances)

    def scenes(self, key: np.uint64, transcripts: Ids, n_scenes: int) -> Scenes:
        """Return the first `n_scenes` scenes of some transcripts of the stream `key`."""
        sentence = len(SENTENCE_DRAWS) + len(self._c.classes)
        per_scene = len(SCENE_DRAWS) + (1 + self._most) * sentence
        raw = draws(key, transcripts, n_scenes * per_scene).reshape(len(transcripts), n_scenes, per_scene)
        of = {name: raw[..., i] for i, name in enumerate(SCENE_DRAWS)}
        noise = raw[..., len(SCENE_DRAWS) :].reshape(*raw.shape[:2], 1 + self._most, sentence)
        there = pick(self._frequency, of["object"])
        other = pick(self._frequency, of["second_object"])
        other = np.where(other == there, (other + 1) % len(self._g.frequency), other)
        second = np.where(of["second"] < threshold(self._g.second_object), other, -1)
        count = self._counts[pick(self._count_bounds, of["utterances"])]
        return Scenes(
            there, second, of["described"] < self._described, count, self._spoken_nouns(there, second, noise), noise
        )

    def _spoken_nouns(self, there: Ids, second: Ids, noise: Words32) -> Ids:
        of = {name: noise[..., 1:, i] for i, name in enumerate(SENTENCE_DRAWS)}
        there, second = there[..., None], second[..., None]
        say_second = (second >= 0) & (of["say_second"] < threshold(self._g.second_object_said))
        elsewhere = np.where(say_second, second, pick(self._frequency, of["noun"]))
        said = np.where(of["relevant"] < self._relevance[there], there, elsewhere)
        return np.where(of["filler"] < threshold(self._g.fill_rate), -1, said)

    def tokens(self, scenes: Scenes) -> Ids:
        """Return [B] tokens of the utterances alone: a lower bound of what `write` has to lay out."""
        template = self._templates(scenes, scenes)
        total: Ids = self._lengths(scenes, scenes, template)[..., 1:].sum(axis=(1, 2))
        return total

    def write(self, scenes: Scenes, shown: Scenes, length: int) -> Ids:
        """Return token ids [B, length]: the utterances of `scenes` behind the ENV tiers of `shown`.

        A row ends with the last whole sentence that fits; the rest is `<pad>`.
        """
        template = self._templates(scenes, shown)
        words, lengths = self._fill(template, scenes, shown), self._lengths(scenes, shown, template)
        b = len(template)
        return _lay_out(words.reshape(b, -1, words.shape[-1]), lengths.reshape(b, -1), length)

    def _lengths(self, scenes: Scenes, shown: Scenes, template: Ids) -> Ids:
        """Return [B, K, 1 + M] tokens of every sentence, 0 for those that are not there."""
        used = np.arange(self._most) < scenes.count[..., None]
        used = np.concatenate([shown.described[..., None], used], axis=-1)
        return np.where(used, self._c.lengths[template], 0)

    def _templates(self, scenes: Scenes, shown: Scenes) -> Ids:
        column = SENTENCE_DRAWS.index("template")
        tier, utterance = shown.noise[..., 0, column], scenes.noise[..., 1:, column]
        env = np.where(shown.second >= 0, self._draw("env_pair", tier), self._draw("env", tier))
        say = np.where(scenes.said >= 0, self._draw("say", utterance), self._draw("fill", utterance))
        return np.concatenate([env[..., None], say], axis=-1)

    def _draw(self, kind: Literal["env", "env_pair", "say", "fill"], draw: Words32) -> Ids:
        rows = self._c.kinds[kind]
        return rows.first + pick(rows.bounds, draw)

    def _fill(self, template: Ids, scenes: Scenes, shown: Scenes) -> Ids:
        """Return [B, K, 1 + M, W] words of every sentence, slots filled."""
        noise = np.concatenate([shown.noise[..., :1, :], scenes.noise[..., 1:, :]], axis=-2)
        noun = np.concatenate([shown.there[..., None], np.maximum(scenes.said, 0)], axis=-1)
        lan = np.arange(noun.shape[-1]) > 0
        tier = lan.astype(np.int64)
        # The tier is led by the tag of the speaker whose utterance it annotates: the first of the scene.
        speech = scenes.noise[..., 1:, SENTENCE_DRAWS.index("speaker")]
        speaker = self._c.speakers[pick(self._speaker_bounds, speech)]
        fills = [
            np.concatenate([speaker[..., :1], speaker], axis=-1),
            self._c.nouns[tier, noun],
            np.where(lan, 0, self._c.nouns[0, np.maximum(shown.second, 0)][..., None]),
        ]
        for i, words in enumerate(self._c.classes):
            choice = pick_even(words.shape[1], noise[..., len(SENTENCE_DRAWS) + i])
            fills.append(words[tier, choice])
        filled = np.stack(fills, axis=-1)
        codes = self._c.templates[template]
        drawn = np.take_along_axis(filled, np.maximum(-1 - codes, 0), axis=-1)
        return np.where(codes < 0, drawn, codes)


def _lay_out(words: Ids, lengths: Ids, length: int) -> Ids:
    """Write sentences [B, S, W] of `lengths` [B, S] behind each other into rows [B, length], padded with 0."""
    ends = np.cumsum(lengths, axis=1)
    place = np.arange(words.shape[2])
    kept = (place < lengths[..., None]) & (ends <= length)[..., None]
    row, sentence, word = np.nonzero(kept)
    out = np.zeros((len(words), length), dtype=np.int64)
    out[row, (ends - lengths)[row, sentence] + word] = words[kept]
    return out
